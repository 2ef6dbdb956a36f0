"""What a driver hands out: numbers that stand for things, until they are destroyed."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from tests.edge_runtime.cuda.fake_streams import CallFailed

INVALID_HANDLE = 400
Thing = TypeVar("Thing")


@dataclass
class Handles:
    """A number that was destroyed never comes again."""

    _numbers: count[int] = field(default_factory=lambda: count(0x5EED_0000_1000, 0x10))
    _things: dict[int, object] = field(default_factory=dict)

    def give(self, thing: object) -> int:
        number = next(self._numbers)
        self._things[number] = thing
        return number

    def next_number(self) -> int:
        return next(self._numbers)

    def put(self, number: int, thing: object) -> int:
        self._things[number] = thing
        return number

    def get(self, kind: type[Thing], number: int) -> Thing:
        found = self._things.get(number)
        if not isinstance(found, kind) or type(found) is not kind:
            raise CallFailed(INVALID_HANDLE, f"{number:#x} is no {kind.__name__}, or no longer")
        return found

    def take(self, kind: type[Thing], number: int) -> Thing:
        found = self.get(kind, number)
        del self._things[number]
        return found

    def of(self, kind: type[Thing]) -> dict[int, Thing]:
        return {number: thing for number, thing in self._things.items() if isinstance(thing, kind)}
