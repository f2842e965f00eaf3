from pathlib import Path

import pytest
from PIL import Image

from data_modules import folder
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.record import Record


def read(root: Path) -> tuple[list[Record], RefusalLog]:
    refused = RefusalLog()
    return list(folder.read(root, refused)), refused


def test_the_first_folder_is_the_group(tmp_path: Path) -> None:
    for name in ("b/1/x.png", "b/2/y.JPG", "a.jpeg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / name)

    records, refused = read(tmp_path)

    assert refused.items == []
    assert [(record.record_id, record.group_id) for record in records] == [
        ("folder/a.jpeg", "a.jpeg"),
        ("folder/b/1/x.png", "b"),
        ("folder/b/2/y.JPG", "b"),
    ]
    assert all(not (r.texts or r.qa or r.labels or r.regions or r.modality) for r in records)


def test_what_is_no_image_is_refused_by_name_hidden_files_are_left_alone(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "ok.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "ok.png").read_bytes()[:40])
    (tmp_path / "scan.dcm").write_bytes(b"x")
    (tmp_path / "scan.nii.gz").write_bytes(b"x")
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "absent.png")
    Image.new("L", (4, 4)).save(tmp_path / "wrong.png", "bmp")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    outside = tmp_path.parent / "outside.png"
    Image.new("L", (4, 4)).save(outside)
    (tmp_path / "link.png").symlink_to(outside)

    records, refused = read(tmp_path)

    assert [record.record_id for record in records] == ["folder/ok.png"]
    assert sorted((item.item, item.kind) for item in refused.items) == [
        ("link.png", "path_outside_root"),
        ("nowhere.png", "missing_image"),
        ("scan.dcm", "unreadable_image"),
        ("scan.nii.gz", "image_format"),
        ("torn.png", "unreadable_image"),
        ("wrong.png", "image_format"),
    ]


MAP = """
table: studies.csv
delimiter: ";"
encoding: cp1252
language: de
image: Datei
record: Studie
group: Patient
split: Teil
modality: Art
body_part: Region
texts: {report: Befund, history: Anamnese}
labels: {icd10: ICD}
question: Frage
answer: Antwort
values:
  modality: {R\u00f6ntgen: xray, CT: ct}
  body_part: {Thorax: thorax}
  split: {Pr\u00fcfung: test}
missing: ["", k.A.]
"""
HEADER = "Datei;Studie;Patient;Teil;Art;Region;Befund;Anamnese;ICD;Frage;Antwort"
ROWS = (
    "s1/a.png;S1;P1;Pr\u00fcfung;R\u00f6ntgen;Thorax;Kein Infiltrat.;k.A.;J18;Seite?;links",
    "s1/b.png;S1;P1;Pr\u00fcfung;R\u00f6ntgen;Thorax;Kein Infiltrat.;Husten;Z01;;",
    "s2/c.png;S2;P1;;CT;;Zyste;;;;",
)


def with_table(root: Path, *rows: str, columns: str = MAP) -> Path:
    for name in ("s1/a.png", "s1/b.png", "s2/c.png", "s3/d.png"):
        (root / name).parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4)).save(root / name)
    (root / "columns.yaml").write_text(columns, encoding="utf-8")
    (root / "studies.csv").write_bytes("\n".join([HEADER, *rows]).encode("cp1252"))
    return root


def test_a_table_of_ones_own_is_read_by_its_column_map(tmp_path: Path) -> None:
    (first, second, bare), refused = read(with_table(tmp_path, *ROWS))

    assert refused.items == []
    assert (first.record_id, first.group_id, first.split) == ("folder/S1", "P1", "test")
    assert (first.modality, first.body_part) == ("xray", "thorax")
    assert [image.path for image in first.images] == ["s1/a.png", "s1/b.png"]
    assert [(text.kind, text.text, text.language, text.image_ids) for text in first.texts] == [
        ("report", "Kein Infiltrat.", "de", ()),
        ("history", "Husten", "de", ("image 2",)),
    ]
    assert [(label.name, label.value, label.image_ids) for label in first.labels] == [
        ("icd10", "J18", ("image 1",)),
        ("icd10", "Z01", ("image 2",)),
    ]
    assert [(qa.question, qa.answer, qa.image_ids) for qa in first.qa] == [
        ("Seite?", "links", ("image 1",))
    ]
    assert (second.record_id, second.split, second.modality) == ("folder/S2", "", "ct")
    assert (bare.record_id, bare.group_id, bare.texts) == ("folder/s3/d.png", "s3", ())


