import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_modules import eurorad
from semihvision.core.card import card
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.policy import CONDITIONS, Permission, may_send
from semihvision.core.record import Record
from semihvision.core.rights import rights_of

CASE = {
    "case_id": 17000,
    "date": "2021-03-04",
    "title": "A case",
    "clinical_history": "Pain.",
    "imaging_findings": " A mass.\n\nIt enhances. ",
    "discussion": "Rare.",
    "diagnosis": "Schwannoma",
    "images": [{"file": "a.png", "caption": "T2"}, {"file": "b.jpg"}],
}


def write(root: Path, *cases: Any) -> Path:
    for name in ("a.png", "b.jpg"):
        Image.new("L", (8, 8)).save(root / name)
    lines = [case if isinstance(case, str) else json.dumps(case) for case in cases]
    (root / "cases.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return root


def read(root: Path, **options: str) -> tuple[list[Record], RefusalLog]:
    refused = RefusalLog()
    return list(eurorad.read(root, refused, **options)), refused


def test_a_case_becomes_a_record_with_all_its_texts(tmp_path: Path) -> None:
    (record,), refused = read(write(tmp_path, CASE))

    assert refused.items == []
    assert (record.record_id, record.group_id, record.split) == ("eurorad/17000", "case 17000", "")
    assert [(text.kind, text.text, text.image_ids) for text in record.texts] == [
        ("title", "A case", ()),
        ("history", "Pain.", ()),
        ("findings", "A mass.\n\nIt enhances.", ()),
        ("discussion", "Rare.", ()),
        ("diagnosis", "Schwannoma", ()),
        ("caption", "T2", ("image 1",)),
    ]
    assert [image.path for image in record.images] == ["a.png", "b.jpg"]
    assert record.provenance[0].producer == "human"


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"date": "2015-07-05"}, "too_old"),
        ({"date": ""}, "no_date"),
        ({"date": None}, "no_date"),
        ({"date": "04.03.2021"}, "no_date"),
        ({"date": "20210304"}, "no_date"),
        ({"date": "2021-W09-4"}, "no_date"),
        ({"case_id": ""}, "invalid_row"),
        ({"case_id": None}, "invalid_row"),
        ({"discussion": 7}, "invalid_row"),
        ({"images": "a.png"}, "invalid_row"),
        ({"images": [{"caption": "x"}]}, "invalid_row"),
        ({"case_id": 1}, "repeated_id"),
    ],
)
def test_a_bad_case_is_refused_and_the_rest_goes_on(
    changes: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    first, last = {**CASE, "case_id": 1}, {**CASE, "case_id": 2}

    records, refused = read(write(tmp_path, first, {**CASE, **changes}, last))

    assert [record.record_id for record in records] == ["eurorad/1", "eurorad/2"]
    assert refused.counts() == {kind: 1}
    assert refused.items[0].file == "cases.jsonl"


def test_a_case_without_the_key_date_is_refused(tmp_path: Path) -> None:
    case = {name: value for name, value in CASE.items() if name != "date"}

    records, refused = read(write(tmp_path, case))

    assert records == []
    assert refused.items[0].item == "case 17000"
    assert refused.items[0].reason == "no date, so its licence is not known"


def test_the_first_open_day_is_open(tmp_path: Path) -> None:
    records, _ = read(write(tmp_path, {**CASE, "date": "2015-07-06"}))

    assert len(records) == 1


def test_a_permission_overrides_the_date_of_its_case_and_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = {**CASE, "date": "2009-01-02"}
    write(
        tmp_path,
        old,
        {**old, "case_id": 8},
        {**CASE, "case_id": 9, "date": ""},
        {**CASE, "case_id": 10},
    )
    listed = tmp_path / "permissions.csv"
    listed.write_text(
        "case_id,granted_by,granted_on,note\n17000,A. Author,2024-05-06,mail\n"
        "9,B. Author,2024-05-07,\n8,,2024-05-07,\n8,C. Author,7.5.2024,\n"
    )

    records, refused = read(tmp_path, permissions=listed.name)

    assert [(record.record_id, record.licence.name) for record in records] == [
        ("eurorad/17000", "author's permission of 2024-05-06"),
        ("eurorad/9", "author's permission of 2024-05-07"),
        ("eurorad/10", "CC-BY-4.0"),
    ]
    assert records[0].licence.conditions == ("owner_permission",)
    assert [(item.item, item.kind, item.file) for item in refused.items] == [
        ("line 4", "invalid_row", "permissions.csv"),
        ("line 5", "no_date", "permissions.csv"),
        ("case 8", "too_old", "cases.jsonl"),
    ]
    assert "Author" not in str(refused.items)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "eurorad case 17000 is taken by permission of 2024-05-06",
        "eurorad case 9 is taken by permission of 2024-05-07",
    ]


