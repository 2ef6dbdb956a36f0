"""Which layers stay finer than they were asked to be, so that a bundle keeps within a budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from calibration.decision import Decision, Float
from calibration.ladder import Ladder, Mix
from edge_runtime.errors import EdgeVLError
from edge_runtime.progress import Progress
from edge_runtime.spec import Role

CODE = "EVL-CALIBRATE-BUDGET"
MIB = 1 << 20


@dataclass(frozen=True)
class Measured:
    """What a whole mix costs, of a bundle that was asked: nats a token, and points of accuracy where there is a test."""

    kl: float
    lost_points: float | None = None


Measure = Callable[[Mix], Measured]


@dataclass(frozen=True)
class Budget:
    """All that is given must hold: KL in nats, accuracy in points that may be lost, the whole bundle's size."""

    kl: float | None = None
    accuracy: float | None = None
    mib: float | None = None

    def __post_init__(self) -> None:
        flags = {"--budget-kl": self.kl, "--budget-accuracy": self.accuracy, "--budget-mib": self.mib}
        for flag, value in flags.items():
            if value is not None and not (math.isfinite(value) and value >= 0):
                what, why = f"{flag} {value} is no budget", "it is not a number from zero up"
                raise EdgeVLError(CODE, what, why, "give what may be lost, or what there is room for")

    @property
    def is_given(self) -> bool:
        return self.is_measured or self.mib is not None

    @property
    def is_measured(self) -> bool:
        return self.kl is not None or self.accuracy is not None

    def holds(self, measured: Measured) -> bool:
        if self.kl is not None and not measured.kl <= self.kl:
            return False
        if self.accuracy is None:
            return True
        assert measured.lost_points is not None, "a budget of accuracy needs a test"
        return measured.lost_points <= self.accuracy

    def words(self, measured: Measured) -> str:
        """As in "a KL of 0.02 against a budget of 0.01"."""
        said = (
            [] if self.kl is None else [f"a KL of {measured.kl:.3g} nats against a budget of {self.kl:.3g}"]
        )
        if self.accuracy is not None:
            said.append(f"{measured.lost_points:.3g} points lost against a budget of {self.accuracy:.3g}")
        return " and ".join(said)


@dataclass(frozen=True)
class Lift:
    """One layer goes up to a higher rung; `worth` is the damage that saves for each byte it takes."""

    ladder: int
    rung: int
    worth: float


@dataclass(frozen=True)
class Choice:
    """`bytes` is of the whole bundle, rounded up. `measured` is of exactly this mix; None where no budget needed it."""

    mix: Mix
    bytes: int
    lifts: int
    measured: Measured | None
    tries: int = 0  # whole mixes that were measured


def chosen_mix(
    asked: Mix,
    ladders: Sequence[Ladder],
    budget: Budget,
    fixed_bytes: int,
    measure: Measure,
    progress: Progress,
) -> Choice:
    """`asked` with some layers of the ladders nearer to float; EVL-CALIBRATE-BUDGET names the figures if no mix holds.

    Under a budget for what is lost it is the mix with the fewest bytes that bisection finds, and it was measured to
    hold; under one for bytes alone it is the one with the least damage. `fixed_bytes` is of all besides the ladders.
    """
    climb = Climb(asked, ladders, fixed_bytes)
    top = climb.highest(budget.mib)
    if not budget.is_measured:
        return climb.choice(top, None)
    return Search(climb, top, budget, measure, progress).run()


class Climb:
    """Mixes in a row, from all layers on their lowest rungs to all in float, the lift that is worth most first."""

    def __init__(self, asked: Mix, ladders: Sequence[Ladder], fixed_bytes: int) -> None:
        self._asked, self._ladders, self._fixed_bytes = asked, ladders, fixed_bytes
        self.lifts = lifts_from(ladders)

    def __len__(self) -> int:
        """Mixes."""
        return len(self.lifts) + 1

    def rungs(self, count: int) -> list[int]:
        """Of each ladder after the first `count` lifts."""
        found = [0] * len(self._ladders)
        for lift in self.lifts[:count]:
            found[lift.ladder] = lift.rung
        return found

    def bytes(self, count: int) -> int:
        rungs = zip(self._ladders, self.rungs(count), strict=True)
        return self._fixed_bytes + sum(ladder.rungs[rung].bytes for ladder, rung in rungs)

    def mix(self, count: int) -> Mix:
        found: dict[Role, dict[str, Decision]] = {role: dict(each) for role, each in self._asked.items()}
        for ladder, rung in zip(self._ladders, self.rungs(count), strict=True):
            decision = ladder.rungs[rung].decision
            found[ladder.role][ladder.layer] = (
                Float(reason(ladder)) if isinstance(decision, Float) else decision
            )
        return found

    def highest(self, mib: float | None) -> int:
        """How many lifts fit."""
        if mib is None:
            return len(self.lifts)
        fitting = [count for count in range(len(self)) if self.bytes(count) <= mib * MIB]
        if not fitting:
            raise least_error(self.bytes(0), mib)
        return fitting[-1]

    def choice(self, count: int, measured: Measured | None, tries: int = 0) -> Choice:
        return Choice(self.mix(count), self.bytes(count), count, measured, tries)


