"""Benchmarks as sources: `prepare` takes their twins whole, and all in them is for testing."""

import json
from importlib import import_module
from pathlib import Path

import pytest

from data_modules.reading import OWNER
from evaluation.benchmarks import load_references
from evaluation.questions import picture_of
from evaluation.tasks import load_task
from semihvision.cli.main import main
from semihvision.core.card import CARD_MODULES
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.images import read_image
from semihvision.core.llava import export_lines
from semihvision.core.llava_import import Stranger, import_records
from semihvision.core.parquet import read_records
from semihvision.core.record import Record
from semihvision.core.splits import strictest_split

BENCHMARKS = {name for name, module in CARD_MODULES.items() if module.startswith("evaluation.")}
IN_TABLES = ("mmmu_med", "worldmedqa_v", "mubench")


def twin(name: str, root: Path, cases: int = 12) -> Path:
    import_module(CARD_MODULES[name]).write_twin(root, cases=cases, seed=3)
    return root


def prepared(name: str, root: Path, out: Path, *more: str) -> tuple[int, list[Record]]:
    code = main(["prepare", name, "--root", str(root), "--out", str(out), *more])
    return code, list(read_records(out))


@pytest.mark.parametrize("name", sorted(BENCHMARKS))
def test_a_twin_is_taken_whole_and_is_what_evaluate_asks(name: str, tmp_path: Path) -> None:
    root = twin(name, tmp_path / "root")
    code, records = prepared(name, root, tmp_path / "x.parquet")
    task, references = load_task(name, root), load_references(name, root)

    assert code == 0
    asked = {qa.qa_id: qa for record in records for qa in record.qa}
    assert [question.id for question in task.questions] == list(asked)
    assert {one.id for one in references} == set(asked)
    for one in references:
        options = asked[one.id].options
        assert options == one.options
        assert asked[one.id].answer == (
            options["ABCDE".index(one.letter)] if options else one.answer
        )
    for question in task.questions:
        (turn,) = question.turns
        assert turn.text.count("<image>\n") == len(question.pictures) >= 1
        assert {picture.size_wh for picture in question.pictures} == {(128, 128)}


@pytest.mark.parametrize("name", sorted(BENCHMARKS))
def test_everything_is_for_testing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """ADR 5: an index leaves it out, and no training example can be made of it."""
    code, records = prepared(name, twin(name, tmp_path / "root"), tmp_path / "x.parquet")

    assert (code, {strictest_split(record) for record in records}) == (0, {"test"})
    assert {record.split for record in records} == {"test"}
    assert {qa.split for record in records for qa in record.qa} == {"test"}
    index = ["index", "build", "--records", str(tmp_path / "x.parquet"), "--out"]
    assert main([*index, str(tmp_path / "index"), "--root", f"{name}={tmp_path / 'root'}"]) == 2
    assert "test_split" in capsys.readouterr().err


@pytest.mark.parametrize("name", IN_TABLES)
def test_images_in_tables_are_read_examined_once_and_known_by_their_bytes(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = twin(name, tmp_path / "root"), tmp_path / "x.parquet"
    _, records = prepared(name, root, out)
    images = [image for record in records for image in record.images]
    for image in images:
        assert image.format == "cell"
        assert read_image(root, image).size == (image.width, image.height) == (128, 128)
    # WorldMedQA-V has each image twice, in two languages.
    different = len({image.sha256 for image in images})
    assert different == len(images) // (1 + (name == "worldmedqa_v"))
    assert len({picture_of(image, root).key for image in images}) == different

    out.unlink()
    capsys.readouterr()
    _, again = prepared(name, root, out, "--json")
    assert json.loads(capsys.readouterr().out)["images_examined"] == 0
    assert again == records
    _, verified = prepared(name, root, out, "--verify", "--json")
    assert json.loads(capsys.readouterr().out)["images_examined"] == len(images)
    assert verified == records


def test_a_cell_comes_back_from_an_exported_line(tmp_path: Path) -> None:
    root = twin("mmmu_med", tmp_path / "root", cases=5)
    _, (record, *_) = prepared("mmmu_med", root, tmp_path / "x.parquet")
    wrong = record.images[0].model_copy(update={"sha256": "0" * 64})
    changed = record.edited(images=(wrong,), record_id="mmmu_med/other")
    (tmp_path / "x.jsonl").write_text("\n".join(export_lines([record, changed])))
    refused, stranger = (
        RefusalLog(),
        Stranger(source="mmmu_med", licence=record.licence, origin=OWNER),
    )

    (back,) = import_records(tmp_path / "x.jsonl", root=root, stranger=stranger, refused=refused)

    assert back == record
    assert refused.counts() == {"changed_image": 1}


@pytest.mark.parametrize("name", IN_TABLES)
def test_a_cell_that_is_not_there_is_an_error(name: str, tmp_path: Path) -> None:
    root = twin(name, tmp_path / "root", cases=5)
    _, (record, *_) = prepared(name, root, tmp_path / "x.parquet")
    for change in ({"index": 999}, {"axis": "image_9"}):
        with pytest.raises(InputError, match="no column"):
            read_image(root, record.images[0].model_copy(update=change))


def test_a_word_for_a_pair_that_stands_twice_costs_the_second_only(tmp_path: Path) -> None:
    root = twin("mediconfusion", tmp_path / "root", cases=2)
    file = root / "data" / "dataset.json"
    first, second = json.loads(file.read_text()).items()
    rows = [first, second, (first[0], second[1])]
    file.write_text("{" + ",".join(f'"{name}": {json.dumps(row)}' for name, row in rows) + "}")

    code, records = prepared("mediconfusion", root, tmp_path / "x.parquet")

    assert code == 3
    assert [record.group_id for record in records] == [first[0], second[0]]
    assert records[0].qa[0].question == first[1]["question"]


def test_one_unusable_table_costs_itself_and_none_usable_is_an_error(tmp_path: Path) -> None:
    root, out = twin("worldmedqa_v", tmp_path / "root"), tmp_path / "x.parquet"
    _, whole = prepared("worldmedqa_v", root, out)
    tables = sorted(root.glob("*.tsv"))
    tables[0].write_text("index,image\n")
    code, records = prepared("worldmedqa_v", root, out)
    assert (code, len(records)) == (3, len(whole) - 3)
    for table in tables:
        table.write_text("index,image\n")
    out.unlink()
    assert main(["prepare", "worldmedqa_v", "--root", str(root), "--out", str(out)]) == 2
