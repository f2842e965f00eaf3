from hand_written_records import vqa_rad_image

from semihvision.core.lineage import Contents, sources_of
from semihvision.core.parquet import read_records, write_records
from semihvision.core.record import Provenance, Record, Retrieved


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
    assert found["sources"] == {"vqa_rad": 2, "mimic_cxr": 1}
    assert sum(found["licences"].values()) == 2
    record = vqa_rad_image()
    parts = len(record.texts) + len(record.qa) + len(record.conversations)
    assert sum(found["producers"].values()) == 2 * parts
