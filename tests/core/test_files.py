from pathlib import Path

import pytest

from semihvision.core.errors import RefusalLog
from semihvision.core.files import open_atomically, write_text_atomically


def test_text_is_written_below_new_folders_and_replaces_the_older(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"

    for text in ("older\n", "ä\n"):
        write_text_atomically(path, text)

    assert path.read_bytes() == "ä\n".encode()
    assert [found.name for found in path.parent.iterdir()] == ["b.txt"]


def test_an_interrupted_block_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text("older")

    def interrupted() -> None:
        with open_atomically(path) as stream:
            stream.write("newer")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "older"
    assert [found.name for found in tmp_path.iterdir()] == ["lines.jsonl"]


def test_a_failed_write_leaves_the_older_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "refused.jsonl"
    path.write_text("older")

    with pytest.raises(UnicodeEncodeError):
        write_text_atomically(path, "half a file \ud800")

    refused = RefusalLog()
    refused.add("row 1", reason="torn \ud800", kind="torn")
    with pytest.raises(UnicodeEncodeError):
        refused.write(path)
    assert path.read_text() == "older"
    assert [found.name for found in tmp_path.iterdir()] == ["refused.jsonl"]
