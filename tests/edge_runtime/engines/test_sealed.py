"""A record that is not as it was written is refused, with the code of whoever asks."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_runtime.bundle import digest_of
from edge_runtime.engines.sealed import SEAL, sealed, unsealed
from edge_runtime.errors import EdgeVLError

CODE, LIMIT = "EVL-ENGINE-TRIAL", 4096


@dataclass(frozen=True)
class Note:
    words: str
    pages: int


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A note, as it is written."""
    path = tmp_path / "note.json"
    path.write_text(json.dumps(sealed({"words": "as it was", "pages": 3})))
    return path


def refusal(file: Path) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        unsealed(Note, file, LIMIT, CODE)
    assert caught.value.code == CODE
    assert file.name in caught.value.what
    return caught.value


def test_a_record_is_read_as_it_was_sealed(file: Path) -> None:
    assert unsealed(Note, file, LIMIT, CODE) == Note("as it was", 3)


def test_a_seal_is_the_digest_of_what_stands_beside_it_and_changes_nothing_of_it() -> None:
    value = {"words": "as it was"}
    assert sealed(value) == {"words": "as it was", SEAL: digest_of({"words": "as it was"})}
    assert SEAL not in value


@pytest.mark.parametrize("change", [{"words": "other"}, {"pages": 4}, {SEAL: "00" * 32}, {SEAL: None}])
def test_what_was_changed_under_its_seal_is_damaged(file: Path, change: dict[str, object]) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    error = refusal(file)
    assert error.what == "note.json is damaged"
    assert "its seal says" in error.why


def test_a_well_sealed_record_of_another_kind_is_refused_by_key(file: Path) -> None:
    file.write_text(json.dumps(sealed({"words": "as it was"})))
    assert "pages: is missing" in refusal(file).why


@pytest.mark.parametrize("text", ["", "[]", "7", "{", "\0"])
def test_what_is_no_object_is_refused(file: Path, text: str) -> None:
    file.write_text(text)
    refusal(file)


def test_what_is_no_file_is_refused_unopened_and_nothing_there_is_said_so(file: Path) -> None:
    for make in (os.mkfifo, Path.mkdir):
        file.unlink()
        make(file)
        assert refusal(file).why == "it is not a regular file"
    with pytest.raises(FileNotFoundError):
        unsealed(Note, file.with_name("nothing.json"), LIMIT, CODE)


def test_no_more_is_read_than_the_limit(file: Path) -> None:
    file.write_text(json.dumps(sealed({"words": "a" * LIMIT, "pages": 3})))
    assert "not the JSON we write" in refusal(file).why
