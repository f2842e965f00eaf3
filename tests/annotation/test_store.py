import sqlite3
from pathlib import Path

import pytest

from semihvision.annotation.draft import Draft
from semihvision.annotation.store import DraftStore, finished_keys, store_path, stored_drafts
from semihvision.core.errors import InputError


def draft(key: str, **changes: str) -> Draft:
    values = {"record_id": "folder/a", "path": "retrieve", "producer": "model", "model": "m"}
    return Draft.model_validate({**values, "key": key, "prompt_hash": "h", **changes})


def test_drafts_come_back_as_they_were(tmp_path: Path) -> None:
    made = draft("1", caption="A mass.")
    with DraftStore(tmp_path / "s.sqlite") as store:
        store.put(made)
        assert store.get("1") == made
        assert store.get("2") is None
    with DraftStore(tmp_path / "s.sqlite") as store:
        assert store.get("1") == made


def test_a_failure_is_not_finished_and_can_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with DraftStore(path) as store:
        store.put(draft("1", failure="refusal", reason="the model declined"))
        assert not store.finished("1")
        store.put(draft("2"))
    assert finished_keys(path) == {"2"}
    with DraftStore(path) as store:
        store.put(draft("1", caption="Now."))
        assert store.finished("1")
    assert [one.caption for one in stored_drafts(path)] == ["Now.", ""]


def test_there_is_one_writer_and_readers_may_look_in(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with DraftStore(path) as store:
        store.put(draft("1"))
        with pytest.raises(InputError, match="in use by another run"), DraftStore(path):
            pass
        assert finished_keys(path) == {"1"}
        assert [one.key for one in stored_drafts(path)] == ["1"]


def test_what_was_put_survives_a_writer_that_dies(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"

    def die() -> None:
        with DraftStore(path) as store:
            store.put(draft("1"))
            raise KeyError

    with pytest.raises(KeyError):
        die()
    assert finished_keys(path) == {"1"}


def test_foreign_files_are_named(tmp_path: Path) -> None:
    text = tmp_path / "t.sqlite"
    text.write_text("no database, but long enough to be taken for the header of one, perhaps")
    other = tmp_path / "o.sqlite"
    database = sqlite3.connect(other)
    database.execute("PRAGMA user_version = 9")
    database.close()
    for path, words in ((text, "not a readable store"), (other, "version 9, expected 2")):
        with pytest.raises(InputError, match=words), DraftStore(path):
            pass
        with pytest.raises(InputError, match=words):
            finished_keys(path)
    with pytest.raises(InputError, match="no such store"):
        list(stored_drafts(tmp_path / "absent.sqlite"))
    assert finished_keys(tmp_path / "absent.sqlite") == set()


def test_the_store_stands_beside_the_output() -> None:
    assert store_path(Path("d/out.parquet")) == Path("d/out.annotate.sqlite")
