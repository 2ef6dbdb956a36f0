"""Price tags on coloured cards: what is sold, for how much, and which card has it on sale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demo.data.canvas import PAPERS, SMALL_PITCH, SMALL_SIZE, Canvas, on_raster
from demo.data.codes import CELL, PANELS, drawn_colours, phrased, with_article
from demo.data.placing import apart
from demo.data.scene import CANVAS, Box, Question, Scene
from demo.data.split import Split, drawn
from demo.data.strings import drawn_goods, drawn_prices, price_text

NAME_LENGTH, PRICE_LENGTH = 6, 4  # symbols of the longest name and of every price
PITCHES = {24: (28, 32), 36: (30, 36)}  # of prices, with the smallest and the largest size of their font
BESIDE_SIZES = (15, 17)  # of prices as narrow as the names: two large ones do not fit side by side
LEADING = 24  # pixels from line to line
MARGIN, PAD, HALF_LINE = 3, 5, 6  # pixels; half of a small line's height


@dataclass(frozen=True)
class Plan:
    """Where the cards lie and how they are printed."""

    beside: bool  # two cards left and right, not above each other
    price_size: int
    price_pitch: int
    places: tuple[tuple[float, float], ...]  # where each price starts, and its middle

    @property
    def layout(self) -> str:
        places = " ".join(f"{int(left // CELL)},{int(middle // CELL)}" for left, middle in self.places)
        return f"{self.price_pitch}/{self.price_size // 4}/{places}"

    @property
    def boxes(self) -> tuple[Box, ...]:
        tall = LEADING + HALF_LINE + PAD
        wide = max(PRICE_LENGTH * self.price_pitch, NAME_LENGTH * SMALL_PITCH) / 2 + PAD
        middles = [(left + PRICE_LENGTH * self.price_pitch / 2, middle) for left, middle in self.places]
        return tuple((x - wide, y - tall, x + wide, y + tall) for x, y in middles)

    @property
    def sides(self) -> tuple[str, ...]:
        if len(self.places) == 1:
            return ("",)
        return ("left", "right") if self.beside else ("top", "bottom")


@dataclass(frozen=True)
class Tag:
    place: str  # empty when there is one tag only
    colour: str
    name: str
    cents: int
    on_sale: bool


def price_tags_scene(rng: np.random.Generator, split: Split) -> Scene:
    """One or two tags; at most one of them is on sale."""
    plan = drawn(split, "layout/price_tags", lambda: _plan(rng), lambda plan: plan.layout)
    count = len(plan.places)
    sale = int(rng.integers(-1, count))  # -1: nothing is
    goods, colours = drawn_goods(rng, count), drawn_colours(rng, split, count)
    prices = drawn_prices(rng, split, count)
    tags = [
        Tag(plan.sides[index], colours[index], goods[index], prices[index], index == sale)
        for index in range(count)
    ]
    canvas = Canvas(rng, PAPERS[int(rng.integers(len(PAPERS)))])
    for index, tag in enumerate(tags):
        _draw(canvas, plan, index, tag)
    return Scene(
        picture=canvas.finished(),
        caption=_caption(tags, plan.beside),
        words=" . ".join(_described(tag) for tag in tags),
        marks=tuple(canvas.marks),
        questions=tuple(Question("price_tag", *asked) for asked in _asked(rng, tags)),
    )


def _plan(rng: np.random.Generator) -> Plan:
    count = 1 if rng.random() < 0.25 else 2
    beside = count == 2 and bool(rng.random() < 0.4)
    pitch = SMALL_PITCH if beside else int(rng.choice(tuple(PITCHES))) if count == 1 else min(PITCHES)
    low, high = BESIDE_SIZES if beside else PITCHES[pitch]
    size = int(rng.integers(low, high + 1))
    left, top, right, bottom = Plan(beside, size, pitch, ((0, 0),)).boxes[0]
    if beside:
        lefts, tops = _spread(rng, right - left, count), [_anywhere(rng, bottom - top) for _ in range(count)]
    else:
        lefts, tops = [_anywhere(rng, right - left) for _ in range(count)], _spread(rng, bottom - top, count)
    places = [(x - left, y - top) for x, y in zip(lefts, tops, strict=True)]
    plan = Plan(beside, size, pitch, tuple(on_raster(x, y, PRICE_LENGTH, pitch) for x, y in places))
    return plan if _is_clear(plan.boxes) else _plan(rng)


def _is_clear(boxes: tuple[Box, ...]) -> bool:
    """Whether cards moved on to the raster still keep the margins."""
    inside = all(min(box) >= MARGIN - 1 and max(box) <= CANVAS - MARGIN + 1 for box in boxes)
    return inside and (len(boxes) == 1 or apart(boxes[0], boxes[1], MARGIN))


def _anywhere(rng: np.random.Generator, extent: float) -> float:
    return float(rng.uniform(MARGIN, CANVAS - MARGIN - extent))


def _spread(rng: np.random.Generator, extent: float, count: int) -> list[float]:
    """Where each of `count` equal things begins, one after the other with at least a margin between."""
    free = CANVAS - 2 * MARGIN - count * extent - (count - 1) * MARGIN
    assert free >= 0, "the cards are too large for the canvas"
    cuts = np.sort(rng.uniform(0, free, count)).tolist()
    return [MARGIN + cut + index * (extent + MARGIN) for index, cut in enumerate(cuts)]


def _draw(canvas: Canvas, plan: Plan, index: int, tag: Tag) -> None:
    fill, ink = PANELS[tag.colour]
    box, (start, middle) = plan.boxes[index], plan.places[index]
    canvas.draw.rounded_rectangle(box, 5, fill=fill)
    canvas.mark(f"{tag.colour} tag", box)
    centre = start + PRICE_LENGTH * plan.price_pitch / 2
    left = centre - len(tag.name) * SMALL_PITCH / 2
    canvas.text(left, middle - LEADING, tag.name, SMALL_SIZE, SMALL_PITCH, ink)
    canvas.text(start, middle, price_text(tag.cents), plan.price_size, plan.price_pitch, ink)
    if tag.on_sale:
        half = len("SALE") * SMALL_PITCH / 2
        left, middle = on_raster(centre - half, middle + LEADING, len("SALE"), SMALL_PITCH)
        canvas.draw.rectangle((left - 1, middle - 7, left + 2 * half, middle + 6), fill=ink)
        canvas.text(left, middle, "SALE", SMALL_SIZE, SMALL_PITCH, fill)


def _described(tag: Tag) -> str:
    said = (tag.place, tag.colour, "tag", tag.name, price_text(tag.cents), "on sale" if tag.on_sale else "")
    return " ".join(filter(None, said))


def _caption(tags: Sequence[Tag], beside: bool) -> str:
    each = [f"{with_article(tag.colour)} tag with {price_text(tag.cents)}" for tag in tags]
    return (" left of " if beside else " above ").join(each)


def _called(rng: np.random.Generator, tag: Tag) -> str:
    return f"the {phrased(rng, tag.place, tag.colour)} tag" if tag.place else "the tag"


def _asked(rng: np.random.Generator, tags: Sequence[Tag]) -> list[tuple[str, str]]:
    asked: list[tuple[str, str]] = []
    for tag in tags:
        price = price_text(tag.cents)
        ask = phrased(rng, "how much is the {}?", "what does the {} cost?", "what is the price of the {}?")
        asked.append((ask.format(tag.name), price))
        asked.append((f"what costs {price}?", tag.name))
        asked.append((f"what colour is the tag of the {tag.name}?", tag.colour))
        ask = phrased(rng, "what is the price on {}?", "what does {} cost?")
        asked.append((ask.format(_called(rng, tag)), price))
        asked.append(
            (phrased(rng, "what is sold on {}?", "which item is on {}?").format(_called(rng, tag)), tag.name)
        )
        if tag.on_sale:
            asked.append((phrased(rng, "what is on sale?", "which item is on sale?"), tag.name))
    return [*asked, *_compared(rng, tags)]


def _compared(rng: np.random.Generator, tags: Sequence[Tag]) -> list[tuple[str, str]]:
    if len(tags) < 2:
        return []
    cheap, dear = (tag.name for tag in sorted(tags, key=lambda tag: tag.cents))
    one, other = (tag.name for tag in tags)
    either = phrased(rng, f", the {one} or the {other}?", f", the {other} or the {one}?", "?", "?")
    return [("which is cheaper" + either, cheap), ("which costs more" + either, dear)]
