"""Packed rows out of a data module, encoded by the processor of the tiny preset."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from data_modules import SemiHVisionDataModule
from data_modules.packing import Packing
from models.processing import PMCCambrianProcessor
from semihvision.core.errors import InputError
from semihvision.core.images import probe_image
from semihvision.core.parquet import write_records
from semihvision.core.record import QA, Licence, Provenance, Record


@pytest.fixture(scope="module")
def processor() -> PMCCambrianProcessor:
    return PMCCambrianProcessor.from_preset("tiny")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three records of one image each, square, wide and tall, with four questions each."""
    records = []
    for number, size in enumerate([(9, 9), (20, 10), (10, 30)]):
        Image.new("RGB", size, (number, 0, 0)).save(tmp_path / f"{number}.png")
        questions = tuple(
            QA(
                qa_id=f"q{k}",
                question="word " * (k + 1),
                answer="yes " * (k + number),
                image_ids=("i",),
                provenance_id="human",
            )
            for k in range(1, 5)
        )
        records.append(
            Record(
                record_id=f"folder/{number}",
                source="folder",
                split="train",
                group_id=f"folder/{number}",
                images=(probe_image(tmp_path, f"{number}.png", image_id="i"),),
                qa=questions,
                provenance=(Provenance(provenance_id="human", producer="human"),),
                licence=Licence(name="CC0-1.0"),
            )
        )
    write_records(tmp_path / "records.parquet", records)
    return tmp_path


def module(folder: Path, processor: PMCCambrianProcessor, **settings: Any) -> SemiHVisionDataModule:
    made = SemiHVisionDataModule(
        [str(folder / "records.parquet")],
        {"folder": str(folder)},
        processor=processor,
        uses=["qa"],
        validation_fraction=0,
        **settings,
    )
    made.setup("fit")
    return made


EVERYTHING = {f"folder/{n}#q{k}" for n in range(3) for k in range(1, 5)}


@pytest.mark.parametrize("share", [True, False])
def test_an_epoch_holds_every_sample_once_in_full_rows(
    folder: Path, processor: PMCCambrianProcessor, share: bool
) -> None:
    packing = Packing(tokens=200, images=4, share_images=share)
    made = module(folder, processor, batch_size=2, packing=packing)
    loader = made.train_dataloader()
    orders = []
    for _ in range(2):
        batches = list(loader)
        orders.append([i for batch in batches for i in batch["example_ids"]])
        assert len(batches) == len(loader)
        for batch in batches:
            assert batch["row_length"] == 200
            assert "labels" in batch
    assert set(orders[0]) == set(orders[1]) == EVERYTHING
    assert len(orders[0]) == 12
    images = sum(len(batch["image_sizes_wh"]) for batch in batches)
    assert images == (3 if share else 12)
    counts = made.summary()
    assert counts["packed/rows"] == len(made.samples.rows)
    assert 0 <= counts["packed/padding_percent"] < 50


def test_an_epoch_goes_on_in_its_middle_and_epochs_differ(
    folder: Path, processor: PMCCambrianProcessor
) -> None:
    settings = {"batch_size": 1, "packing": Packing(tokens=110, images=1)}

    def rows(epoch: int, used: int) -> list[list[str]]:
        made = module(folder, processor, **settings)
        made.load_state_dict({"epoch": epoch, "used": used})
        return [batch["example_ids"] for batch in made.train_dataloader()]

    whole = rows(1, 0)
    assert len(whole) > 3
    assert rows(1, 2) == whole[2:]
    assert rows(0, 0) != whole
    assert sorted(rows(0, 0)) == sorted(whole)


def test_a_filler_row_trains_nothing(folder: Path, processor: PMCCambrianProcessor) -> None:
    made = module(folder, processor, packing=Packing(tokens=200, images=4))
    dataset = made.train_dataloader().dataset
    real, filler = (processor.pack([dataset[index]], 200) for index in (0, -1))
    assert torch.equal(real["input_ids"], filler["input_ids"])
    assert (real["labels"] != -100).any()
    assert not (filler["labels"] != -100).any()


def test_samples_above_the_budget_are_refused_and_counted(
    folder: Path, processor: PMCCambrianProcessor
) -> None:
    lengths = [size.tokens for size in module(folder, processor, packing=_wide()).samples.sizes]
    longest = max(lengths)
    made = module(folder, processor, packing=Packing(tokens=longest - 1, images=1))
    refused = [item for item in made.refused.items if item.kind == "over_budget"]
    assert len(refused) == lengths.count(longest) == len(made.refused.items)
    assert f"{longest} tokens with its images expanded" in refused[0].reason
    planned = [i for row in made.samples.rows for s in row.segments for i in s]
    assert len(planned) == 12 - len(refused)


def test_a_budget_below_one_image_is_an_error_before_the_run(
    folder: Path, processor: PMCCambrianProcessor
) -> None:
    with pytest.raises(
        InputError, match=r"packing.tokens is 41, but a square image alone takes 42"
    ):
        module(folder, processor, packing=Packing(tokens=41, images=1))


def test_validation_stays_one_sample_a_row(folder: Path, processor: PMCCambrianProcessor) -> None:
    made = SemiHVisionDataModule(
        [str(folder / "records.parquet")],
        {"folder": str(folder)},
        processor=processor,
        uses=["qa"],
        validation_fraction=0.5,
        packing=_wide(),
    )
    made.setup("fit")
    assert len(made.examples("validation")) in (4, 8)
    for batch in made.val_dataloader():
        assert "segment_ids" not in batch


def _wide() -> Packing:
    return Packing(tokens=400, images=8)


def test_whatever_changes_the_order_of_samples_changes_its_hash(
    folder: Path, processor: PMCCambrianProcessor
) -> None:
    settings: list[dict[str, Any]] = [
        {},
        {"seed": 1},
        {"source_weights": {"folder": 2.0}},
        {"packing": Packing(tokens=256, images=2)},
        {"packing": Packing(tokens=256, images=1)},
    ]
    hashes = []
    for one in settings * 2:
        hashes.append(module(folder, processor, **one).order_hash)
    assert hashes[: len(settings)] == hashes[len(settings) :]
    assert len(set(hashes)) == len(settings)
