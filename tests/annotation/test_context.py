from annotation_records import NEIGHBOUR_FINDING, ListRetriever, bare, case_hit, guideline_hit
from PIL import Image

from semihvision.annotation.context import find_context
from semihvision.annotation.settings import AnnotationSettings

IMAGE = Image.new("RGB", (8, 8))


def test_cases_come_by_image_and_guidelines_by_their_words() -> None:
    retriever = ListRetriever([case_hit(), guideline_hit()])
    settings = AnnotationSettings(cases=2, guidelines=1)
    items, withheld = find_context(bare("a"), IMAGE, retriever, settings, lambda source: True)
    assert [item.ref for item in items] == ["eurorad/9", "demo/1#1"]
    assert withheld == ()
    by_image, by_words = retriever.queries
    assert (by_image["image"], by_image["text"], by_image["kinds"]) == (IMAGE, None, ("case",))
    assert by_words["kinds"] == ("guideline",)
    assert by_words["text"] == f"CT abdomen {NEIGHBOUR_FINDING}"


def test_the_own_group_is_never_found() -> None:
    record = bare("a")
    own = case_hit(ref="folder/b", source="folder", group_id=record.group_id)
    namesake = case_hit(ref="eurorad/2", group_id=record.group_id)
    retriever = ListRetriever([own, namesake])
    items, _ = find_context(record, IMAGE, retriever, AnnotationSettings(), lambda source: True)
    assert [item.ref for item in items] == ["eurorad/2"]


def test_neighbours_without_a_text_are_passed_over() -> None:
    empty = [case_hit(ref=f"folder/{n}", score=0.99, text=" ") for n in range(5)]
    retriever = ListRetriever([*empty, case_hit(), case_hit(ref="eurorad/2", score=0.1)])
    settings = AnnotationSettings(cases=1, guidelines=0)
    items, _ = find_context(bare("a"), IMAGE, retriever, settings, lambda source: True)
    assert [item.ref for item in items] == ["eurorad/9"]


def test_cases_of_the_test_split_are_no_context() -> None:
    retriever = ListRetriever([case_hit(split="test"), case_hit(ref="eurorad/2", score=0.1)])
    items, withheld = find_context(
        bare("a"), IMAGE, retriever, AnnotationSettings(), lambda source: True
    )
    assert ([item.ref for item in items], withheld) == (["eurorad/2"], ())


def test_what_the_producer_may_not_have_is_withheld_and_counted() -> None:
    retriever = ListRetriever([case_hit(), case_hit(ref="mimic_cxr/1", source="mimic_cxr")])
    items, withheld = find_context(
        bare("a"), IMAGE, retriever, AnnotationSettings(), lambda source: source != "mimic_cxr"
    )
    assert [item.ref for item in items] == ["eurorad/9"]
    assert withheld == ("mimic_cxr",)


def test_others_take_the_place_of_what_is_withheld() -> None:
    secret = "words of a restricted report"
    hidden = [
        case_hit(ref=f"mimic_cxr/{n}", source="mimic_cxr", score=0.95, text=secret)
        for n in range(3)
    ]
    better = guideline_hit(ref="who/1#1", sources=("open_guidelines",), score=0.9)
    retriever = ListRetriever([*hidden, case_hit(), better, guideline_hit()])
    settings = AnnotationSettings(cases=1, guidelines=1)
    items, withheld = find_context(bare("a"), IMAGE, retriever, settings, {"eurorad"}.__contains__)
    assert [item.ref for item in items] == ["eurorad/9", "demo/1#1"]
    assert set(withheld) == {"mimic_cxr", "open_guidelines"}
    assert retriever.queries[1]["text"] == f"CT abdomen {NEIGHBOUR_FINDING}"


def test_a_case_with_words_of_two_sources_needs_both() -> None:
    retriever = ListRetriever([case_hit(source="folder", sources=("folder", "mimic_cxr"))])
    for allowed, found in (({"folder"}, 0), ({"mimic_cxr"}, 0), ({"folder", "mimic_cxr"}, 1)):
        items, withheld = find_context(
            bare("a"), IMAGE, retriever, AnnotationSettings(), allowed.__contains__
        )
        assert len(items) == found
        assert {*withheld, *allowed} == {"folder", "mimic_cxr"}


def test_published_guidelines_have_a_card_own_ones_need_none() -> None:
    published = guideline_hit(ref="who/1#1", sources=("open_guidelines",))
    spoofed = guideline_hit(ref="semihvision-demo/1#1", sources=("open_guidelines",))
    retriever = ListRetriever([guideline_hit(), published, spoofed])
    settings = AnnotationSettings(cases=0, guidelines=3)
    items, withheld = find_context(bare("a"), IMAGE, retriever, settings, lambda source: False)
    assert [item.ref for item in items] == ["demo/1#1"]
    assert set(withheld) == {"open_guidelines"}


def test_nothing_is_looked_up_that_was_not_asked_for() -> None:
    retriever = ListRetriever([case_hit(), guideline_hit()])
    none = AnnotationSettings(cases=0, guidelines=0)
    assert find_context(bare("a"), IMAGE, retriever, none, lambda source: True) == ((), ())
    assert retriever.queries == []
