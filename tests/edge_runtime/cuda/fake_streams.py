"""Streams whose work waits as long as it may: performed in order, when something demands it and not before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from tests.edge_runtime.cuda.fake_memory import Span

When = Literal["late", "early"]
ILLEGAL_STATE = 401
Moment = tuple["FakeStream", int]  # a stream, and how much of its work was issued by then


class CallFailed(Exception):
    """A call that the driver refuses, with the CUresult it returns."""

    def __init__(self, code: int, why: str) -> None:
        self.code = code
        self.why = why
        super().__init__(f"{why} [{code}]")


@dataclass(frozen=True)
class Operation:
    """Work for the device. It touches what it says, no more; `run` raises a DeviceFault where it may not."""

    label: str
    reads: tuple[Span, ...]
    writes: tuple[Span, ...]
    run: Callable[[], None] = field(compare=False)
    is_kernel: bool = False
    cost_ms: float = 0.125

    def conflict(self, other: Operation) -> Span | None:
        """Bytes that one of the two writes and the other touches."""
        for mine, theirs in ((self.writes, other.reads + other.writes), (self.reads, other.writes)):
            for span in mine:
                if any(span.overlaps(each) for each in theirs):
                    return span
        return None


@dataclass(eq=False)
class FakeStream:
    handle: int
    queue: deque[Callable[[], None]] = field(default_factory=deque)
    issued: int = 0
    performed: int = 0
    operations: deque[tuple[int, Operation]] = field(
        default_factory=deque
    )  # not known to the host to be complete
    seen: dict[FakeStream, int] = field(
        default_factory=dict
    )  # how far into each other stream it is ordered after

    def push(self, work: Callable[[], None]) -> None:
        self.queue.append(work)
        self.issued += 1

    def retire(self, upto: int) -> None:
        while self.operations and self.operations[0][0] <= upto:
            self.operations.popleft()


@dataclass(eq=False)
class FakeEvent:
    handle: int
    has_timing: bool
    moment: Moment | None = None
    order: dict[FakeStream, int] = field(default_factory=dict)
    reached_ms: float | None = None


@dataclass
class FakeStreams:
    """Orders work, and says when two pieces of it race."""

    when: When = "late"
    clock_ms: float = 0.0
    streams: dict[int, FakeStream] = field(default_factory=dict)

    def issue(self, stream: FakeStream, operation: Operation) -> None:
        self._refuse_race(stream, operation)
        stream.push(lambda: self._perform(operation))
        stream.operations.append((stream.issued, operation))
        self._settle(stream)

    def record(self, event: FakeEvent, stream: FakeStream) -> None:
        event.reached_ms = None
        stream.push(lambda: self._reach(event, moment))
        moment = event.moment = (stream, stream.issued)
        event.order = stream.seen | {stream: stream.issued}
        self._settle(stream)

    def wait(self, stream: FakeStream, event: FakeEvent) -> None:
        """An event that was never recorded is no reason to wait, as in CUDA."""
        moment = event.moment
        if moment is None:
            return
        stream.push(lambda: self.perform(*moment))
        for other, issued in event.order.items():
            stream.seen[other] = max(issued, stream.seen.get(other, 0))
        self._settle(stream)

    def perform(self, stream: FakeStream, upto: int) -> None:
        while stream.performed < upto:
            work = stream.queue.popleft()
            stream.performed += 1
            work()

    def finish(self, moment: Moment, order: dict[FakeStream, int]) -> None:
        """The host waits: everything up to the moment is done, and known to be."""
        self.perform(*moment)
        for other, issued in (order | {moment[0]: moment[1]}).items():
            other.retire(issued)

    @property
    def unfinished(self) -> list[Operation]:
        return [operation for stream in self.streams.values() for _, operation in stream.operations]

    def _settle(self, stream: FakeStream) -> None:
        if self.when == "early":
            self.perform(stream, stream.issued)

    def _perform(self, operation: Operation) -> None:
        operation.run()
        self.clock_ms += operation.cost_ms

    def _reach(self, event: FakeEvent, moment: Moment) -> None:
        if event.moment == moment:
            event.reached_ms = self.clock_ms

    def _refuse_race(self, stream: FakeStream, operation: Operation) -> None:
        for other in self.streams.values():
            ordered = stream.issued if other is stream else stream.seen.get(other, 0)
            for issued, earlier in other.operations:
                if issued > ordered and (span := operation.conflict(earlier)):
                    why = f"{operation.label} races with {earlier.label} of another stream for {span}"
                    raise CallFailed(ILLEGAL_STATE, why)