def test_an_authors_word_on_hosted_models_stands_in_the_record_and_binds_the_policy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = {**CASE, "date": "2009-01-02"}
    cases = [{**old, "case_id": number} for number in (1, 2, 3)]
    write(tmp_path, *cases, {**CASE, "case_id": 4}, {**CASE, "case_id": 5})
    rows = [f"{case},A. Author,2024-05-06,{said}" for case, said in enumerate(
        ("yes", "no", "", "No", "yes", "perhaps"), start=1)]  # fmt: skip
    (tmp_path / "p.csv").write_text(
        "case_id,granted_by,granted_on,hosted_models\n" + "\n".join(rows) + "\n"
    )
    url = "https://api.example.org/v1"
    consent = Permission(source="eurorad", endpoint=url)
    stated = Permission(source="eurorad", endpoint=url, states=tuple(CONDITIONS))

    records, refused = read(tmp_path, permissions="p.csv")

    allowed = {
        record.record_id.removeprefix("eurorad/"): tuple(
            may_send(card("eurorad"), url, given, record.licence.conditions).allowed
            for given in ([], [consent], [stated])
        )
        for record in records
    }
    assert allowed == {
        "1": (False, True, True),
        "2": (False, False, False),
        "3": (False, False, True),
        "4": (False, False, False),
        "5": (False, True, True),
    }
    assert [(item.item, item.kind) for item in refused.items] == [("line 7", "invalid_row")]
    assert "eurorad case 4: its author refuses hosted models (2024-05-06)" in caplog.messages
    assert [rights_of(record).hosted for record in records[:3]] == [
        "your consent", "no: the owner refuses", "your consent + owner_permission",
    ]  # fmt: skip


def test_an_absent_list_of_permissions_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such list of permissions"):
        read(write(tmp_path, CASE), permissions="absent.csv")


def test_a_bad_image_or_line_is_refused_alone(tmp_path: Path) -> None:
    images = [{"file": "absent.png", "caption": "x"}, {"file": "../a.png"}, {"file": "b.jpg"}]

    records, refused = read(write(tmp_path, "{broken", {**CASE, "images": images}))

    assert [image.image_id for image in records[0].images] == ["image 3"]
    assert [(item.item, item.kind) for item in refused.items] == [
        ("line 1", "broken_json"),
        ("case 17000, image 1", "missing_image"),
        ("case 17000, image 2", "path_outside_root"),
    ]


def test_no_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file cases\.jsonl"):
        read(tmp_path)


def test_the_twin_is_read_whole_and_its_texts_agree(tmp_path: Path) -> None:
    eurorad.write_twin(tmp_path, cases=20, seed=4)

    records, refused = read(tmp_path)

    assert refused.items == []
    assert len(records) == 20
    assert {len(record.images) for record in records} == {1, 2, 3}
    for record in records:
        texts = {text.kind: text.text for text in record.texts}
        side = "left" if " left " in texts["diagnosis"] else "right"
        other = {"left": "right", "right": "left"}[side]
        assert f" {other} " not in texts["diagnosis"] + texts["caption"]
        assert f"Only the {side} " in texts["discussion"]
        assert f"There is no lesion in the {other} " in texts["findings"]
        for size in ("small", "large"):
            said = [size in texts[kind] for kind in ("diagnosis", "caption", "discussion")]
            assert len(set(said)) == 1
        assert "not a patient" in texts["history"]


@pytest.mark.parametrize("answers", [("no", "yes"), ("yes", "no"), ("", "no"), ("yes", "")])
def test_of_two_words_about_a_case_the_strictest_holds(
    answers: tuple[str, str], tmp_path: Path
) -> None:
    write(tmp_path, {**CASE, "date": "2009-01-02"})
    rows = [f"17000,A,2024-05-06,{answer}\n" for answer in (*answers, *answers[:1])]
    (tmp_path / "p.csv").write_text("case_id,granted_by,granted_on,hosted_models\n" + "".join(rows))

    (record,), refused = read(tmp_path, permissions="p.csv")

    strictest = "owner_refused" if "no" in answers else "owner_permission"
    assert record.licence.conditions == (strictest,)
    assert refused.counts()["contradicting_rows"] == len(refused.items) <= 2
    assert refused.items[0].item == "line 3"
