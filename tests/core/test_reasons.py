"""Errors of libraries in words, free of what a file holds."""

import gzip
import io
import json
import re
import sqlite3
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image, UnidentifiedImageError

from semihvision.core.reasons import in_words, json_kind

SECRET = "Miller, John"


def _raised(call: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 -- any kind is what is tested
        call()
    return caught.value


def _truncated_image() -> object:
    whole = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(whole, "PNG")
    with Image.open(io.BytesIO(whole.getvalue()[:-40])) as opened:
        return opened.load()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Path("/nowhere/at/all").read_text(), "there is no such file"),
        (lambda: Path("/").read_text(), "it is a folder, not a file"),
        (lambda: Image.open(io.BytesIO(SECRET.encode())), "in no image format"),
        (_truncated_image, "its data end too early"),
        (lambda: zipfile.ZipFile(io.BytesIO(SECRET.encode())), "no ZIP file"),
        (lambda: gzip.decompress(SECRET.encode()), "no gzip file"),
        (lambda: zlib.decompress(SECRET.encode()), "its content is damaged"),
        (lambda: b"\xff\xfe".decode(), "no UTF-8 text"),
        (lambda: json.loads(f'{{"name":\n "{SECRET}"'), "no JSON from line 2, column 16 on"),
        (lambda: pq.ParquetFile(io.BytesIO(SECRET.encode())), "no Parquet or Arrow file"),
        (lambda: {}[SECRET], "its content is damaged"),
        (lambda: int(SECRET), "its content is damaged"),
    ],
)
def test_a_reason_is_in_words_and_quotes_nothing(call: Callable[[], object], words: str) -> None:
    error = _raised(call)
    said = in_words(error)
    assert words in said
    assert SECRET not in said
    assert type(error).__name__ not in said
    assert not re.search(r"[a-z][A-Z]|Error", said.replace("SQLite", "").replace("UTF-8", ""))


def test_what_is_no_database_is_said_so(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    file.write_text(SECRET * 100)
    store = sqlite3.connect(file)
    try:
        error = _raised(lambda: store.execute("SELECT 1 FROM runs"))
    finally:
        store.close()
    assert in_words(error) == "it is no SQLite database, or a damaged one"


def test_the_nearest_known_class_gives_the_words() -> None:
    class OurError(UnidentifiedImageError):
        """A class that is not known by its name."""

    assert in_words(OurError()) == in_words(UnidentifiedImageError())
    assert in_words(OSError(28, "No space left on device")) == (
        "the system says: No space left on device"
    )


def test_json_values_are_called_as_json_calls_them() -> None:
    document = json.loads('[null, true, 1, 1.5, "a", {}, []]')
    assert [json_kind(value) for value in document] == [
        "null",
        "true or false",
        "a number",
        "a number",
        "a text",
        "an object",
        "an array",
    ]
