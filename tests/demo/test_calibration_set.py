"""The pictures that the demo's integers are fitted to."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from calibration.samples import samples_from_file
from demo.calibration_set import LISTING, drawn_samples, main, write_samples
from demo.data.scene import TASKS
from edge_runtime.errors import EdgeVLError


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_calibrate_takes_the_list_and_the_same_pictures_come_every_time(tmp_path: Path) -> None:
    for name, count in (("a", 3), ("b", 3), ("c", 5)):
        write_samples(tmp_path / name, count)
    found = samples_from_file(tmp_path / "a" / LISTING, 10)
    assert len(found.samples) == 3 and not found.broken and all(each.prompt for each in found.samples)
    first, again, more = (contents(tmp_path / name) for name in "abc")
    assert first == again
    assert {name: more[name] for name in first if name != LISTING} == {
        name: data for name, data in first.items() if name != LISTING
    }


def test_boxes_are_asked_for_as_often_as_all_else_and_every_other_kind_about_alike() -> None:
    asked = Counter(question.task for _, question in drawn_samples(128))
    assert set(asked) == set(TASKS) - {"dialogue"}
    assert abs(asked.pop("box") - asked.total()) <= 16
    assert max(asked.values()) <= min(asked.values()) + 2


@pytest.mark.parametrize("count", [0, -1, 1_000_000])
def test_a_count_that_means_nothing_is_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(EdgeVLError, match="cannot be drawn"):
        write_samples(tmp_path / "a", count)
    assert not list(tmp_path.iterdir())


def test_the_command_writes_a_folder_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    monkeypatch.setattr(sys, "argv", ["demo.calibration_set", str(out), "--count", "2"])
    assert (main(), main()) == (0, 2)
    assert "[EVL-OUT-EXISTS]" in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == ["0.png", "1.png", LISTING]
