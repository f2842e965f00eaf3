"""The card's section about data, from what lineage records."""

from models.export.card_data import data_section


def records(said: str, title: str) -> str:
    """What the card says of a source's records."""
    (row,) = (
        line for line in said.splitlines() if line.startswith((f"| [{title}]", f"| {title} "))
    )
    return row.split(" | ")[1]


def test_context_is_counted_apart_from_a_sources_own_records() -> None:
    data = {
        "sources": {"deeplesion": 24, "folder": 7},
        "synthetic": {"deeplesion": 24},
        "context": {"deeplesion": 5, "eurorad": 2, "mimic_cxr": 3},
        "context_items": {"deeplesion": 4, "eurorad": 3, "mimic_cxr": 6},
        "synthetic_context_items": {"deeplesion": 4, "eurorad": 1},
        "with_synthetic_context": {"folder": 2},
    }
    said = data_section([{"data": data}, {"data": data}])
    twin = "synthetic (demo twin)"
    shown = " (by 4 cases, all synthetic)"
    assert records(said, "DeepLesion") == f"24, **all {twin}**; context of 5 others{shown}"
    shown = " (by 3 cases, 1 known to be synthetic)"
    assert records(said, "Eurorad") == f"none; context of 2 others{shown}"
    assert records(said, "MIMIC-CXR-JPG") == "none; context of 3 others"
    assert (
        records(said, "A folder of your own images")
        == f"7; **made with 2 {twin} cases as context**"
    )
    assert "too: not every" not in said


def test_a_stage_with_real_records_is_not_hidden_by_one_with_twins() -> None:
    real, twin = {"sources": {"slake": 10}}, {"sources": {"slake": 10}, "synthetic": {"slake": 10}}
    said = data_section([{"data": real}, {"data": twin}])
    assert records(said, "SLAKE") == "20, **10 synthetic (demo twin)**"


def test_no_link_leads_nowhere_and_no_citation_is_made_up() -> None:
    said = data_section([{"data": {"sources": {"folder": 1, "vqa_rad": 1}, "context": {}}}])
    (row,) = (line for line in said.splitlines() if line.startswith("| A folder"))
    assert "]()" not in said
    assert row.endswith("|  |")
    assert "institution's own rules" in row


def test_demo_twins_are_no_training_on_the_source_they_imitate() -> None:
    data = {"sources": {"vqa_rad": 12, "slake": 5}, "synthetic": {"vqa_rad": 12}}
    said = data_section([{"data": {**data, "producers": {"demo": 40}}}])
    assert records(said, "VQA-RAD") == "12, **all synthetic (demo twin)**"
    assert records(said, "SLAKE") == "5"
    assert "not its owner's data" in said
    assert "people" not in said.split("Who wrote")[1]


def test_a_lineage_from_before_twins_were_marked_says_nothing_of_them() -> None:
    said = data_section([{"data": {"sources": {"vqa_rad": 12}, "producers": {"human": 3}}}])
    assert "synthetic" not in said.lower()
    assert "people: 3" in said
    assert "not every record above need be its source's own" in said
