"""What is refused before anything is run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.jetson.stand_in import Accepted, StandIn, accepted


def assert_refused(done: Accepted, board: StandIn, code: str) -> None:
    lines = done.err.splitlines()
    assert (done.status, done.out, [line[:6] for line in lines]) == (2, "", ["what: ", "why:  ", "do:   "]), (
        done
    )
    assert lines[0].endswith(f" [{code}]")
    assert not (board.folder / "calls").exists()


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--out"],
        ["--out", ""],
        ["--out", "r.json", "--engine", "onnxruntime"],
        ["--out", "r.json", "--runs", "0"],
        ["--out", "r.json", "--memory-mib", "much"],
        ["--out", "r.json", "--verbose"],
    ],
    ids=" ".join,
)
def test_flags_that_are_not_understood_are_refused(hollow: Path, board: StandIn, flags: list[str]) -> None:
    assert_refused(accepted([hollow, *flags], board.commands), board, "EVL-USAGE")


def test_a_report_is_never_replaced(hollow: Path, board: StandIn, out: Path) -> None:
    out.write_text("precious")
    assert_refused(accepted([hollow, "--out", out], board.commands), board, "EVL-OUT-EXISTS")
    assert out.read_text() == "precious"


def test_a_report_needs_a_folder(hollow: Path, board: StandIn, tmp_path: Path) -> None:
    done = accepted([hollow, "--out", tmp_path / "nowhere" / "report.json"], board.commands)
    assert_refused(done, board, "EVL-OUT-UNWRITABLE")


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path, board: StandIn, out: Path) -> None:
    assert_refused(accepted([tmp_path, "--out", out], board.commands), board, "EVL-BUNDLE-MISSING")


def test_a_name_that_is_too_long_is_no_bundle(tmp_path: Path, board: StandIn, out: Path) -> None:
    done = accepted([tmp_path / ("b" * 400), "--out", out], board.commands)
    assert_refused(done, board, "EVL-BUNDLE-MISSING")


def test_programs_are_told_in_an_object(tmp_path: Path, board: StandIn, out: Path) -> None:
    done = accepted([tmp_path, "--out", out, "--json"], board.commands)
    assert done.status == 2
    error = json.loads(done.out)["error"]
    assert error.keys() == {"code", "what", "why", "fix"} and error["code"] == "EVL-BUNDLE-MISSING"
    assert len(done.err.splitlines()) == 3


def test_the_fallback_has_to_be_a_bundle_too(hollow: Path, tmp_path: Path, board: StandIn, out: Path) -> None:
    done = accepted([hollow, "--out", out, "--fallback", tmp_path], board.commands)
    assert_refused(done, board, "EVL-BUNDLE-MISSING")


def test_a_checkpoint_that_is_not_there_is_refused(hollow: Path, board: StandIn, out: Path) -> None:
    done = accepted([hollow, "--out", out, "--against", hollow / "none"], board.commands)
    assert_refused(done, board, "EVL-CHECKPOINT-FOLDER")
