"""The data modules against a processor small enough to read at a glance."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

import data_modules
from data_modules import SemiHVisionDataModule
from data_modules.base import RecordDataModule
from models.processing import PMCCambrianProcessor
from semihvision.core.batch import Batch, EncodedSample, SampleFit, TowerPixels, Turn
from semihvision.core.errors import InputError
from semihvision.core.images import probe_image
from semihvision.core.parquet import read_records, write_records
from semihvision.core.record import (
    QA,
    Conversation,
    ConversationTurn,
    Licence,
    Provenance,
    Record,
)


class CountingProcessor:
    """Encodes the number of letters; counts how often an image is prepared."""

    def __init__(self) -> None:
        self.prepared = 0
        self.max_length = 100

    def prepare_image(self, image: Image.Image) -> TowerPixels:
        self.prepared += 1
        return TowerPixels((torch.zeros(3, 2, 2),), image.size)

    def encode(
        self, example_id: str, turns: Sequence[Turn], images: Sequence[TowerPixels]
    ) -> EncodedSample:
        ids = torch.tensor([len(turn.text) for turn in turns])
        return EncodedSample(example_id=example_id, input_ids=ids, labels=ids, images=list(images))

    def encode_prompt(
        self, example_id: str, turns: Sequence[Turn], images: Sequence[TowerPixels]
    ) -> EncodedSample:
        return self.encode(example_id, turns[:-1], images)

    def check(
        self, example_id: str, turns: Sequence[Turn], sizes_wh: Sequence[tuple[int, int]]
    ) -> SampleFit:
        assert sizes_wh == [(8, 6)]
        if len(turns[0].text) > self.max_length:
            raise InputError(f"sample {example_id}: too long")
        return SampleFit(length=len(turns[0].text), shortened=turns[0].text.endswith("??"))

    def check_prompt(
        self, example_id: str, turns: Sequence[Turn], sizes_wh: Sequence[tuple[int, int]]
    ) -> None:
        assert sizes_wh == [(8, 6)]

    def collate(self, samples: Sequence[EncodedSample]) -> Batch:
        return Batch(
            example_ids=[sample["example_id"] for sample in samples],
            input_ids=torch.stack([sample["input_ids"] for sample in samples]),
            attention_mask=torch.ones(len(samples), 1, dtype=torch.bool),
            pixel_values=[],
            image_sizes_wh=torch.tensor([i.size_wh for s in samples for i in s["images"]]),
        )

    def decode(self, token_ids: Sequence[int]) -> str:
        return str(list(token_ids))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four records of one image with two questions each; records 0-2 train, 3 test."""
    records = []
    for number in range(4):
        Image.new("L", (8, 6), number).save(tmp_path / f"{number}.png")
        image = probe_image(tmp_path, f"{number}.png", image_id="i")
        questions = tuple(
            QA(
                qa_id=f"q{k}",
                question="?" * (k + 1),
                answer="yes",
                image_ids=("i",),
                provenance_id="human",
            )
            for k in range(2)
        )
        records.append(
            Record(
                record_id=f"folder/{number}",
                source="folder",
                group_id=str(number),
                split="test" if number == 3 else "train",
                images=(image,),
                qa=questions,
                provenance=(Provenance(provenance_id="human", producer="human"),),
                licence=Licence(name="CC0-1.0"),
            )
        )
    write_records(tmp_path / "records.parquet", records)
    return tmp_path


def module(folder: Path, **settings: object) -> SemiHVisionDataModule:
    return SemiHVisionDataModule(
        [str(folder / "records.parquet")],
        {"folder": str(folder)},
        **{"validation_fraction": 0.0, "processor": CountingProcessor(), **settings},
    )


def epoch(data: SemiHVisionDataModule) -> list[str]:
    return [i for batch in data.train_dataloader() for i in batch["example_ids"]]


def test_every_training_question_once_in_an_order_that_the_seed_decides(folder: Path) -> None:
    made = module(folder, batch_size=4, seed=1)
    made.setup("fit")
    loader = made.train_dataloader()
    first = [i for batch in loader for i in batch["example_ids"]]
    # The trainer says so at the start of every epoch.
    loader.batch_sampler.set_epoch(1)  # type: ignore[union-attr]
    second = [i for batch in loader for i in batch["example_ids"]]
    assert sorted(first) == sorted(second)
    assert set(first) == {f"folder/{n}#q{k}" for n in range(3) for k in range(2)}
    assert first != second
    assert epoch(module(folder, batch_size=4, seed=1)) == first


def test_prepared_images_are_kept_only_when_asked(folder: Path) -> None:
    for cached, expected in ((True, 3), (False, 12)):
        processor = CountingProcessor()
        made = module(folder, cache_images=cached, processor=processor)
        epoch(made)
        epoch(made)
        assert processor.prepared == expected


def test_prompts_for_prediction_hold_no_answer(folder: Path) -> None:
    made = module(folder)
    made.setup("predict")
    (batch,) = made.predict_dataloader()
    assert batch["example_ids"] == ["folder/3#q0", "folder/3#q1"]
    assert batch["input_ids"].shape[1] == 1


