"""Building, saving and opening index folders."""

import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from semihvision.core.errors import InputError
from semihvision.core.record import QA, Label, Provenance, Record, Region, Retrieved, Text
from semihvision.retrieval.build import build_index
from semihvision.retrieval.cases import case_item, case_text
from semihvision.retrieval.embedders import Vectors, unit_rows
from semihvision.retrieval.guidelines import demo_guidelines
from semihvision.retrieval.index import HnswSettings
from semihvision.retrieval.search import Retriever

Make = Callable[..., Record]


def test_two_builds_are_byte_identical(
    built: Path, collection: list[Record], roots: dict[str, Path], tmp_path: Path
) -> None:
    again = tmp_path / "again"
    build_index(again, records=collection, roots=roots, guidelines=[demo_guidelines()])
    names = sorted(p.relative_to(built) for p in built.rglob("*") if p.is_file())
    assert names == sorted(p.relative_to(again) for p in again.rglob("*") if p.is_file())
    for name in names:
        assert (built / name).read_bytes() == (again / name).read_bytes(), name
    assert Retriever.open(built).sha256 == Retriever.open(again).sha256


def test_meta_says_how_the_index_was_made(
    collection: list[Record], roots: dict[str, Path], tmp_path: Path
) -> None:
    settings = HnswSettings(M=8, ef_construction=40, ef=20, seed=3)
    report = build_index(tmp_path / "index", records=collection, roots=roots, settings=settings)
    meta = json.loads((tmp_path / "index" / "meta.json").read_text())
    assert meta["hnsw"] == {"M": 8, "ef_construction": 40, "ef": 20, "seed": 3}
    assert meta["embedders"]["text"]["name"] == "lsa"
    assert meta["embedders"]["image"]["name"] == "classical"
    assert meta["counts"]["case_images"] == 36
    assert report.items == {"case": 36, "guideline": 0}
    assert report.vectors == {"case_images": 36, "case_texts": 36}
    assert report.refused == {}


def test_a_rebuild_replaces_and_leaves_nothing_behind(
    built: Path, collection: list[Record], tmp_path: Path
) -> None:
    build_index(built, records=collection[:2], image_embedder=None)
    assert {item.ref for item in Retriever.open(built).items} == {"demo/0", "demo/1"}
    assert not (built / "case_images.hnsw").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index"]


def test_a_failed_build_leaves_the_old_index(
    built: Path, collection: list[Record], roots: dict[str, Path], tmp_path: Path
) -> None:
    before = Retriever.open(built).sha256

    class Broken:
        name, version, dimension = "broken", "1", 4

        def embed_images(self, images: Sequence[object]) -> Vectors:
            return unit_rows(np.full((len(images), 4), np.nan))

    with pytest.raises(InputError, match="not finite"):
        build_index(built, records=collection, roots=roots, image_embedder=Broken())
    assert Retriever.open(built).sha256 == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index"]


def test_other_folders_are_not_overwritten(collection: list[Record], tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(InputError, match="is no index"):
        build_index(tmp_path / "thesis", records=collection, image_embedder=None)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    "name",
    [
        "items.parquet",
        "case_images.hnsw",
        "case_texts.safetensors",
        "guidelines.hnsw",
        "text_embedder/terms.json",
    ],
)
@pytest.mark.parametrize("damage", ["flip", "remove"])
def test_changed_or_missing_files_are_refused_by_name(built: Path, name: str, damage: str) -> None:
    path = built / name
    if damage == "remove":
        path.unlink()
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    with pytest.raises(InputError, match=path.name):
        Retriever.open(built)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"schema_version": 0}', "index version 0, expected 2"),
        ('{"schema_version": 2}', "damaged"),
    ],
)
def test_a_damaged_meta_file_is_refused(built: Path, content: str, message: str) -> None:
    (built / "meta.json").write_text(content)
    with pytest.raises(InputError, match=message):
        Retriever.open(built)


def test_meta_cannot_point_outside_its_folder(built: Path) -> None:
    meta = json.loads((built / "meta.json").read_text())
    meta["files"]["../0.png"] = "0"
    (built / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(InputError, match="leaves its root"):
        Retriever.open(built)


def test_no_index_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="index build"):
        Retriever.open(tmp_path / "nothing")


