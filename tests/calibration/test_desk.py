"""What a calibration lays down, and finds again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.desk import Desk
from edge_runtime.errors import EdgeVLError


def test_what_was_laid_down_is_found_again(tmp_path: Path) -> None:
    Desk(tmp_path / "out", "key").lay("a", {"x": np.arange(3), "y/z": np.array([1.5])})
    found = Desk(tmp_path / "out", "key").take("a")
    assert found is not None and found.keys() == {"x", "y/z"}
    assert found["x"].tolist() == [0, 1, 2] and found["y/z"].tolist() == [1.5]


def test_nothing_is_made_before_something_is_laid_down(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "out", "key")
    assert desk.take("a") is None
    desk.clear()
    assert list(tmp_path.iterdir()) == []


def test_what_was_begun_otherwise_is_refused_and_kept(tmp_path: Path) -> None:
    Desk(tmp_path / "out", "one").lay("a", {"x": np.arange(3)})
    with pytest.raises(EdgeVLError, match="another bundle, recipe") as caught:
        Desk(tmp_path / "out", "other").take("a")
    assert caught.value.code == "EVL-CALIBRATE-DESK"
    assert Desk(tmp_path / "out", "one").take("a") is not None


def test_what_was_begun_otherwise_is_refused_before_any_piece_is_asked_for(tmp_path: Path) -> None:
    Desk(tmp_path / "out", "one").lay("a", {"x": np.arange(3)})
    Desk(tmp_path / "out", "one").check()
    with pytest.raises(EdgeVLError, match="number of threads or version") as caught:
        Desk(tmp_path / "out", "other").check()
    assert caught.value.code == "EVL-CALIBRATE-DESK"


def test_a_desk_that_was_being_cleared_when_its_run_was_killed_still_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path / "out", "key")
    for name in ("a", "z"):
        desk.lay(name, {"x": np.arange(3)})
    unlinked, unlink = list[str](), Path.unlink

    def killed(path: Path, missing_ok: bool = False) -> None:
        if unlinked:
            raise KeyboardInterrupt
        unlinked.append(path.name)
        unlink(path, missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            desk.clear()
    assert len(list(desk.folder.iterdir())) == 2  # the key, and one that was not reached
    desk.check()
    desk.clear()
    assert list(tmp_path.iterdir()) == []


def test_an_empty_place_belongs_to_whoever_comes(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "out", "key")
    desk.check()
    desk.folder.mkdir()  # of a run that was killed before it found anything
    desk.check()


def test_pieces_that_say_nothing_of_the_whole_are_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "out", "key")
    desk.lay("a", {"x": np.arange(3)})
    (desk.folder / "key.npz").unlink()
    with pytest.raises(EdgeVLError, match=r"key\.npz: it is missing"):
        desk.check()


def test_a_piece_that_was_removed_while_it_was_needed_is_named(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "out", "key")
    desk.lay("a", {"x": np.arange(3)})
    assert desk.found("a")["x"].tolist() == [0, 1, 2]
    (desk.folder / "a.npz").unlink()
    with pytest.raises(EdgeVLError, match=r"a\.npz: it was removed"):
        desk.found("a")


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 torn", b"no archive at all"])
def test_what_is_broken_is_refused_by_name(tmp_path: Path, damage: bytes) -> None:
    desk = Desk(tmp_path / "out", "key")
    desk.lay("a", {"x": np.arange(3)})
    (desk.folder / "a.npz").write_bytes(damage)
    with pytest.raises(EdgeVLError, match=r"a\.npz") as caught:
        desk.take("a")
    assert caught.value.code == "EVL-CALIBRATE-DESK"


def test_a_torn_write_leaves_what_was_there(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "out", "key")
    desk.lay("a", {"x": np.arange(3)})
    (desk.folder / "a.partial").write_bytes(b"half")
    found = desk.take("a")
    assert found is not None and found["x"].tolist() == [0, 1, 2]


def test_it_is_due_after_a_while_and_not_at_once(tmp_path: Path) -> None:
    assert Desk(tmp_path / "out", "key", save_seconds=0.0).is_due
    assert not Desk(tmp_path / "out", "key").is_due
