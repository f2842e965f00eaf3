from annotation_records import bare, record, with_regions, with_text

from semihvision.annotation.assemble import assemble
from semihvision.annotation.draft import Draft
from semihvision.annotation.paths import choose_path, owner_hash
from semihvision.annotation.settings import AnnotationSettings, PathRule
from semihvision.core.record import Label, Provenance, Text

SETTINGS = AnnotationSettings()


def label(name: str, value: str = "x") -> Label:
    return Label(label_id=name, name=name, value=value, system="owner")


def said(kind: str, provenance_id: str = "owner") -> Text:
    return Text(text_id=f"t-{kind}", kind=kind, text="Words.", provenance_id=provenance_id)


def test_each_path_follows_from_what_the_record_has() -> None:
    assert choose_path(with_text("a"), SETTINGS) == "rewrite"
    assert choose_path(with_regions("b"), SETTINGS) == "describe"
    assert choose_path(record("c", labels=(label("finding", "cyst"),)), SETTINGS) == "describe"
    assert choose_path(bare("d"), SETTINGS) == "retrieve"
    assert choose_path(bare("e", images=()), SETTINGS) is None


def test_human_text_comes_before_regions() -> None:
    both = with_regions("a", texts=(said("findings"),))
    assert choose_path(both, SETTINGS) == "rewrite"


def test_a_history_or_a_context_describes_no_image() -> None:
    assert choose_path(bare("a", texts=(said("history"),)), SETTINGS) == "retrieve"
    assert choose_path(bare("a", texts=(said("context"),)), SETTINGS) == "retrieve"


def test_background_labels_open_no_path() -> None:
    labels = (label("sex", "F"), label("Age", "50"), label("laterality", "R"))
    assert choose_path(bare("a", labels=labels), SETTINGS) == "retrieve"


def test_generated_text_is_no_human_text() -> None:
    machine = Provenance(provenance_id="gpt", producer="model")
    made = bare("a", texts=(said("caption", "gpt"),), provenance=(machine,))
    assert choose_path(made, SETTINGS) == "retrieve"


def test_rules_come_from_the_settings() -> None:
    rules = (PathRule(path="describe", any_of=("image",)),)
    assert choose_path(with_text("a"), AnnotationSettings(rules=rules)) == "describe"


def test_the_owners_hash_ignores_what_was_generated() -> None:
    before = with_text("a")
    draft = Draft(
        key="k" * 64,
        record_id=before.record_id,
        path="rewrite",
        producer="model",
        model="m",
        prompt_hash="h",
        caption="A mass of the liver.",
        caption_image_ids=("i1",),
        image_ids=("i1",),
    )
    after = assemble(before, draft, SETTINGS).record
    assert len(after.texts) == len(before.texts) + 1
    assert owner_hash(after) == owner_hash(before)
    assert owner_hash(with_text("a", body_part="thorax")) != owner_hash(before)
    assert owner_hash(with_text("a", texts=before.texts[:2])) != owner_hash(before)
