"""Price tags on coloured cards: what is sold, for how much, and which card has it on sale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demo.data.canvas import PAPERS, RASTER, Canvas, on_raster
from demo.data.codes import CELL, PANELS, drawn_colours, phrased, with_article
from demo.data.scene import CANVAS, Box, Question, Scene
from demo.data.split import Split, drawn
from demo.data.strings import drawn_goods, drawn_prices, price_text

NAME_LENGTH, PRICE_LENGTH = 6, 4  # symbols of the longest name and of every price
NAME_SIZES, SALE_SIZE, SALE_PITCH = (14, 18), 12, 11.0  # pixels
MARGIN, PAD = 3, 5  # pixels


@dataclass(frozen=True)
class Plan:
    """Where the cards lie and how they are printed."""

    beside: bool  # two cards left and right, not above each other
    name_size: int
    name_pitch: float
    price_size: int
    price_pitch: float
    boxes: tuple[Box, ...]

    @property
    def layout(self) -> str:
        places = " ".join(f"{int(box[0] // CELL)},{int(box[1] // CELL)}" for box in self.boxes)
        return f"{self.name_size}/{self.price_size // 4}/{places}"

    @property
    def places(self) -> tuple[str, ...]:
        if len(self.boxes) == 1:
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
    count = len(plan.boxes)
    sale = int(rng.integers(-1, count))  # -1: nothing is
    goods, colours = drawn_goods(rng, count), drawn_colours(rng, split, count)
    prices = drawn_prices(rng, split, count)
    tags = [
        Tag(plan.places[index], colours[index], goods[index], prices[index], index == sale)
        for index in range(count)
    ]
    canvas = Canvas(rng, PAPERS[int(rng.integers(len(PAPERS)))])
    for tag, box in zip(tags, plan.boxes, strict=True):
        _draw(canvas, plan, tag, box)
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
    name_size = NAME_SIZES[0] if beside else int(rng.integers(NAME_SIZES[0], NAME_SIZES[1] + 1))
    name_pitch = float(12 if name_size < 16 else 16)
    price_pitch = float(RASTER * rng.integers(5, 6 if beside else 8 if count == 2 else 10))
    price_size = int(price_pitch * 1.35)
    width = max(NAME_LENGTH * name_pitch, PRICE_LENGTH * price_pitch) + 2 * PAD
    height = name_size + 0.75 * price_size + SALE_SIZE + 5 * PAD
    if beside:
        lefts, tops = _spread(rng, width, count), [_anywhere(rng, height) for _ in range(count)]
    else:
        lefts, tops = [_anywhere(rng, width) for _ in range(count)], _spread(rng, height, count)
    boxes = tuple((left, top, left + width, top + height) for left, top in zip(lefts, tops, strict=True))
    return Plan(beside, name_size, name_pitch, price_size, price_pitch, boxes)


def _anywhere(rng: np.random.Generator, extent: float) -> float:
    return float(rng.uniform(MARGIN, CANVAS - MARGIN - extent))


def _spread(rng: np.random.Generator, extent: float, count: int) -> list[float]:
    """Where each of `count` equal things begins, one after the other with at least a margin between."""
    free = CANVAS - 2 * MARGIN - count * extent - (count - 1) * MARGIN
    assert free >= 0, "the cards are too large for the canvas"
    cuts = np.sort(rng.uniform(0, free, count)).tolist()
    return [MARGIN + cut + index * (extent + MARGIN) for index, cut in enumerate(cuts)]


def _draw(canvas: Canvas, plan: Plan, tag: Tag, box: Box) -> None:
    fill, ink = PANELS[tag.colour]
    canvas.draw.rounded_rectangle(box, 5, fill=fill)
    canvas.mark(f"{tag.colour} tag", box)
    centre, middle = (box[0] + box[2]) / 2, box[1] + PAD + 0.5 * plan.name_size
    left = centre - len(tag.name) * plan.name_pitch / 2
    canvas.text(left, middle, tag.name, plan.name_size, plan.name_pitch, ink)
    middle += 0.5 * plan.name_size + PAD + 0.36 * plan.price_size
    left = centre - PRICE_LENGTH * plan.price_pitch / 2
    canvas.text(left, middle, price_text(tag.cents), plan.price_size, plan.price_pitch, ink)
    if tag.on_sale:
        middle = box[3] - PAD - SALE_SIZE / 2
        half = 2 * SALE_PITCH
        left, middle = on_raster(centre - half, middle, len("SALE"), SALE_PITCH)
        canvas.draw.rectangle((left - 2, middle - 6, left + 2 * half + 2, middle + 6), fill=ink)
        canvas.text(left, middle, "SALE", SALE_SIZE, SALE_PITCH, fill)


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
