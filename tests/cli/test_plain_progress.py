"""Signs of life where standard error is no terminal: a log file, Slurm, a pipe."""

import pytest
from lightning.pytorch.callbacks import RichProgressBar

from semihvision.cli.output import Bars, progress
from semihvision.cli.plain_progress import PlainProgress, duration
from semihvision.cli.train_progress import TrainingLines, with_progress


class _Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


def _lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert all(character.isprintable() or character == "\n" for character in captured.err)
    return captured.err.splitlines()


def test_a_line_comes_after_ten_seconds_and_five_percent(
    clock: _Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = PlainProgress(clock)
    task = lines.add_task("records", total=2000)
    for _ in range(50):
        clock.now += 0.125
        lines.advance(task)
    assert _lines(capsys) == []  # 6 seconds
    clock.now += 10
    lines.advance(task)
    assert _lines(capsys) == []  # 2.6 %
    lines.advance(task, 49)
    assert _lines(capsys) == ["records: 100 of 2,000 (5 %), 16 s"]
    lines.advance(task, 100)
    assert _lines(capsys) == []
    clock.now += 10
    lines.advance(task)
    assert _lines(capsys) == ["records: 201 of 2,000 (10 %), 26 s"]


def test_a_slow_task_is_heard_of_every_minute(
    clock: _Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = PlainProgress(clock)
    task = lines.add_task("cases", total=1_000_000)
    for _ in range(12):
        clock.now += 30
        lines.advance(task)
    said = _lines(capsys)
    assert len(said) == 6
    assert said[-1] == "cases: 12 of 1,000,000 (0 %), 6 min 0 s"


def test_without_a_total_ten_seconds_are_enough(
    clock: _Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = PlainProgress(clock)
    task = lines.add_task("files")
    for _ in range(4):
        clock.now += 5
        lines.advance(task)
    lines.finish()
    assert _lines(capsys) == ["files: 2, 10 s", "files: 4, 20 s", "files: 4, 20 s"]


def test_a_description_is_asked_for_only_when_a_line_is_written(
    clock: _Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def describe() -> str:
        asked.append(clock.now)
        return f"loss {len(asked)}"

    lines = PlainProgress(clock)
    task = lines.add_task(describe, total=10)
    lines.advance(task)
    assert asked == []
    clock.now += 11
    lines.advance(task)
    lines.finish()
    assert _lines(capsys) == ["loss 1: 2 of 10 (20 %), 11 s", "loss 2: 2 of 10 (20 %), 11 s"]


def test_items_pass_unchanged_and_are_counted(
    clock: _Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = PlainProgress(clock)
    assert list(lines.track("abc", 3, description="letters")) == ["a", "b", "c"]
    removed = lines.add_task("forgotten", total=1)
    lines.remove_task(removed)
    lines.finish()
    assert _lines(capsys) == ["letters: 3 of 3 (100 %), 0 s"]


def test_no_terminal_gets_lines_with_one_task_for_each_label(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as some build servers set it
    with progress() as display:
        told = Bars(display)
        for label, done in (("blank", 1), ("normal", 1), ("blank", 2)):
            told(label, done, 2)
    assert _lines(capsys) == ["blank: 2 of 2 (100 %), 0 s", "normal: 1 of 2 (50 %), 0 s"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (7380, "2 h 3 min")],
)
def test_durations_read_as_a_person_says_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_training_writes_lines_where_a_configured_bar_would_be_silent() -> None:
    own = object()
    bar = RichProgressBar()
    chosen = with_progress([own, bar], wanted=True)
    assert chosen[0] is own
    assert isinstance(chosen[1], TrainingLines)
    assert len(chosen) == 2
    assert with_progress([own, bar], wanted=False) == [own, bar]


def test_a_terminal_keeps_its_bar_and_gets_one_on_standard_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("semihvision.cli.train_progress.draws_bars", lambda: True)
    bar = RichProgressBar()
    assert with_progress([bar], wanted=True) == [bar]
    (made,) = with_progress(None, wanted=True)
    assert isinstance(made, RichProgressBar)
    assert made._console_kwargs == {"stderr": True}