def test_another_embedder_is_refused(built: Path) -> None:
    class Other:
        name, version, dimension = "classical", "2", 2052

        def embed_images(self, images: Sequence[object]) -> Vectors:
            raise AssertionError

    with pytest.raises(InputError, match="same embedder"):
        Retriever.open(built, image_embedder=Other())
    meta = json.loads((built / "meta.json").read_text())
    meta["embedders"]["image"]["name"] = "resnet"
    (built / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(InputError, match="unknown embedder 'resnet'; known: classical"):
        Retriever.open(built)


def test_nothing_is_pickled(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("pickle was used")

    monkeypatch.setattr(pickle, "load", refuse)
    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(pickle, "Unpickler", refuse)
    assert Retriever.open(built).search(text="cyst")
    suffixes = {path.suffix for path in built.rglob("*") if path.is_file()}
    assert suffixes == {".json", ".parquet", ".safetensors", ".hnsw"}


def test_an_empty_collection_is_refused(tmp_path: Path, make_record: Make) -> None:
    with pytest.raises(InputError, match="nothing to index"):
        build_index(tmp_path / "index")
    with pytest.raises(InputError, match="nothing to index"):
        build_index(
            tmp_path / "index", records=[make_record(0)], text_embedder=None, image_embedder=None
        )
    assert not (tmp_path / "index").exists()


def test_a_source_without_root_is_refused(tmp_path: Path, collection: list[Record]) -> None:
    with pytest.raises(InputError, match="--root demo=DIR"):
        build_index(tmp_path / "index", records=collection, roots={"other": tmp_path})


def test_unreadable_and_repeated_things_are_refused_and_counted(
    tmp_path: Path, make_record: Make, own_root: Path
) -> None:
    records = [make_record(number) for number in range(6)]
    (own_root / "3.png").write_bytes(b"no image")
    (own_root / "4.png").unlink()
    out = tmp_path / "index"
    report = build_index(out, records=[*records, records[0]], roots={"demo": own_root})
    assert report.refused == {"unreadable_image": 1, "missing_image": 1, "repeated_case": 1}
    assert report.vectors == {"case_images": 4, "case_texts": 6}
    lines = (out / "refused.jsonl").read_text().splitlines()
    assert [json.loads(line)["item"] for line in lines] == ["demo/3#i0", "demo/4#i0", "demo/0"]
    assert "no such image" in json.loads(lines[1])["reason"]
    by_text = Retriever.open(out).search(text="case 3", k=9, kinds=("case",))
    assert "demo/3" in {hit.ref for hit in by_text}


def in_splits(record: Record, *splits: str) -> Record:
    """The record with one question in each of these splits."""
    return record.edited(
        qa=tuple(
            QA(qa_id=f"q{n}", question="?", answer="!", split=split, provenance_id="p0")
            for n, split in enumerate(splits)
        )
    )


def test_the_test_split_is_left_out_and_counted(
    tmp_path: Path, make_record: Make, own_root: Path
) -> None:
    records = [
        make_record(0).edited(split="test"),
        in_splits(make_record(1), "train", "test"),
        in_splits(make_record(2), "train"),
        make_record(3).edited(split="validation"),
    ]
    out = tmp_path / "index"
    report = build_index(out, records=records, roots={"demo": own_root})
    assert (report.left_out, report.refused) == ({"test_split": 2}, {})
    assert report.vectors == {"case_images": 2, "case_texts": 2}
    lines = (out / "refused.jsonl").read_text().splitlines()
    assert [json.loads(line)["item"] for line in lines] == ["demo/0", "demo/1"]
    assert {item.ref: item.split for item in Retriever.open(out).items} == {
        "demo/2": "", "demo/3": "validation",
    }  # fmt: skip
    report = build_index(out, records=records, roots={"demo": own_root}, include_test=True)
    assert (report.left_out, report.items["case"]) == ({}, 4)
    hits = Retriever.open(out).search(text="cyst near the rib", k=4)
    assert {hit.ref for hit in hits if hit.split == "test"} == {"demo/0", "demo/1"}


def test_an_index_of_test_records_alone_says_what_to_do(tmp_path: Path, make_record: Make) -> None:
    with pytest.raises(InputError, match="--include-test"):
        build_index(
            tmp_path / "index", records=[make_record(0).edited(split="Test")], image_embedder=None
        )


def test_items_carry_every_source_of_their_words(tmp_path: Path, make_record: Make) -> None:
    own, mixed = make_record(0), make_record(1)
    used = Retrieved(ref="mimic_cxr/s1", kind="case", score=0.9)
    made = Provenance(provenance_id="gen", producer="model", retrieved=(used,))
    mixed = mixed.edited(provenance=(*mixed.provenance, made))
    build_index(tmp_path / "index", records=[own, mixed], image_embedder=None)
    found = {hit.ref: hit.sources for hit in Retriever.open(tmp_path / "index").search(text="cyst")}
    assert found == {"demo/0": ("demo",), "demo/1": ("demo", "mimic_cxr")}


def test_a_row_cannot_say_of_itself_that_it_is_free_to_send(tmp_path: Path) -> None:
    shipped = demo_guidelines().read_text(encoding="utf-8")
    spoofed, copied = tmp_path / "spoofed.jsonl", tmp_path / "copied.jsonl"
    copied.write_text(shipped, encoding="utf-8")
    row = json.loads(shipped.splitlines()[0]) | {"clean_text": "Text under somebody's licence."}
    spoofed.write_text(shipped + json.dumps(row) + "\n", encoding="utf-8")
    for path, sources in ((spoofed, ("open_guidelines",)), (copied, ())):
        build_index(tmp_path / "index", guidelines=[path])
        items = Retriever.open(tmp_path / "index").items
        assert {item.source for item in items} == {"semihvision-demo"}
        assert {item.sources for item in items} == {sources}


def test_case_text_is_what_the_record_says_now(make_record: Make) -> None:
    record = make_record(0, organ="abdomen", lesion="cyst", text="First wording.")
    sex = Label(label_id="l1", name="sex", value="F", system="demo")
    edited = record.edited(
        labels=(*record.labels, sex),
        regions=(Region(region_id="r0", image_id="i0", box_xyxy=(1, 1, 9, 9), label="lesion"),),
        texts=(
            *record.texts,
            Text(
                text_id="t1",
                kind="findings",
                text="Second wording.",
                provenance_id="p1",
                supersedes="t0",
            ),
            Text(text_id="t2", kind="guideline", text="Quoted advice.", provenance_id="p0"),
        ),
        provenance=(
            *record.provenance,
            Provenance(provenance_id="p1", parent_id="p0", producer="reviewer"),
        ),
    )
    assert case_text(edited).splitlines() == [
        "Modality: ct.",
        "Body part: abdomen.",
        "lesion type: cyst.",
        "Marked: lesion.",
        "Second wording.",
    ]
    assert case_item(edited).title == "ct, abdomen, lesion"
    assert ("demo/lesion_type", "cyst") in case_item(edited).labels
    assert ("body_part", "abdomen") in case_item(edited).labels


def test_labels_of_presence_become_findings(make_record: Make) -> None:
    values = {"Edema": "1.0", "Fracture": "0.0", "Pneumonia": "-1.0"}
    labels = [
        Label(label_id=f"{system} {name}", name=name, value=value, system=system)
        for system in ("CheXpert", "NegBio")
        for name, value in values.items()
    ]
    count = Label(label_id="n", name="number", value="1.0", system="sheet")
    record = make_record(0, text="").edited(labels=(*labels, count))
    assert case_text(record).splitlines()[2:] == [
        "Edema.",
        "No Fracture.",
        "Possible Pneumonia.",
        "number: 1.0.",
    ]
    compared = dict(case_item(record).labels)
    assert compared["CheXpert/finding"] == compared["NegBio/finding"] == "Edema"
    assert compared["sheet/number"] == "1.0"


def test_a_case_is_called_by_its_own_title(make_record: Make) -> None:
    record = make_record(0)
    title = Text(text_id="t9", kind="title", text="A rare cyst", provenance_id="p0")
    assert case_item(record).title == "ct, thorax"
    assert case_item(record.edited(texts=(*record.texts, title))).title == "A rare cyst"
    bare = record.edited(texts=(), labels=(), modality="", body_part="")
    assert case_item(bare).title == "demo/0"
    assert case_text(bare) == ""
