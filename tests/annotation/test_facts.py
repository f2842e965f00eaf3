import pytest
from annotation_records import bare, record, with_regions

from semihvision.annotation.facts import facts, words
from semihvision.core.record import ImageRef, Label


def label(name: str, value: str) -> Label:
    return Label(label_id=name, name=name, value=value, system="owner")


def test_side_comes_from_a_laterality_label_only() -> None:
    assert facts(with_regions("a")).sides == ()
    assert facts(with_regions("a", side="R")).sides == ("right",)
    assert facts(with_regions("a", side="unknown")).sides == ()
    assert facts(bare("a", labels=(label("Laterality", "bilateral"),))).sides == ("bilateral",)


def test_boxes_are_measured_where_spacing_is_known() -> None:
    assert facts(with_regions("a", 1)).regions[0].size_mm == (10.0, 5.0)
    image = ImageRef(image_id="i1", path="a.png", format="png", width=64, height=64)
    assert facts(with_regions("a", 1, images=(image,))).regions[0].size_mm is None
    sagittal = image.model_copy(update={"spacing_mm": (0.5, 0.5, 3.0), "axis": "sagittal"})
    assert facts(with_regions("a", 1, images=(sagittal,))).regions[0].size_mm is None


def test_measured_diameters_come_before_the_box() -> None:
    one = with_regions("a", 1)
    lines = ((0.0, 0.0, 18.0, 24.0), (0.0, 10.0, 8.0, 10.0))
    region = one.regions[0].model_copy(update={"lines_xyxy": lines})
    assert facts(with_regions("a", 1, regions=(region,))).regions[0].size_mm == (15.0, 4.0)


def test_a_coarse_lesion_type_is_a_place() -> None:
    """Source: DeepLesion's types are bone, abdomen, liver, ... (formats.md, section 1)."""
    known = facts(record("a", labels=(label("coarse_lesion_type", "liver"),)))
    assert (known.sites, known.findings, known.organ) == (("liver",), (), "")


def test_tables_of_findings_are_read_by_value() -> None:
    labels = (
        label("Pleural Effusion", "1"),
        label("Pneumonia", "0"),
        label("Edema", "-1"),
        label("lesion_size", "large"),
        label("sex", "F"),
    )
    known = facts(record("a", labels=labels))
    assert (known.findings, known.absent) == (("Pleural Effusion",), ("Pneumonia",))
    assert known.uncertain == ("Edema",)
    assert known.others == (("lesion size", "large"),)


def test_labellers_that_disagree_leave_it_uncertain() -> None:
    labels = tuple(
        Label(label_id=system, name="Pneumonia", value=value, system=system)
        for system, value in (("chexpert", "1.0"), ("negbio", "0.0"))
    )
    known = facts(record("a", labels=labels))
    assert (known.findings, known.absent, known.uncertain) == ((), (), ("Pneumonia",))


def test_what_is_not_known_is_not_listed() -> None:
    assert facts(bare("a", modality="", body_part="")).lines() == []
    assert facts(bare("a", modality="other", body_part="other")).lines() == []
    assert facts(bare("a")).lines() == [("modality", "CT"), ("body part", "abdomen")]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Focal_nodular_hyperplasia", "Focal nodular hyperplasia"),
        ("FOCAL_NODULAR_HYPERPLASIA", "focal nodular hyperplasia"),
        ("MRI", "MRI"),
        ("  two  words ", "two words"),
    ],
)
def test_names_become_words(name: str, said: str) -> None:
    assert words(name) == said
