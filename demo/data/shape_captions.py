"""What is said of shapes where nobody asks."""

from __future__ import annotations

from demo.data.scene import box_text
from demo.data.shape import COLOURS, Shape
from demo.data.shape_questions import corner_of, kinds_of


def colour_of(shape: Shape) -> str:
    return shape.colour if shape.colour in COLOURS else "coloured"


def caption_of(shapes: tuple[Shape, ...]) -> str:
    """What there is, the large before the small, and where if there are few; at most 20 words."""
    many = [(colour_of(shape), shape.kind) for shape in sorted(shapes, key=lambda shape: -shape.side)]
    parts = []
    for colour, kind in dict.fromkeys(many):
        count = many.count((colour, kind))
        article = "an" if colour == "orange" else "a"
        one = f"{article} {colour} {kind}"
        parts.append(one if count == 1 else f"{count} {colour} {kinds_of(kind).english}")
    if len(parts) == len(shapes) <= 2:
        corners = [corner_of(shape) for shape in sorted(shapes, key=lambda shape: -shape.side)]
        spots = [f" at the {corner.english}" if corner else "" for corner in corners]
        parts = [part + spot for part, spot in zip(parts, spots, strict=True)]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def words_of(shapes: tuple[Shape, ...]) -> str:
    """Everything that may be asked: what, in which corner, how wide in pixels, and the box."""
    lines = []
    for shape in shapes:
        corner = corner_of(shape)
        spot = f" {corner.english}" if corner else ""
        lines.append(f"{colour_of(shape)} {shape.kind}{spot} {shape.side:.0f} {box_text(shape.box)}")
    return f"{len(shapes)} shape{'s' * (len(shapes) > 1)}: " + ", ".join(lines)
