"""Colours that have no name: what has one counts as a shape and as one of its kind, and as nothing of any colour that has a name."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable
from itertools import product

from demo.data.canvas import Rgb
from demo.data.shape import COLOURS

LEAST = 72.0  # of 442: how far a shade is at least from every colour that has a name
HUES = 30
GREY, DOUBT = 0.1, 1 / 12  # saturation of what has no hue; of the wheel
FULL, PALE, DEEP = (0.85, 0.85), (0.45, 0.92), (0.6, 0.5)  # saturation and value


def distance(one: Rgb, other: Rgb) -> float:
    """0 to 442."""
    return float(sum((here - there) ** 2 for here, there in zip(one, other, strict=True)) ** 0.5)


def shades() -> dict[str, Rgb]:
    """All around the wheel, but what could be taken for a colour that has a name; each with a name that is never said."""
    found: dict[str, Rgb] = {}
    for (saturation, value), step in product((FULL, PALE, DEEP), range(HUES)):
        parts = colorsys.hsv_to_rgb(step / HUES, saturation, value)
        red, green, blue = (round(255 * part) for part in parts)
        shade = (red, green, blue)
        if all(distance(shade, named) >= LEAST for named, _ in COLOURS.values()):
            found[f"nameless-{len(found)}"] = shade
    return found


NAMELESS = shades()
INKS: dict[str, Rgb] = {name: ink for name, (ink, _) in COLOURS.items()} | NAMELESS


def hue_of(ink: Rgb) -> float | None:
    """Its place on the wheel, from 0 to 1; black, white and grey have none."""
    hue, saturation, _ = colorsys.rgb_to_hsv(*(part / 255 for part in ink))
    return hue if saturation > GREY else None


def is_doubtful(colour: str, shade: str) -> bool:
    """Whether somebody might call the shade by that colour's name."""
    one, other = hue_of(INKS[colour]), hue_of(INKS[shade])
    if one is None or other is None:
        return False
    turn = abs(one - other)
    return min(turn, 1 - turn) < DOUBT


def possible_names(colour: str) -> frozenset[str]:
    """What somebody might call it."""
    if colour in COLOURS:
        return frozenset((colour,))
    return frozenset(name for name in COLOURS if is_doubtful(name, colour))


def names_in_doubt(colours: Iterable[str]) -> frozenset[str]:
    """What somebody might call those of them that have no name: no question can be about it."""
    return frozenset(name for shade in colours if shade in NAMELESS for name in possible_names(shade))


def shades_on(paper: Rgb) -> list[str]:
    """Those that show on it."""
    return [name for name, shade in NAMELESS.items() if distance(shade, paper) >= LEAST]
