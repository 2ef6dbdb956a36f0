"""Settings in a file: what they are, in which line, and what is no such file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.config_file import LIMIT_BYTES, values_of_file


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "serve.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_every_value_is_told_with_its_line(tmp_path: Path) -> None:
    found = values_of_file(written(tmp_path, "# ours\nport = 81\n\n'host' = \"::1\"\n[kiosk]\nx = 1\n"))
    assert {name: each.value for name, each in found.items()} == {
        "port": 81,
        "host": "::1",
        "kiosk": {"x": 1},
    }
    assert [each.place for each in found.values()] == [
        "serve.toml line 2",
        "serve.toml line 4",
        "serve.toml line 5",
    ]


def test_a_name_that_another_one_begins_with_is_not_taken_for_it(tmp_path: Path) -> None:
    found = values_of_file(written(tmp_path, "waiting_tokens = 9\nwaiting = 2\n"))
    assert found["waiting"].place == "serve.toml line 2"


def test_a_name_in_escapes_is_told_without_a_line(tmp_path: Path) -> None:
    found = values_of_file(written(tmp_path, '"p\\u006frt" = 1\n'))
    assert found["port"].place == "serve.toml"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("port = \n", "line 1"),
        ("port = 1\nport = 2\n", "line 2"),
        (b"port = '\xff'\n", "not UTF-8"),
        ("x = " + "[" * 100_000, "too deeply"),
        ("#" * (LIMIT_BYTES + 1), "longer than 1024 KiB"),
    ],
)
def test_what_is_no_toml_is_refused_with_a_reason(tmp_path: Path, text: str | bytes, why: str) -> None:
    with pytest.raises(EdgeVLError, match=why) as caught:
        values_of_file(written(tmp_path, text))
    assert caught.value.code == "EVL-CONFIG-FILE"


def test_what_cannot_be_read_is_refused_with_a_reason_and_without_a_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, why in (
        (tmp_path / "missing", "No such file"),
        (tmp_path, "Is a directory|not a regular file"),
        (tmp_path / "pipe", "not a regular file"),
        (Path("a\0b"), "no such path"),
    ):
        with pytest.raises(EdgeVLError, match=why):
            values_of_file(path)
