import hashlib

import pytest

from semihvision.core.errors import InputError
from semihvision.core.hashing import hash_file, hash_path, hash_text, hash_value


def test_hash_of_a_file_is_the_plain_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"\x00abc" * 1_000_000)
    expected = hashlib.sha256(b"\x00abc" * 1_000_000).hexdigest()
    assert hash_file(tmp_path / "a") == hash_path(tmp_path / "a") == expected


def test_hash_of_text_is_of_its_utf_8_bytes():
    assert hash_text("Säule") == hashlib.sha256("Säule".encode()).hexdigest()


def test_hash_of_a_value_ignores_the_order_of_keys_only():
    assert hash_value({"a": 1, "b": [1, 2]}) == hash_value({"b": [1, 2], "a": 1})
    assert hash_value([1, 2]) != hash_value([2, 1])
    assert hash_value("1") != hash_value(1)


def test_hash_of_a_folder_depends_on_names_and_contents(tmp_path):
    def folder(name: str, files: dict[str, str]) -> str:
        for file, text in files.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return hash_path(tmp_path / name)

    first = folder("one", {"x": "1", "sub/y": "2"})
    assert folder("two", {"sub/y": "2", "x": "1"}) == first
    assert folder("three", {"x": "1", "sub/z": "2"}) != first
    assert folder("four", {"x": "1", "sub/y": "3"}) != first


def test_what_cannot_be_hashed_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        hash_path(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty folder"):
        hash_path(tmp_path / "empty")
