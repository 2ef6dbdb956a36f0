"""A stage's picture shows its loss and what it gets right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from demo.train.plot import plot_log, shares_in, smoothed


def test_the_picture_is_replaced_whole(tmp_path: Path) -> None:
    log = [(step, {"loss": 1.0 / step, "answers": step / 50}) for step in range(1, 51)]
    out = tmp_path / "text.png"
    out.write_bytes(b"an older one")
    plot_log("text", log, out)
    with Image.open(out) as picture:
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 10
    assert [path.name for path in tmp_path.iterdir()] == ["text.png"]


def test_only_shares_are_drawn_below() -> None:
    log = [(1, {"loss": 2.0, "language": 1.0, "answers": 0.1}), (2, {"loss": 1.0, "right": 0.5, "box": 0.2})]
    assert shares_in(log) == ["answers", "box", "right"]


def test_smoothing_keeps_length_and_level() -> None:
    assert np.allclose(smoothed(np.full(170, 3.0)), 3.0)
    assert len(smoothed(np.arange(33.0))) == 33
