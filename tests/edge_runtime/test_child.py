"""What a process of ours is given along, and what is told of its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.child import child_environment, ending_of, signal_name


def ended(status: int, said: bytes = b"") -> str:
    return ending_of(subprocess.CompletedProcess(["asked"], status, b"an answer, perhaps", said))


def test_a_child_finds_our_modules_from_whatever_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "only_here.py").write_text("WORD = 'found'")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["ours", *sys.path])
    environment = child_environment()
    code = "import edge_runtime, only_here; print(only_here.WORD)"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd="/", env=environment, capture_output=True, check=True
    )
    assert found.stdout.strip() == b"found"


def test_a_child_has_the_rest_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_VL_WORD", "kept")
    environment = child_environment()
    assert environment["EDGE_VL_WORD"] == "kept"
    assert {**environment, "PYTHONPATH": ""} == {**os.environ, "PYTHONPATH": ""}


def test_our_own_environment_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    child_environment()
    assert "PYTHONPATH" not in os.environ


@pytest.mark.parametrize(
    ("status", "said", "words"),
    [
        (-signal.SIGSEGV, b"Traceback", "it was ended by SIGSEGV"),
        (-signal.SIGKILL, b"", "it was ended by SIGKILL"),
        (1, b"Traceback\n  line 3\nValueError: no such engine\n\n", "ValueError: no such engine"),
        (3, b"", "it ended with status 3 and said nothing"),
        (3, b" \n\t\n", "it ended with status 3 and said nothing"),
        (1, b"\x1b[31mred\xff", "[31mred\ufffd"),
        (0, b"warned\n", "warned"),
        (0, b"", "it ended with status 0 and said nothing"),
    ],
)
def test_an_end_is_told_in_its_own_last_words(status: int, said: bytes, words: str) -> None:
    assert ended(status, said) == words


def test_a_flood_of_words_is_cut_to_a_line() -> None:
    assert len(ended(1, b"x" * 10**6)) == 600


@pytest.mark.parametrize(("number", "name"), [(11, "SIGSEGV"), (9, "SIGKILL"), (50, "signal 50")])
def test_a_signal_has_its_name_if_it_has_one(number: int, name: str) -> None:
    assert signal_name(number) == name
