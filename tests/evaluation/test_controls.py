from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from evaluation.controls import CONTROLS, derangement
from evaluation.questions import Picture, Question
from semihvision.core.batch import Turn


def picture(name: str, size: tuple[int, int] = (4, 3)) -> Picture:
    return Picture(key=name, size_wh=size, read=lambda: Image.new("RGB", size, "red"))


def question(number: int, *names: str) -> Question:
    return Question(
        id=str(number),
        source="vqa_rad",
        turns=(Turn("human", "?"),),
        pictures=tuple(picture(name) for name in names),
    )


@given(st.sets(st.text(max_size=5), min_size=2), st.integers(0, 1000))
def test_no_image_stands_in_for_itself_and_none_for_two(keys, seed):
    exchange = derangement(keys, seed)
    assert set(exchange) == set(exchange.values()) == keys
    assert all(key != other for key, other in exchange.items())


@given(st.lists(st.text(max_size=5), min_size=2, unique=True), st.randoms(), st.integers(0, 9))
def test_exchange_depends_on_the_set_of_images_and_the_seed_alone(keys, random, seed):
    reordered = list(keys)
    random.shuffle(reordered)
    assert derangement(keys, seed) == derangement(reordered + keys, seed)


def test_seeds_differ():
    keys = [str(number) for number in range(20)]
    assert derangement(keys, 0) != derangement(keys, 1)


def test_one_image_stays_where_there_is_no_other():
    assert derangement(["only"], 0) == {"only": "only"}


def test_shuffled_questions_keep_ids_words_and_the_grouping_by_image():
    asked = [question(1, "a"), question(2, "a"), question(3, "b"), question(4), question(5, "c")]
    changed = CONTROLS["shuffled"](asked, 0)
    assert [one.id for one in changed] == [one.id for one in asked]
    assert [one.turns for one in changed] == [one.turns for one in asked]
    assert changed[0].pictures[0].key == changed[1].pictures[0].key != "a"
    assert changed[3].pictures == ()
    shown = Counter(one.pictures[0].key for one in (changed[0], changed[2], changed[4]))
    assert shown == {"a": 1, "b": 1, "c": 1}


def test_blank_images_are_grey_and_of_the_same_size():
    changed = CONTROLS["blank"]([question(1, "a")], 0)
    image = changed[0].pictures[0].read()
    assert image.size == (4, 3)
    assert image.getcolors() == [(12, (127, 127, 127))]
    assert changed[0].pictures[0].key != "a"


def test_normal_changes_nothing():
    asked = [question(1, "a"), question(2)]
    assert CONTROLS["normal"](asked, 0) == asked
