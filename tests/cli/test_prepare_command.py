import json
import subprocess
import sys
from pathlib import Path

import pytest

from data_modules import deeplesion, vqa_rad
from semihvision.cli.main import main
from semihvision.core.parquet import count_records, read_records

LIGHT = """
import sys
from pathlib import Path
from semihvision.cli.main import main

out = Path(sys.argv[1])
codes = [main(["sources"]), main(["--help"])]
for command in ("prepare", "demo-data"):
    try:
        main([command, "--help"])
    except SystemExit as error:
        codes.append(error.code)
sources = ["deeplesion", "padchest", "eurorad", "mimic_cxr", "folder", "vqa_rad", "jama"]
codes.append(main(["demo-data", "--out", str(out), "--cases", "4", "--source", *sources]))
for name in sources:
    where = ["--root", str(out / name), "--out", f"{out}/{name}.parquet"]
    codes.append(main(["prepare", name, *where]))
codes.append(main(["records", "stats", f"{out}/eurorad.parquet"]))
codes.append(main(["doctor", *sources, "--root", *(str(out / name) for name in sources)]))
heavy = ("torch", "lightning", "transformers", "mlflow", "openai", "hnswlib", "sklearn")
found = [name for name in (*heavy, "scipy") if name in sys.modules]
# The reader of volumes' headers, nibabel, loads the root of scipy.
for name in ("lld_mmri", "mama_mia"):
    codes.append(main(["demo-data", "--out", str(out), "--cases", "2", "--source", name]))
    where = ["--root", str(out / name), "--out", f"{out}/{name}.parquet"]
    codes.append(main(["prepare", name, *where]))
found += [name for name in heavy if name in sys.modules]
sys.exit(f"codes {codes}, loaded {found}" if any(codes) or found else 0)
"""


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("vqa_rad")
    vqa_rad.write_twin(root, cases=8, seed=0)
    return root


def run_json(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, dict[str, object]]:
    code = main([*argv, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_cards_readers_and_twins_load_nothing_heavy(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, str(tmp_path)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr[-2000:]


def test_the_real_vqa_rad(
    vqa_rad_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "vqa_rad.parquet"

    code, found = run_json(
        capsys, "prepare", "vqa_rad", "--root", str(vqa_rad_root), "--out", str(out)
    )

    assert code == 0
    assert (found["records"], found["images"]) == (314, 314)
    assert found["questions"] == {
        "total": 3515,
        "by_split": {
            "test": {"CLOSED": 272, "OPEN": 179},
            "train": {"CLOSED": 1823, "OPEN": 1241},
        },
    }
    assert (found["test_images"], found["test_images_also_in_training"]) == (203, 203)
    assert found["refused"] == {"total": 0, "by_kind": {}}
    assert count_records(out) == 314
    assert not out.with_suffix(".refused.jsonl").exists()


def test_refused_items_are_listed_beside_the_records_and_exit_is_3(
    twin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name in ("images", "testset.json", "trainset.json"):
        (root / name).symlink_to(twin / name)
    rows = json.loads((root / "trainset.json").read_text())
    rows[0]["image_name"], rows[1]["answer"] = "absent.jpg", None
    (root / "trainset.json").unlink()
    (root / "trainset.json").write_text(json.dumps(rows))
    (root / "images").unlink()
    (root / "images").mkdir()
    for image in (twin / "images").iterdir():
        (root / "images" / image.name).write_bytes(image.read_bytes())
    out = tmp_path / "x.parquet"

    code, found = run_json(capsys, "prepare", "vqa_rad", "--root", str(root), "--out", str(out))

    assert code == 3
    assert found["refused"] == {"total": 2, "by_kind": {"invalid_row": 1, "missing_image": 1}}
    lines = (tmp_path / "x.refused.jsonl").read_text().splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["invalid_row", "missing_image"]
    questions = [q for record in read_records(out) for q in record.qa]
    assert len(questions) == 8 * 5 - 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vqarad", "unknown source 'vqarad'; did you mean vqa_rad? known: deeplesion"),
        ("deeplesion", "no file DL_info.csv"),
    ],
)
def test_unusable_input_ends_with_2(
    name: str, message: str, twin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.parquet"

    assert main(["prepare", name, "--root", str(twin), "--out", str(out)]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_source_without_a_reader_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr("data_modules.padchest.read")
    argv = ["prepare", "padchest", "--root", str(tmp_path), "--out", str(tmp_path / "x.parquet")]

    assert main(argv) == 2
    assert "padchest has a card but no reader yet; readable: deeplesion" in capsys.readouterr().err


def test_options_go_to_the_reader(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deeplesion.write_twin(tmp_path, cases=2, seed=0)
    argv = ["prepare", "deeplesion", "--root", str(tmp_path), "--out", str(tmp_path / "x.parquet")]

    assert run_json(capsys, *argv)[1]["images"] == 6
    assert run_json(capsys, *argv, "--options.neighbours", "0")[1]["images"] == 2

    assert main([*argv, "--options.neighbors", "0"]) == 2
    assert "deeplesion has no option neighbors; its options: neighbours" in capsys.readouterr().err


def test_a_missing_root_and_a_wrong_name_end_with_2(
    twin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "x.parquet")

    assert main(["prepare", "vqa_rad", "--root", "absent", "--out", out]) == 2
    assert "absent: no such folder" in capsys.readouterr().err
    assert main(["prepare", "vqa_rad", "--root", str(twin), "--out", "x.csv"]) == 2
    assert "ends with .parquet" in capsys.readouterr().err


def test_not_one_usable_record_ends_with_2_and_keeps_the_reasons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "scan.dcm").touch()
    out = tmp_path / "x.parquet"

    assert main(["prepare", "folder", "--root", str(root), "--out", str(out)]) == 2
    assert "not one usable record; refused: {'unreadable_image': 1}" in capsys.readouterr().err
    assert not out.exists()
    assert len((tmp_path / "x.refused.jsonl").read_text().splitlines()) == 1


def test_the_table_says_the_same(
    twin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.parquet"

    assert main(["prepare", "vqa_rad", "--root", str(twin), "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert "questions" in shown.out
    assert "40" in shown.out
    assert "records of vqa_rad" in shown.err
