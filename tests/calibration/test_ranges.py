"""Looks at samples, and what is in memory meanwhile."""

from __future__ import annotations

import weakref
from pathlib import Path

import pytest
from PIL import Image

from calibration import ranges
from calibration.desk import Desk
from calibration.observer import Observer
from calibration.ranges import WatchedVision, vision_ranges
from calibration.samples import samples_from_folder
from edge_runtime.bundle import Bundle
from edge_runtime.progress import silent
from tests.proof.subject import bundle_below, session_folder


@pytest.mark.parametrize(("observer", "passes"), [("minmax", 1), ("mse", 2)])
def test_one_pass_over_the_towers_is_in_memory_at_a_time(
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    observer: Observer,
    passes: int,
) -> None:
    made: list[weakref.ref[WatchedVision]] = []

    def watched(*arguments: object) -> WatchedVision:
        assert all(each() is None for each in made), "the pass before holds its sessions still"
        found = WatchedVision(*arguments)  # type: ignore[arg-type]
        made.append(weakref.ref(found))
        return found

    monkeypatch.setattr(ranges, "WatchedVision", watched)
    Image.radial_gradient("L").save(tmp_path / "photo.png")
    bundle = Bundle.open(bundle_below(session_folder(tmp_path_factory), "hybrid"))
    samples, desk = samples_from_folder(tmp_path, 1), Desk(tmp_path / "out", "key")
    found = vision_ranges(bundle, "ort", samples, observer, 0.5, 1, desk, silent)
    assert len(made) == passes and found.scalings.keys() == found.reaches.keys()
