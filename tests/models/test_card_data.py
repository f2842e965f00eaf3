"""The card's section about data, from what lineage records."""

from models.export.card_data import data_section


def test_demo_twins_are_no_training_on_the_source_they_imitate() -> None:
    data = {"sources": {"vqa_rad": 12, "slake": 5}, "synthetic": {"vqa_rad": 12}}
    said = data_section([{"data": {**data, "producers": {"demo": 40}}}])
    rows = {line.split("|")[1].strip(): line for line in said.splitlines() if line.startswith("|")}
    (twin,) = (line for name, line in rows.items() if name.startswith("[VQA-RAD]"))
    (real,) = (line for name, line in rows.items() if name.startswith("[SLAKE]"))
    assert "| 12, **12 synthetic (demo twin)** |" in twin
    assert "synthetic" not in real
    assert "not its owner's data" in said
    assert "people" not in said.split("Who wrote")[1]


def test_a_lineage_from_before_twins_were_marked_says_nothing_of_them() -> None:
    said = data_section([{"data": {"sources": {"vqa_rad": 12}, "producers": {"human": 3}}}])
    assert "synthetic" not in said.lower()
    assert "people: 3" in said
