"""Till receipts: a few goods, what each costs, and a total that is their exact sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demo.data.canvas import INKS, RASTER, SMALL_PITCH, Canvas, Rgb
from demo.data.codes import INK_NAMES, PANELS, phrased, with_article
from demo.data.scene import CANVAS, Box, Question, Scene
from demo.data.shape import may_meet
from demo.data.split import Split, drawn
from demo.data.strings import drawn_goods, drawn_prices, has_price, price_text

STRIPS: tuple[Rgb, ...] = ((255, 255, 255), (250, 248, 240), (244, 246, 250))
FEWEST, MOST = 3, 5  # goods on a receipt
NAME, PRICE = 6, 5  # symbols of the longest name and of the longest price
SPACING, RULE_GAP = 24, 12  # pixels from line to line, and how many more lie above the total, for the rule
MARGIN = 2  # pixels
PADS, HALF_LINE = (3, 5, 7), 6  # pixels: paper around the print, and half of a line's height
SUM_TRIES = 10_000


@dataclass(frozen=True)
class Plan:
    """Where the strip of paper lies and how it is printed."""

    goods: int
    gap: int  # symbols between the longest name and the longest price
    pad: int  # pixels of paper around the print
    left: int  # where names start
    first: int  # the middle of the first line

    @property
    def box(self) -> Box:
        around = self.pad + HALF_LINE
        return (self.left - self.pad, self.first - around, self.right + self.pad, self.total + around)

    @property
    def right(self) -> int:
        """Where prices end."""
        return self.left + (NAME + self.gap + PRICE) * SMALL_PITCH

    @property
    def total(self) -> int:
        """The middle of the last line."""
        return self.first + self.goods * SPACING + RULE_GAP

    @property
    def layout(self) -> str:
        """As fine as the raster, and with the paper's size: there are few places for a large receipt."""
        return f"{self.goods}/{self.gap}/{self.pad}/{self.left},{self.first}"

    @property
    def corner(self) -> str:
        left, top, right, bottom = self.box
        return (
            f"{'top' if top + bottom < CANVAS else 'bottom'} {'left' if left + right < CANVAS else 'right'}"
        )


Bought = Sequence[tuple[str, int]]  # what and for how many cents, from top to bottom


def receipts_scene(rng: np.random.Generator, split: Split) -> Scene:
    """Prices and the total all belong to the set; no two goods on one receipt cost the same."""
    goods = int(rng.integers(FEWEST, MOST + 1))
    plan = drawn(split, "layout/receipts", lambda: _plan(rng, goods), lambda plan: plan.layout)
    prices = _prices(rng, split, plan.goods)
    bought = list(zip(drawn_goods(rng, plan.goods), prices, strict=True))
    table = tuple(PANELS)[int(rng.integers(len(PANELS)))]
    canvas = Canvas(rng, PANELS[table][0])
    _draw(canvas, plan, bought, [ink for ink in INKS if may_meet(split, INK_NAMES[ink], table)])
    return Scene(
        picture=canvas.finished(),
        caption=f"a receipt with {plan.goods} items at the {plan.corner} of {with_article(table)} table",
        words=_words(bought),
        marks=tuple(canvas.marks),
        questions=tuple(Question("receipt", *asked) for asked in _asked(rng, bought)),
    )


def _plan(rng: np.random.Generator, goods: int) -> Plan:
    """All print lies on the raster, so that none of it is moved on the strip."""
    gap, pad = int(rng.integers(1, 3)), PADS[int(rng.integers(len(PADS)))]
    _, _, right, bottom = Plan(goods, gap, pad, 0, RASTER // 2).box
    left = _stepped(rng, 0, pad, CANVAS - MARGIN - right)
    first = _stepped(rng, RASTER // 2, pad + HALF_LINE, CANVAS - MARGIN - bottom + RASTER // 2)
    return Plan(goods, gap, pad, left, first)


def _stepped(rng: np.random.Generator, start: int, before: int, most: float) -> int:
    """One of start + k * RASTER that leaves the margin and what is `before` it free and is not above `most`."""
    places = [place for place in range(start, int(most) + 1, RASTER) if place - before >= MARGIN]
    return places[int(rng.integers(len(places)))]


def _prices(rng: np.random.Generator, split: Split, count: int) -> list[int]:
    for _ in range(SUM_TRIES):
        prices = drawn_prices(rng, split, count)
        if has_price(split, sum(prices)):
            return prices
    raise AssertionError(f"no {count} prices of the {split} set add up to one of it")


def _draw(canvas: Canvas, plan: Plan, bought: Bought, inks: Sequence[Rgb]) -> None:
    rng, ink = canvas.rng, inks[int(canvas.rng.integers(len(inks)))]
    canvas.draw.rectangle(plan.box, fill=STRIPS[int(rng.integers(len(STRIPS)))])
    canvas.mark("receipt", plan.box)
    lines = [*bought, ("TOTAL", sum(cents for _, cents in bought))]
    for index, (name, cents) in enumerate(lines):
        middle, price = plan.first + index * SPACING, price_text(cents)
        middle = plan.total if name == "TOTAL" else middle
        canvas.small_text(plan.left, middle, name, ink)
        canvas.small_text(plan.right - len(price) * SMALL_PITCH, middle, price, ink)
    rule = plan.total - (SPACING + RULE_GAP) / 2
    canvas.draw.line((plan.left, rule, plan.right, rule), fill=ink)


def _words(bought: Bought) -> str:
    lines = [f"{name} {price_text(cents)}" for name, cents in bought]
    total = price_text(sum(cents for _, cents in bought))
    return f"receipt {len(bought)} items . {' . '.join(lines)} . total {total}"


def _asked(rng: np.random.Generator, bought: Bought) -> list[tuple[str, str]]:
    asked: list[tuple[str, str]] = []
    for name, cents in bought:
        ask = phrased(rng, "how much is the {}?", "what does the {} cost?", "what is the price of the {}?")
        asked.append((ask.format(name), price_text(cents)))
        asked.append((f"what costs {price_text(cents)}?", name))
    by_price = sorted(bought, key=lambda line: line[1])
    total = price_text(sum(cents for _, cents in bought))
    return [
        *asked,
        (phrased(rng, "what is the total?", "how much is the total?"), total),
        (phrased(rng, "how many items?", "how many items are on the receipt?"), str(len(bought))),
        (phrased(rng, "which item is the cheapest?", "what is the cheapest item?"), by_price[0][0]),
        (phrased(rng, "which item costs the most?", "what is the most expensive item?"), by_price[-1][0]),
        (phrased(rng, "what is the first item?", "which item is the first?"), bought[0][0]),
        (phrased(rng, "what is the last item?", "which item is the last?"), bought[-1][0]),
    ]
