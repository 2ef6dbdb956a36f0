"""The text of a scene read back from its marks, and checks every printed scene must pass."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from demo.data.canvas import RASTER
from demo.data.scene import CANVAS, Box, Mark, Scene
from demo.data.split import Split, rng_from_name

SPLITS: tuple[Split, ...] = ("train", "validation", "held-out")
Maker = Callable[[np.random.Generator, Split], Scene]


def made(maker: Maker, split: Split, count: int) -> list[Scene]:
    return [maker(rng_from_name(11, split, index), split) for index in range(count)]


def glyphs_of(scene: Scene) -> list[Mark]:
    return [mark for mark in scene.marks if len(mark.label) == 1]


def printed_words(scene: Scene) -> list[tuple[str, Box]]:
    """Glyphs that stand side by side, in the order they were drawn."""
    return printed_lines(scene, most=0.5)


def printed_lines(scene: Scene, most: float = CANVAS) -> list[tuple[str, Box]]:
    """Rows of glyphs in the order they were drawn; a space wherever a cell or more is left free, if `most` cells
    of a row may be."""
    lines: list[tuple[str, Box]] = []
    for mark in glyphs_of(scene):
        pitch = mark.box[2] - mark.box[0]
        if lines:
            text, box = lines[-1]
            same_row = abs(box[1] - mark.box[1]) < 0.01 and abs(box[3] - mark.box[3]) < 0.01
            gap = mark.box[0] - box[2]
            if same_row and -0.01 < gap < most * pitch:
                space = " " if gap > 0.5 * pitch else ""
                lines[-1] = (text + space + mark.label, (box[0], box[1], mark.box[2], box[3]))
                continue
        lines.append((mark.label, mark.box))
    return lines


def is_on_raster(box: Box) -> bool:
    """Whether a thing's middle is that of a cell."""
    return all(abs((box[axis] + box[axis + 2]) / 2 % RASTER - RASTER / 2) < 0.01 for axis in (0, 1))


def check_sound(scene: Scene) -> None:
    """Nothing is cut, every glyph has a cell's middle and no two share one, and nothing is asked twice."""
    for mark in scene.marks:
        left, top, right, bottom = mark.box
        assert 0 <= left < right <= CANVAS, mark
        assert 0 <= top < bottom <= CANVAS, mark
    glyphs = [mark.box for mark in glyphs_of(scene)]
    assert all(map(is_on_raster, glyphs))
    for index, one in enumerate(glyphs):
        for other in glyphs[index + 1 :]:
            across = min(one[2], other[2]) - max(one[0], other[0])
            down = min(one[3], other[3]) - max(one[1], other[1])
            assert across < 0.01 or down < 0.01, (one, other)
    texts = [question.text for question in scene.questions]
    assert len(set(texts)) == len(texts)
    assert len(scene.caption.split()) <= 20