def test_json_lines_and_few_keys_are_enough(tmp_path: Path) -> None:
    with_table(tmp_path, columns="{table: t.jsonl, image: file, texts: {caption: says}}")
    (tmp_path / "studies.csv").unlink()
    (tmp_path / "t.jsonl").write_text(
        '{"file": "s1/a.png", "says": "A"}\n{"file": "./s1/b.png", "says": null}\n'
        '{"file": ["s2/c.png"]}\n{"file": "s1/a.png", "says": NaN}\n'
    )

    records, refused = read(tmp_path)

    assert [(r.record_id, [t.text for t in r.texts]) for r in records] == [
        ("folder/s1/a.png", ["A"]),
        ("folder/./s1/b.png", []),
        ("folder/s2/c.png", []),
        ("folder/s3/d.png", []),
    ]
    assert [(item.item, item.kind, item.file) for item in refused.items] == [
        ("line 3", "invalid_row", "t.jsonl")
    ]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("s2/gone.png;S2;P1;;CT;;x;;;;", "missing_image"),
        ("../c.png;S2;P1;;CT;;x;;;;", "path_outside_root"),
        (";S2;P1;;CT;;x;;;;", "invalid_row"),
        ("s2/c.png;S2;P1;;Szintigramm;;x;;;;", "unknown_value"),
        ("s2/c.png;S2;P1;test2;CT;;x;;;;", "unknown_value"),
        ("s2/c.png;S1;P2;Pr\u00fcfung;R\u00f6ntgen;Thorax;x;;;;", "contradicting_rows"),
        ("s2/c.png;S2;P1;;CT;;x;;;Wo?;", "invalid_row"),
        ("s2/c.png;S2;Frau M\u00fcller, geb. 1950;;CT;;x;;;;", "invalid_row"),
        (ROWS[0], "repeated_id"),
        ("s2/c.png;S2", "broken_row"),
        ("s2/c.png,S2,P1,,CT,,x,,,,", "broken_row"),
    ],
)
def test_a_bad_row_is_refused_and_never_quoted(row: str, kind: str, tmp_path: Path) -> None:
    records, refused = read(with_table(tmp_path, ROWS[0], row))

    assert records[0].record_id == "folder/S1"
    assert [(item.item, item.kind, item.file) for item in refused.items] == [
        ("line 3", kind, "studies.csv")
    ]
    assert not any(word in refused.items[0].reason for word in ("ller", "Szinti", "Infiltrat"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("table: a.csv", r"columns\.yaml: image: Field required"),
        (MAP + "unknown: 1", "unknown: Extra inputs"),
        (MAP.replace("report:", "letter:"), "texts: no kind letter; known: title"),
        (MAP.replace("CT: ct", "CT: cat"), "values of modality: no cat; known: xray"),
        (MAP.replace("antwort", "").replace("answer: Antwort", ""), "expected both or neither"),
        (MAP.replace("cp1252", "cp9999"), "no name of an encoding"),
        (MAP.replace("studies.csv", "studies.xlsx"), r"ends with \.csv, \.csv\.gz or \.jsonl"),
        (MAP.replace("studies.csv", "absent.csv"), r"no table absent\.csv"),
        (MAP.replace("studies.csv", "../studies.csv"), "leaves its root"),
        (MAP.replace("ICD", "ICD11"), "no column ICD11"),
        (MAP.replace('";"', '","'), "no column Datei"),
        ("- a\n- b", "expected a YAML mapping"),
        ("a: [", "no readable YAML"),
    ],
)
def test_an_unusable_column_map_is_an_error(columns: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read(with_table(tmp_path, *ROWS, columns=columns))


def test_another_column_map_is_an_option(tmp_path: Path) -> None:
    with_table(tmp_path, *ROWS)
    (tmp_path / "columns.yaml").rename(tmp_path / "german.yaml")

    records = list(folder.read(tmp_path, RefusalLog(), columns="german.yaml"))

    assert records[0].record_id == "folder/S1"
    with pytest.raises(InputError, match="no readable YAML"):
        list(folder.read(tmp_path, RefusalLog(), columns="absent.yaml"))


def test_an_empty_or_absent_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no files; expected PNG or JPEG"):
        read(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        read(tmp_path / "absent")


def test_the_twin_is_bare_images(tmp_path: Path) -> None:
    folder.write_twin(tmp_path, cases=6, seed=0)

    records, refused = read(tmp_path)

    assert refused.items == []
    assert len({record.group_id for record in records}) == 6
    assert {record.images[0].format for record in records} == {"png", "jpeg"}
