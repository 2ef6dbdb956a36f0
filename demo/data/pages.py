"""Pages of a few lines to be read aloud: the shortest way from what is printed to what is said.

The paper's first stage shows rendered documents beside captions for the same reason: a question about one line of
a label teaches little as long as no line can be read.
"""

from __future__ import annotations

import numpy as np

from demo.data.canvas import INKS, PAPERS, RASTER, Canvas
from demo.data.codes import smudge
from demo.data.practice import CAPITAL, below, drawn_print
from demo.data.scene import CANVAS, Question, Scene
from demo.data.split import Split, drawn
from demo.data.strings import NUMBER, drawn_code, drawn_length

READ = "read the lines."
MOST_LINES = 4
DIGITS = 0.3  # share of the lines that are a number
AIR = 3.0  # pixels at most, beyond what keeps lines apart


def page_scene(rng: np.random.Generator, split: Split) -> Scene:
    """Lines of codes and numbers of this set from top to bottom, on paper that is dirty every other time."""
    canvas = Canvas(rng, PAPERS[int(rng.integers(len(PAPERS)))])
    ink = INKS[int(rng.integers(len(INKS)))]
    if rng.random() < 0.5:
        smudge(canvas, ink)
    top, lines = float(rng.integers(0, 4)) * RASTER, list[str]()
    for _ in range(int(rng.integers(1, MOST_LINES + 1))):
        size, pitch = drawn_print(rng)
        half = CAPITAL / 2 * size
        middle = below(top + half)
        if middle + half > CANVAS:
            break
        text = drawn_line(rng, split, CANVAS // pitch - 1)
        left = float(rng.uniform(0, CANVAS - len(text) * pitch))
        canvas.text(left, middle, text, size, pitch, ink)
        lines.append(text)
        top = middle + half + float(rng.uniform(0.5, AIR)) * RASTER
    read = " ".join(lines)
    question = Question("dialogue", READ, read)
    return Scene(canvas.finished(), "lines of print", read, tuple(canvas.marks), (question,))


def drawn_line(rng: np.random.Generator, split: Split, most: int) -> str:
    length = min(most, drawn_length(rng))
    if rng.random() >= DIGITS:
        return drawn_code(rng, split, length)
    return drawn(split, NUMBER, lambda: "".join(map(str, rng.integers(0, 10, length).tolist())))
