"""Files that were shown before."""

from __future__ import annotations

import pytest
from PIL import Image

from edge_runtime.server.worker.canvases import Canvases


class Maker:
    def __init__(self) -> None:
        self.made: list[bytes] = []

    def __call__(self, file: bytes) -> Image.Image:
        if file == b"broken":
            raise ValueError(file)
        self.made.append(file)
        return Image.new("RGB", (1, 1))


def test_a_file_that_comes_again_is_not_made_again() -> None:
    canvases, make = Canvases(), Maker()
    first = canvases.of(b"a", make)
    canvases.of(b"b", make)
    assert canvases.of(b"a", make) is first
    assert make.made == [b"a", b"b"]


def test_the_one_that_was_shown_longest_ago_is_forgotten_first() -> None:
    canvases, make = Canvases(remembered=2), Maker()
    for file in (b"a", b"b", b"a", b"c", b"a", b"b"):
        canvases.of(file, make)
    assert make.made == [b"a", b"b", b"c", b"b"]


def test_what_goes_wrong_is_remembered_of_nobody() -> None:
    canvases, make = Canvases(), Maker()
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            canvases.of(b"broken", make)
