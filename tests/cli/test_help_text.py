"""`--help` of every command that is not Lightning's, and values shown to people."""

import re
import subprocess
import sys

import pytest

from semihvision.cli.main import main
from semihvision.cli.output import counts_in_text, in_text

COMMANDS = [
    "quickstart",
    "demo-data",
    "sources",
    "doctor",
    "prepare",
    "records show",
    "records stats",
    "records export",
    "records browse",
    "index build",
    "index search",
    "index audit",
    "annotate plan",
    "annotate run",
    "annotate status",
    "annotate export",
    "models show",
    "convert from-cambrian",
    "convert to-hf",
    "convert verify",
    "evaluate",
    "chat",
    "score",
    "judge run",
]


def _help(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_every_option_without_python(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = _help(command, capsys)
    assert text.startswith(f"usage: semihvision {command} ")
    assert "Exit codes: 0 done" in text
    assert not re.search(r"<class|type: |default: (null|\[|\{|False|\))|Namespace|required, ", text)
    # An option whose line is followed by the next one has no explanation.
    listed = text[text.index("options:") :].splitlines()
    for line, following in zip(listed, [*listed[1:], ""], strict=True):
        alone = re.fullmatch(r"  (-\S*)( [^ ]+| \[.*\]| \{.*\})*", line)
        assert not alone or re.match(r" {10,}\S", following), line


def test_what_may_be_left_out_is_not_called_required(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(_help("sources", capsys).split())
    assert "only these sources --" not in text
    assert "required" not in text
    assert "folder with the owner's files (required)" in " ".join(_help("prepare", capsys).split())


def test_defaults_are_shown_also_where_they_are_zero(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(_help("quickstart", capsys).split())
    assert "--seed N seed of data, weights and sample order (default: 0)" in text
    assert "(default: runs/quickstart)" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ([], "-"),
        ({}, "-"),
        ("", ""),
        (True, "yes"),
        (128256, "128,256"),
        (0.5, "0.5"),
        ((3, 6), "3, 6"),
        ({"rewrite": 3, "retrieve": [1, 2]}, "rewrite: 3, retrieve: 1, 2"),
    ],
)
def test_values_are_shown_without_brackets(value: object, text: str) -> None:
    assert in_text(value) == text


def test_counts_are_numbers_and_words() -> None:
    assert counts_in_text({"missing_image": 1200, "too_long": 1}) == (
        "1,200 missing image, 1 too long"
    )


def test_light_commands_load_neither_arrays_nor_clients() -> None:
    code = (
        "import sys\n"
        "from semihvision.cli.main import main\n"
        "assert main(['doctor', '--json']) in (0, 4)\n"
        "found = {'numpy', 'pyarrow', 'PIL', 'torch', 'openai', 'mlflow'} & set(sys.modules)\n"
        "assert not found, found\n"
        "import semihvision.cli.annotate\n"
        "assert 'openai' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
