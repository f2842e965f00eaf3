"""Wrong settings of a configuration file or a command line: where they stand and what was meant."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semihvision.cli.parsing import config_parser
from semihvision.cli.yaml_places import Place, check_files, config_files, find_key, find_value
from semihvision.core.errors import InputError
from semihvision.core.policy import Permission


@dataclass(frozen=True, kw_only=True)
class _Limits:
    """A group of settings of its own."""

    cases: int = 3
    ratio: float = 0.5


def _said(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    """What the parser of a command says of a configuration file."""
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    made = config_parser("work", "Does work.")
    made.add_argument("--records", type=str, default="")
    made.add_argument("--run_name", type=str, default="")
    made.add_argument("--limits", type=_Limits, default=_Limits())
    made.add_argument("--permissions", type=list[Permission], default=[])
    with pytest.raises(SystemExit) as stop:
        made.parse_args(["-c", str(file), *more])
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    first, help_line = captured.err.splitlines()
    assert help_line == "all settings: semihvision work --help"
    return first.removeprefix("semihvision work: ").replace(str(file), "FILE")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("record: a\n", "FILE, line 1: record: no such setting; did you mean records?"),
        (
            "records: a\nlimits:\n  case: 3\n",
            "FILE, line 3: limits.case: no such setting; did you mean cases?",
        ),
        (
            "limits: {xyz: 3}",
            "FILE, line 1: limits.xyz: no such setting; known: cases, ratio",
        ),
        (
            "records: a\nlimit: {cases: 3}\n",
            "FILE, line 2: limit: no such setting; did you mean limits?",
        ),
        (
            "limits:\n  cases: three\n",
            "FILE, line 2: limits.cases: expected a whole number, found three",
        ),
        ("records: [a]", "FILE, line 1: records: expected text, found ['a']"),
        (
            "permissions:\n  - {source: a, endpoint: b, states: [c]}\n  - {sorce: jama}\n",
            "FILE, line 3: permissions[1].sorce: no such setting of "
            "semihvision.core.policy.Permission; did you mean source?",
        ),
        ("- a\n", "FILE: expected settings as `name: value`, found a list"),
        ("just words\n", "FILE: expected settings as `name: value`, found a single value"),
    ],
)
def test_a_wrong_setting_is_placed(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _said(text, tmp_path, capsys) == said


def test_broken_yaml_names_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = _said("records: a\nrun_name: [b\nlimits: {}\n", tmp_path, capsys)
    assert said.startswith("FILE, line 3, column 7: no readable YAML")


def test_an_option_overrules_the_file_also_in_the_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = _said("limits: {cases: 3}\n", tmp_path, capsys, "--limits.cases=x")
    assert said == "--limits.cases: expected a whole number, found x"


def test_stray_words_are_counted_and_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = _said("records: a\n", tmp_path, capsys, "Mister", "Miller")
    assert said == "2 words belong to no option; put a text with blanks into quotes"


def test_an_interpolation_that_leads_nowhere_is_placed(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("\nrecords: ${nothing}\n")
    made = config_parser("work", "Does work.")
    made.add_argument("--records", type=str, default="")
    with pytest.raises(InputError, match=r"line 2: records: cannot be resolved: .*'nothing'"):
        made.parse_args(["-c", str(file)])


def test_the_last_file_that_has_a_key_counts(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("a: {x: 1}\nb:\n  x: 2\n")
    second.write_text("a:\n  - {y: 1}\n  - x: text\n")
    files = config_files(["fit", "-c", str(first), f"--config={second}", "--a.x", "3"])
    assert files == [first, second]
    check_files(files)
    assert find_key(files, "x") == Place(second, 3, "a[1].x")
    assert find_key(files, "x", ["b"]) == Place(first, 3, "b.x")
    assert find_key(files, "b.x") == Place(first, 3, "b.x")
    assert find_key(files, "nothing") is None
    assert find_value(files, "text") == Place(second, 3, "a[1].x")


_keys = st.text("abcdefgh_", min_size=1, max_size=4)
_documents = st.recursive(
    st.integers(0, 9),
    lambda inner: st.dictionaries(_keys, inner, min_size=1, max_size=3) | st.lists(inner),
    max_leaves=12,
)


@settings(max_examples=30)
@given(st.dictionaries(_keys, _documents, min_size=1, max_size=4))
def test_every_key_of_a_document_is_found(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, object]
) -> None:
    import yaml

    file = tmp_path_factory.mktemp("yaml") / "mine.yaml"
    file.write_text(yaml.safe_dump(document))
    lines = file.read_text().splitlines()
    for key, value in document.items():
        place = find_key([file], key)
        assert place is not None
        assert place.path.rpartition(".")[2] == key
        assert f"{key}:" in lines[place.line - 1]
        for inner in value if isinstance(value, dict) else ():
            found = find_key([file], inner, [key])
            assert found is not None
            assert found.path.split(".")[0].partition("[")[0] != ""
            assert f"{inner}:" in lines[found.line - 1]