def test_only_pixels_leave_host_memory(folder: Path) -> None:
    data = module(folder, num_workers=0)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    batch["pixel_values"] = [torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 4, 4)]
    moved = data.transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert [pixels.device.type for pixels in moved["pixel_values"]] == ["meta", "meta"]
    assert moved.keys() == batch.keys()
    assert all(moved[name] is batch[name] for name in batch if name != "pixel_values")


def test_data_hash_follows_the_records(folder: Path) -> None:
    one, same = module(folder), module(folder)
    one.setup("fit")
    same.setup("fit")
    assert one.data_hash == same.data_hash != ""
    records = folder / "records.parquet"
    write_records(records, list(read_records(records))[1:])
    changed = module(folder)
    changed.setup("fit")
    assert changed.data_hash != one.data_hash


def test_unusable_settings_say_what_to_change(folder: Path) -> None:
    with pytest.raises(InputError, match="num_workers to 0"):
        module(folder, cache_images=True, num_workers=2)
    with pytest.raises(InputError, match="validation_fraction"):
        module(folder, validation_fraction=1.0)
    with pytest.raises(InputError, match=r"no samples in split 'train'.*conversations"):
        module(folder, uses=["conversations"]).setup("fit")
    with pytest.raises(InputError, match="no entry in roots"):
        SemiHVisionDataModule([str(folder / "records.parquet")], {}).setup("fit")
    twice = [str(folder / "records.parquet")] * 2
    with pytest.raises(InputError, match="already in"):
        SemiHVisionDataModule(twice, {"folder": str(folder)}).setup("fit")


def test_samples_that_cannot_be_used_are_refused_before_training_begins(folder: Path) -> None:
    (folder / "1.png").unlink()
    processor = CountingProcessor()
    processor.max_length = len("<image>\n?")
    made = module(folder, processor=processor)
    assert sorted(epoch(made)) == ["folder/0#q0", "folder/2#q0"]
    refused = {item.item: item.kind for item in made.refused.items}
    assert refused == {
        "folder/0#q1": "unusable",
        "folder/1#q0": "missing_image",
        "folder/1#q1": "missing_image",
        "folder/2#q1": "unusable",
        "folder/3#q1": "unusable",
    }
    assert made.summary()["refused"] == 5


def test_shortened_samples_are_counted(folder: Path) -> None:
    made = module(folder)
    made.setup("fit")
    counts = made.summary()
    assert (counts["samples/train"], counts["samples/test"]) == (6, 2)
    assert (counts["shortened"], counts["refused"]) == (4, 0)


def with_dialogue(folder: Path, *words: str) -> None:
    """Gives the test record a dialogue of questions that long."""
    records = list(read_records(folder / "records.parquet"))
    turns = [
        ConversationTurn(role=role, text=text)
        for i, question in enumerate(words)
        for role, text in (("human", "<image>\n" * (i == 0) + question), ("gpt", "yes"))
    ]
    talk = Conversation(
        conversation_id="c", turns=tuple(turns), image_ids=("i",), provenance_id="human"
    )
    records[3] = records[3].model_copy(update={"conversations": (talk,)})
    write_records(folder / "records.parquet", records)


def test_a_question_that_cannot_be_asked_is_refused_at_set_up_though_training_would_shorten_it(
    folder: Path,
) -> None:
    with_dialogue(folder, "short?", "long " * 200)
    processor = PMCCambrianProcessor.from_preset("tiny", max_length=150, too_long="shorten")
    fitted = module(folder, processor=processor)
    fitted.setup("test")
    assert (len(fitted.examples("test")), fitted.summary()["shortened"]) == (3, 1)
    asked = module(folder, processor=processor)
    asked.setup("predict")
    ids = [i for batch in asked.predict_dataloader() for i in batch["example_ids"]]
    assert ids == ["folder/3#q0", "folder/3#q1"]
    assert [(item.item, item.kind) for item in asked.refused.items] == [("folder/3#c", "too_long")]
    asked.setup("predict")  # Lightning may ask again
    assert len(asked.refused.items) == 1


def test_an_image_that_cannot_be_decoded_is_an_error_that_names_it(folder: Path) -> None:
    (folder / "1.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"1\.png"):
        epoch(module(folder))


def test_a_data_module_must_say_what_its_records_are_and_where_they_lie() -> None:
    with pytest.raises(TypeError, match=r"records.*roots"):
        RecordDataModule()  # type: ignore[abstract]


def test_a_source_reads_its_records_from_parquet_instead_of_its_owners_files(folder: Path) -> None:
    files = [str(folder / "records.parquet")]
    made = data_modules.FolderDataModule(str(folder), records=files, validation_fraction=0)
    assert [e.example_id for e in made.examples("test")] == ["folder/3#q0", "folder/3#q1"]
    assert made.data_hash == module(folder).data_hash
    with pytest.raises(InputError, match="no entry in roots"):
        data_modules.SLAKEDataModule(str(folder), records=files).setup("fit")
    with pytest.raises(InputError, match="give them to `semihvision prepare`"):
        data_modules.FolderDataModule(str(folder), {"columns": "c.yaml"}, files)


def test_every_source_has_a_data_module_class_with_its_own_name() -> None:
    for name, source in data_modules.SOURCE_CLASSES.items():
        made = getattr(data_modules, name)
        assert (made.__name__, made.source, made.__module__) == (name, source, "data_modules")
