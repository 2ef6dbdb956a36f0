"""How long engines take to build, by those that lie on the same shelf, and how far one under way may have come.

The library's own monitor is not asked: its steps come in a burst at the beginning, and what is compiled and written
after it is one step each (docs/decisions.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_runtime.engines.place import Place
from edge_runtime.engines.receipt import Receipt
from edge_runtime.engines.shelf import Shelf

MIB = 1 << 20
KNOWN_SHARE = 0.9  # of an engine's bytes that pass by the clock: the rest is told when it is there
PATIENCE_S = 1.0  # before the time itself is shown, where nothing else is known


@dataclass(frozen=True)
class Taken:
    """What one engine took."""

    name: str
    mib: float
    seconds: float


@dataclass(frozen=True)
class Lap:
    """One engine under way: `done` bytes of others before it, `size` of its own."""

    name: str
    done: int
    size: int
    expected_s: float | None

    def told(self, seconds: float) -> tuple[str, int]:
        """A label and the bytes done, `seconds` after it was begun. Past what was expected nobody knows: the bytes
        stand, and the label tells how long it has been."""
        title = f"building {self.name}"
        share = 0.0 if self.expected_s is None else seconds / self.expected_s
        if seconds >= PATIENCE_S and (self.expected_s is None or share > KNOWN_SHARE):
            title = f"{title} for {time_passed(seconds)}"
        return title, self.done + round(self.size * min(share, KNOWN_SHARE))


def time_passed(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    return f"{minutes} min {second} s" if minutes else f"{second} s"


def taken_from_receipt(receipt: Receipt) -> Taken:
    return Taken(receipt.key.name, size_of(receipt.plan_bytes / MIB), receipt.cost.seconds)


def taken_on(shelf: Shelf, place: Place) -> list[Taken]:
    """By engines of any bundles that this library built for this GPU."""
    return [taken_from_receipt(each) for each in shelf.receipts() if each.key.place == place]


def expected_s(taken: Sequence[Taken], name: str, mib: float) -> float | None:
    """By size, as engines of this name took, or else all of them; None where there is none."""
    alike = [each for each in taken if each.name == name] or taken
    seconds = sum(each.seconds for each in alike)
    return size_of(mib) * seconds / sum(each.mib for each in alike) if seconds > 0 else None


def size_of(mib: float) -> float:
    """The smallest take their second for other reasons than their size."""
    return max(mib, 1.0)
