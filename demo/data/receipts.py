"""Till receipts: a few goods, what each costs, and a total that is their exact sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demo.data.canvas import INKS, SMALL_PITCH, Canvas, Rgb
from demo.data.codes import PANELS, phrased, with_article
from demo.data.scene import CANVAS, Box, Question, Scene
from demo.data.split import Split, drawn
from demo.data.strings import drawn_goods, drawn_prices, has_price, price_text

STRIPS: tuple[Rgb, ...] = ((255, 255, 255), (250, 248, 240), (244, 246, 250))
FEWEST, MOST = 3, 5  # goods on a receipt
NAME, PRICE = 6, 5  # symbols of the longest name and of the longest price
SPACINGS = (2 * SMALL_PITCH, 3 * SMALL_PITCH)  # pixels from line to line
MARGIN, PAD = 3, 5  # pixels
RULE_GAP = SMALL_PITCH  # pixels, so much more lies above the total, for the rule
PLACE = 16  # pixels; large receipts have few places, so their cells are finer than those of other layouts
SUM_TRIES = 10_000


@dataclass(frozen=True)
class Plan:
    """Where the strip of paper lies and how it is printed."""

    goods: int
    spacing: int  # pixels from line to line
    gap: int  # symbols between the longest name and the longest price
    left: int
    top: int

    @property
    def box(self) -> Box:
        width = (NAME + self.gap + PRICE) * SMALL_PITCH + 2 * PAD
        height = (self.goods + 1) * self.spacing + RULE_GAP + 2 * PAD
        return (self.left, self.top, self.left + width, self.top + height)

    @property
    def layout(self) -> str:
        place = f"{int(self.left // PLACE)},{int(self.top // PLACE)}"
        return f"{self.goods}/{self.spacing}/{self.gap}/{place}"

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
    _draw(canvas, plan, bought)
    return Scene(
        picture=canvas.finished(),
        caption=f"a receipt with {plan.goods} items at the {plan.corner} of {with_article(table)} table",
        words=_words(bought),
        marks=tuple(canvas.marks),
        questions=tuple(Question("receipt", *asked) for asked in _asked(rng, bought)),
    )


def _plan(rng: np.random.Generator, goods: int) -> Plan:
    """The strip lies so that its print is on the raster: lines are as far apart as they were planned."""
    spacing, gap = SPACINGS[int(rng.integers(len(SPACINGS)))], int(rng.integers(1, 4))
    flat = Plan(goods, spacing, gap, 0, 0)
    first = SMALL_PITCH // 2 - spacing // 2  # where the lines begin if their middles lie on the raster
    left = _stepped(rng, -PAD, CANVAS - MARGIN - flat.box[2])
    top = _stepped(rng, first - PAD, CANVAS - MARGIN - flat.box[3])
    return Plan(goods, spacing, gap, left, top)


def _stepped(rng: np.random.Generator, start: int, most: float) -> int:
    """One of start + k * SMALL_PITCH that is neither in the margin nor above `most`."""
    least = start + -(-(MARGIN - start) // SMALL_PITCH) * SMALL_PITCH
    return least + SMALL_PITCH * int(rng.integers((int(most) - least) // SMALL_PITCH + 1))


def _prices(rng: np.random.Generator, split: Split, count: int) -> list[int]:
    for _ in range(SUM_TRIES):
        prices = drawn_prices(rng, split, count)
        if has_price(split, sum(prices)):
            return prices
    raise AssertionError(f"no {count} prices of the {split} set add up to one of it")


def _draw(canvas: Canvas, plan: Plan, bought: Bought) -> None:
    rng, (left, top, right, bottom) = canvas.rng, plan.box
    ink = INKS[int(rng.integers(len(INKS)))]
    canvas.draw.rectangle(plan.box, fill=STRIPS[int(rng.integers(len(STRIPS)))])
    canvas.mark("receipt", plan.box)
    lines = [*bought, ("TOTAL", sum(cents for _, cents in bought))]
    for index, (name, cents) in enumerate(lines):
        middle, price = top + PAD + (index + 0.5) * plan.spacing, price_text(cents)
        middle += RULE_GAP if name == "TOTAL" else 0
        canvas.small_text(left + PAD, middle, name, ink)
        canvas.small_text(right - PAD - len(price) * SMALL_PITCH, middle, price, ink)
    rule = bottom - PAD - plan.spacing - RULE_GAP / 2
    canvas.draw.line((left + PAD, rule, right - PAD, rule), fill=ink)


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
