"""Lists of JSON objects, as users and their programs write them."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from calibration.listing import Entry, entries_from_file
from edge_runtime.errors import EdgeVLError

EXAMPLE = '{"image": "photo.jpg"}'


def written(folder: Path, data: bytes) -> Path:
    path = folder / "list.jsonl"
    path.write_bytes(data)
    return path


def test_lines_keep_their_numbers_and_empty_ones_do_not_count(tmp_path: Path) -> None:
    path = written(tmp_path, b'{"a": 1}\r\n\n  \n[2]')
    assert entries_from_file(path, "EVL-X", EXAMPLE) == [
        Entry("list.jsonl, line 1", {"a": 1}),
        Entry("list.jsonl, line 4", [2]),
    ]


def test_what_some_programs_write_before_the_first_line_does_not_count(tmp_path: Path) -> None:
    path = written(tmp_path, codecs.BOM_UTF8 + b'{"a": 1}\n')
    assert entries_from_file(path, "EVL-X", EXAMPLE)[0].value == {"a": 1}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"a": 1', "Expecting ',' delimiter (column 8)"),
        (b"{'a': 1}", "Expecting property name enclosed in double quotes (column 2)"),
        (b'{"a": 1, "a": 2}', "the key 'a' is there twice"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b"[" * 100_000, "lists or objects are nested too deeply"),
        (b"[" * 1_000_001, "more than 1000000 lists and objects"),
        ('{"a": "ä"}'.encode("latin-1"), "it is not UTF-8 text"),
        ('{"a": 1}'.encode("utf-16"), "it is not UTF-8 text"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_json_is_named_with_what_to_write_instead(
    tmp_path: Path, line: bytes, why: str
) -> None:
    with pytest.raises(EdgeVLError) as caught:
        entries_from_file(written(tmp_path, b"[]\n" + line), "EVL-X", EXAMPLE)
    error = caught.value
    assert (error.code, error.what, error.why) == ("EVL-X", "list.jsonl, line 2 is no JSON", why)
    assert error.fix == f"write one {EXAMPLE} a line, in UTF-8"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.jsonl"):
        with pytest.raises(EdgeVLError, match=f"cannot read {path}") as caught:
            entries_from_file(path, "EVL-X", EXAMPLE)
        assert EXAMPLE in caught.value.fix
