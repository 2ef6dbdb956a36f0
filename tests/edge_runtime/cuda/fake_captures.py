"""Captures of streams and the graphs they become: work written down, to be done at each launch."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.edge_runtime.cuda.fake_streams import CallFailed, FakeEvent, FakeStream, Operation

GLOBAL, THREAD_LOCAL, RELAXED = range(3)  # CUstreamCaptureMode
MODES = (GLOBAL, THREAD_LOCAL, RELAXED)
INVALID_VALUE = 1
ILLEGAL_STATE = 401
UNSUPPORTED = 900
INVALIDATED = 901
UNJOINED = 904
ISOLATION = 905
CAPTURED_EVENT = 907
WRONG_THREAD = 908


@dataclass(eq=False)
class Capture:
    origin: FakeStream
    mode: int
    thread: int
    operations: list[Operation] = field(default_factory=list)
    joined: set[FakeStream] = field(
        default_factory=set
    )  # other streams, with work the origin does not wait for
    streams: set[FakeStream] = field(default_factory=set)
    spoilt: str | None = None

    def forbids(self, thread: int) -> bool:
        """Whether a call that may wait or move memory is refused in this thread."""
        return self.mode == GLOBAL or (self.mode == THREAD_LOCAL and thread == self.thread)


@dataclass
class Captures:
    """Which streams are being captured, and which events mark a place in a capture."""

    running: list[Capture] = field(default_factory=list)
    events: dict[FakeEvent, tuple[Capture, FakeStream]] = field(default_factory=dict)

    def of(self, stream: FakeStream) -> Capture | None:
        found = (each for each in self.running if stream in each.streams)
        capture = next(found, None)
        if capture and capture.spoilt:
            raise CallFailed(INVALIDATED, f"the capture was invalidated before: {capture.spoilt}")
        return capture

    def is_capturing(self, stream: FakeStream) -> bool:
        return any(stream in each.streams for each in self.running)

    def begin(self, stream: FakeStream, mode: int, thread: int) -> None:
        if mode not in MODES:
            raise CallFailed(INVALID_VALUE, f"{mode} is no mode of capture")
        if self.is_capturing(stream):
            raise CallFailed(ILLEGAL_STATE, "the stream is being captured already")
        self.running.append(Capture(stream, mode, thread, streams={stream}))

    def end(self, stream: FakeStream, thread: int) -> list[Operation]:
        capture = next((each for each in self.running if each.origin is stream), None)
        if capture is None:
            raise CallFailed(ILLEGAL_STATE, "no capture began on this stream")
        if capture.mode != RELAXED and capture.thread != thread:
            raise CallFailed(WRONG_THREAD, "a capture ends in the thread where it began")
        self.running.remove(capture)
        self.events = {event: place for event, place in self.events.items() if place[0] is not capture}
        if capture.spoilt:
            raise CallFailed(INVALIDATED, f"the capture was invalidated: {capture.spoilt}")
        if capture.joined:
            raise CallFailed(UNJOINED, "a stream that joined the capture was not waited for")
        return capture.operations

    def spoil(self, capture: Capture, why: str) -> CallFailed:
        """The capture is worth nothing from now on."""
        capture.spoilt = capture.spoilt or why
        return CallFailed(UNSUPPORTED, why)

    def refuse(self, name: str, thread: int) -> None:
        """For a call that may wait for the device or move memory."""
        forbidding = [each for each in self.running if each.forbids(thread)]
        for each in forbidding:
            self.spoil(each, f"{name} was called during the capture")
        if forbidding:
            raise CallFailed(UNSUPPORTED, f"{name} may not be called while a stream is captured")

    def add(self, capture: Capture, stream: FakeStream, operation: Operation) -> None:
        capture.operations.append(operation)
        if stream is not capture.origin:
            capture.joined.add(stream)

    def record(self, capture: Capture, stream: FakeStream, event: FakeEvent) -> None:
        self.events[event] = (capture, stream)

    def wait(self, stream: FakeStream, event: FakeEvent) -> bool:
        """True if the wait belongs to a capture; it may bring the stream into it."""
        capture = self.of(stream)
        marked = self.events.get(event)
        if marked is None:
            if capture and event.moment:
                self.spoil(capture, "a captured stream waited for an event of outside")
                raise CallFailed(ISOLATION, "a captured stream cannot wait for an event of outside")
            return capture is not None
        origin, place = marked
        if capture not in (None, origin):
            raise CallFailed(ISOLATION, "the event belongs to another capture")
        origin.streams.add(stream)
        if stream is origin.origin:
            origin.joined.discard(place)
        else:
            origin.joined.add(stream)
        return True

    def refuse_event(self, event: FakeEvent) -> None:
        if event in self.events:
            self.spoil(self.events[event][0], "an event of the capture was waited for")
            raise CallFailed(
                CAPTURED_EVENT, "the event was recorded in a capture: it marks no moment in time"
            )


@dataclass(frozen=True)
class FakeGraph:
    """What a capture became, or, instantiated, what is launched."""

    operations: tuple[Operation, ...]

    @property
    def whole(self) -> Operation:
        """All of it as one operation; it touches everything that its parts touch."""

        def run() -> None:
            for each in self.operations:
                each.run()

        labels = ", ".join(each.label for each in self.operations)
        return Operation(
            f"graph of {labels}",
            tuple(span for each in self.operations for span in each.reads),
            tuple(span for each in self.operations for span in each.writes),
            run,
            any(each.is_kernel for each in self.operations),
            sum(each.cost_ms for each in self.operations),
        )
