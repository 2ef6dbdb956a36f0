"""Plots as inline SVG. Places are shares of the width and texts keep their size: a phone shows the same, narrower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from calibration.page_markup import escaped

ROW, TALL = 17, 90  # pixels: of one bar in a list, and of columns over positions
LEAST, MOST, A_LETTER = 12.0, 46.0, 2.0  # per cent of a phone's width: what names take
END = 72.0  # where the longest bar ends; what is said stands right of it


@dataclass(frozen=True)
class Bar:
    """`parts` are lengths one after the other, each in the colour that its name stands for."""

    label: str
    parts: tuple[tuple[str, float], ...]
    said: str

    def __post_init__(self) -> None:
        assert all(length >= 0 for _, length in self.parts), self

    @property
    def length(self) -> float:
        return sum(length for _, length in self.parts)


def bars(every: Sequence[Bar], title: str, longest: float | None = None) -> str:
    """One below the other; `longest` fills the width, the longest of them unless told."""
    if not every:
        return ""
    start = min(max(A_LETTER * max(len(bar.label) for bar in every) + 1, LEAST), MOST)
    scale = (END - start) / (longest or max(bar.length for bar in every) or 1.0)
    rows = "".join(row_of(bar, number * ROW, start, scale) for number, bar in enumerate(every))
    return picture(rows, len(every) * ROW, title)


def row_of(bar: Bar, top: int, start: float, scale: float) -> str:
    at, drawn = start, ""
    for colour, length in bar.parts:
        width = length * scale
        drawn += (
            f'<rect class="{colour}" x="{at:.2f}%" y="{top + 3}" width="{width:.2f}%" height="{ROW - 6}"/>'
        )
        at += width
    label = f'<text class="end" x="{start - 1:.1f}%" y="{top + 12}">{escaped(bar.label)}</text>'
    return f'{label}{drawn}<text x="{at + 1:.2f}%" y="{top + 12}">{escaped(bar.said)}</text>'


def columns(heights: Sequence[float], colour: str, title: str, top: str) -> str:
    """Side by side, numbered from 1; the highest line stands for `top`, which is 1."""
    assert heights and all(0 <= height <= 1 for height in heights), title
    wide, drawn = 100 / len(heights), ""
    for number, height in enumerate(heights):
        tall = height * TALL
        place = f'x="{number * wide + wide / 8:.2f}%" y="{16 + TALL - tall:.1f}"'
        drawn += f'<rect class="{colour}" {place} width="{wide * 3 / 4:.2f}%" height="{tall:.1f}"/>'
        if number in (0, len(heights) - 1) or (number + 1) % max(1, len(heights) // 8) == 0:
            middle = (number + 0.5) * wide
            drawn += f'<text class="middle" x="{middle:.2f}%" y="{TALL + 30}">{number + 1}</text>'
    lines = "".join(f'<line x1="0" x2="100%" y1="{at}" y2="{at}"/>' for at in (16, 16 + TALL))
    return picture(f'{lines}{drawn}<text x="0" y="11">{escaped(top)}</text>', TALL + 36, title)


def picture(body: str, height: int, title: str) -> str:
    return f'<svg class="plot" height="{height}" role="img" aria-label="{escaped(title)}">{body}</svg>'
