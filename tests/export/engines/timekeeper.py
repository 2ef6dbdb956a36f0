"""The timing caches of a double of TensorRT: what one machine has timed, in bytes that only its like accepts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.export.engines.recorded import Double

MAGIC = b"timed on "
UNREADABLE = "Serialization (magicTagRead == kMAGIC_TAG failed. Magic tag does not match)"


def data_of(machine: str, *timed: str) -> bytes:
    return b"\n".join((MAGIC + machine.encode(), *(each.encode() for each in sorted(timed))))


def unheard(words: str) -> None:
    """Until there is a logger."""


@dataclass
class Timekeeper:
    """`asked` is what was really timed, once for each build. As `refuses` there are caches that are none, caches that
    are not taken, and caches that are taken and empty: versions of the library differ in what they do with bytes that
    are not theirs."""

    machine: str = "orin"
    refuses: str = "to attach"  # or "to create", "in silence", "anything", "to serialise"
    asked: list[list[str]] = field(default_factory=list)
    meanwhile: Callable[[], object] = lambda: None
    hear: Callable[[str], None] = unheard
    _timed: dict[int, set[str]] = field(default_factory=dict)
    _strange: set[int] = field(default_factory=set)
    _current: set[str] = field(default_factory=set)
    _kept: list[Double] = field(default_factory=list)  # so that no two have one id

    def begin(self, hear: Callable[[str], None]) -> None:
        """Another build, with a logger of its own."""
        self.hear, self._current = hear, set()

    def created(self, data: bytes, double: Callable[..., Double]) -> Double | None:
        machine, *timed = data.split(b"\n")
        is_strange = bool(data) and machine != MAGIC + self.machine.encode()
        if is_strange:
            self.hear(UNREADABLE)
        if self.refuses == "anything" or (is_strange and self.refuses == "to create"):
            return None
        known = set() if is_strange else {each.decode() for each in timed}
        cache = double(
            "ITimingCache",
            can_be_none=("serialize",),
            serialize=lambda: None if self.refuses == "to serialise" else data_of(self.machine, *known),
            combine=lambda other, ignore_mismatch: self._combined(known, other, ignore_mismatch),
        )
        self._timed[id(cache)] = known
        self._kept.append(cache)
        if is_strange and self.refuses != "in silence":
            self._strange.add(id(cache))
        return cache

    def attached(self, cache: Double, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch, "another GPU's timings are no timings"
        if id(cache) in self._strange:
            return False
        self._current = self._timed[id(cache)]
        return True

    def time(self, layers: Sequence[str]) -> None:
        """What a build does: nothing is timed that is known."""
        self.asked.append([each for each in layers if each not in self._current])
        self._current.update(layers)
        self.meanwhile()

    def _combined(self, known: set[str], other: Double, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch, "another GPU's timings are no timings"
        known.update(self._timed[id(other)])
        return id(other) not in self._strange