def check_least(least_bytes: int, mib: float) -> None:
    """What needs no measuring: whether there is room for every layer as small as was asked for."""
    if least_bytes > mib * MIB:
        raise least_error(least_bytes, mib)


def least_error(least_bytes: int, mib: float) -> EdgeVLError:
    least = least_bytes / MIB
    what = f"no mix fits {mib:g} MiB"
    why = f"with every layer as small as was asked for the bundle takes {least:.2f} MiB"
    return EdgeVLError(CODE, what, why, f"give --budget-mib {math.ceil(least)}, or ask for fewer bits")


def lifts_from(ladders: Sequence[Ladder]) -> tuple[Lift, ...]:
    every = [lift for number, ladder in enumerate(ladders) for lift in lifts_of(number, ladder)]
    return tuple(sorted(every, key=lambda lift: (-lift.worth, lift.ladder, lift.rung)))


def lifts_of(number: int, ladder: Ladder) -> list[Lift]:
    """Each to the rung whose bytes are worth most; so the worth of a ladder's lifts never grows on the way up."""
    found, at, most = list[Lift](), 0, math.inf
    while at < len(ladder.rungs) - 1:
        worths = {to: worth_of(ladder, at, to) for to in range(at + 1, len(ladder.rungs))}
        at = max(worths, key=lambda to: worths[to])
        most = min(most, worths[at])  # but for rounding it is
        found.append(Lift(number, at, most))
    return found


def worth_of(ladder: Ladder, low: int, high: int) -> float:
    below, above = ladder.rungs[low], ladder.rungs[high]
    saved = 0.0 if below.damage == above.damage else below.damage - above.damage  # both may be inf
    return saved / (above.bytes - below.bytes)


def reason(ladder: Ladder) -> str:
    """Why a layer that was to be quantised stays float."""
    low, top = ladder.rungs[0], ladder.rungs[-1]
    if low is top:
        return "quantised it would take no fewer bytes"
    cost = f"it costs {low.damage:.3g} nats" if math.isfinite(low.damage) else "it breaks every answer"
    return f"alone {cost} and saves {(top.bytes - low.bytes) / MIB:.3g} MiB"


class Search:
    """Bisection over how many lifts are taken. Only what was measured is ever returned."""

    def __init__(self, climb: Climb, top: int, budget: Budget, measure: Measure, progress: Progress) -> None:
        self._climb, self._top, self._budget = climb, top, budget
        self._measure, self._progress = measure, progress
        self._done, self._total = 0, 2 + max(top - 1, 0).bit_length()

    def run(self) -> Choice:
        first = self._measured(0)
        if self._budget.holds(first):
            return self._climb.choice(0, first, self._done)
        best = self._measured(self._top) if self._top else first
        if not self._budget.holds(best):
            raise self._error(best)
        low, high = 0, self._top  # low does not hold, high does
        while high - low > 1:
            middle = (low + high) // 2
            measured = self._measured(middle)
            if self._budget.holds(measured):
                high, best = middle, measured
            else:
                low = middle
        return self._climb.choice(high, best, self._done)

    def _measured(self, count: int) -> Measured:
        self._progress("measuring mixes", self._done, self._total)
        self._done += 1
        return self._measure(self._climb.mix(count))

    def _error(self, best: Measured) -> EdgeVLError:
        said = self._budget.words(best)
        if self._top < len(self._climb) - 1:
            what = f"no mix keeps within the budget and {self._budget.mib:g} MiB"
            why = f"the best that fits has {said}"
            return EdgeVLError(CODE, what, why, "give more room in one of the two")
        what = "no mix keeps within the budget"
        why = f"with every layer that could be lifted in float there is {said}"
        return EdgeVLError(CODE, what, why, "raise the budget, or ask for more bits where nothing is lifted")
