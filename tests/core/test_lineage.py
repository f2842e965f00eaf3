import pytest
from hand_written_records import eurorad_case, vqa_rad_image

from semihvision.core.lineage import Contents, sources_of
from semihvision.core.parquet import read_records, write_records
from semihvision.core.record import Provenance, Record, Retrieved
from semihvision.core.synthetic import as_synthetic


def made_with(*retrieved: Retrieved) -> Record:
    one = vqa_rad_image()
    entry = Provenance(provenance_id="gen", producer="model", retrieved=retrieved)
    return one.edited(provenance=(*one.provenance, entry))


def test_a_record_of_one_owner_has_one_source() -> None:
    assert sources_of(vqa_rad_image()) == ("vqa_rad",)


def test_words_made_with_another_source_stay_its_derivatives() -> None:
    case = Retrieved(ref="mimic_cxr/s1/a", kind="case", score=0.9)
    again = Retrieved(ref="vqa_rad/synpic9.jpg", kind="case", score=0.8)
    assert sources_of(made_with(case, again)) == ("vqa_rad", "mimic_cxr")


def test_lineage_reaches_over_several_generations() -> None:
    case = Retrieved(ref="folder/1", kind="case", score=0.9, sources=("folder", "mimic_cxr"))
    assert sources_of(made_with(case)) == ("vqa_rad", "folder", "mimic_cxr")


def test_guidelines_count_by_their_card_not_by_their_name() -> None:
    own = Retrieved(ref="demo/1#1", kind="guideline", score=0.5)
    published = Retrieved(ref="who/1#1", kind="guideline", score=0.5, sources=("open_guidelines",))
    assert sources_of(made_with(own)) == ("vqa_rad",)
    assert sources_of(made_with(own, published)) == ("vqa_rad", "open_guidelines")


def test_lineage_survives_the_file(tmp_path) -> None:
    record = made_with(Retrieved(ref="folder/1", kind="case", score=0.9, sources=("eurorad",)))
    write_records(tmp_path / "r.parquet", [record])
    assert sources_of(next(read_records(tmp_path / "r.parquet"))) == sources_of(record)


def test_contents_count_sources_licences_and_who_wrote_the_texts() -> None:
    contents = Contents()
    contents.add(vqa_rad_image())
    case = Retrieved(ref="mimic_cxr/s1/a", kind="case", score=0.9)
    contents.add(made_with(case))
    found = contents.document()
    assert found["sources"] == {"vqa_rad": 2}
    assert found["context"] == {"mimic_cxr": 1}
    assert found["context_items"] == {"mimic_cxr": 1}
    assert found["synthetic_context_items"] == found["with_synthetic_context"] == {}
    assert sum(found["licences"].values()) == 2
    record = vqa_rad_image()
    parts = len(record.texts) + len(record.qa) + len(record.conversations)
    assert sum(found["producers"].values()) == 2 * parts


def counted(*records: Record) -> dict[str, dict[str, int]]:
    contents = Contents()
    for record in records:
        contents.add(record)
    return contents.document()


def case_of_eurorad(**more: tuple[str, ...]) -> Retrieved:
    return Retrieved(ref=eurorad_case().record_id, kind="case", score=0.9, **more)


@pytest.mark.parametrize("context_first", [True, False])
def test_twins_that_are_context_of_twins_are_no_more_records_than_there_are(
    context_first: bool,
) -> None:
    twin = as_synthetic(eurorad_case().edited(qa=(), provenance=eurorad_case().provenance[:1]))
    made = as_synthetic(made_with(case_of_eurorad()))
    found = counted(*((twin, made) if context_first else (made, twin)))
    assert found["sources"] == found["synthetic"] == {"eurorad": 1, "vqa_rad": 1}
    assert found["context"] == {"eurorad": 1}
    assert found["context_items"] == found["synthetic_context_items"] == {"eurorad": 1}
    assert found["with_synthetic_context"] == {}


def test_a_record_made_with_a_twin_is_known_as_derived_from_it() -> None:
    found = counted(as_synthetic(eurorad_case()), made_with(case_of_eurorad()))
    assert found["synthetic"] == {"eurorad": 1}
    assert found["with_synthetic_context"] == {"vqa_rad": 1}


def test_a_case_that_is_not_there_is_not_called_synthetic() -> None:
    elsewhere = Retrieved(ref="eurorad/elsewhere", kind="case", score=0.9)
    made = made_with(case_of_eurorad(), elsewhere)
    found = counted(as_synthetic(eurorad_case()), as_synthetic(made))
    assert found["context_items"] == {"eurorad": 2}
    assert found["synthetic_context_items"] == {"eurorad": 1}


def test_what_a_twin_was_made_with_need_not_be_synthetic() -> None:
    through = case_of_eurorad(sources=("eurorad", "mimic_cxr"))
    found = counted(as_synthetic(eurorad_case()), made_with(through))
    assert found["context_items"] == {"eurorad": 1, "mimic_cxr": 1}
    assert found["synthetic_context_items"] == {"eurorad": 1}
