"""What each function of the driver does, given numbers and places for results."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.edge_runtime.cuda.c_calls import Handler, Result
from tests.edge_runtime.cuda.fake_captures import INVALIDATED, Captures, FakeGraph
from tests.edge_runtime.cuda.fake_handles import INVALID_HANDLE, Handles
from tests.edge_runtime.cuda.fake_memory import BlockList, DeviceFault, FakeMemory, Span
from tests.edge_runtime.cuda.fake_streams import CallFailed, FakeEvent, FakeStream, FakeStreams, Operation

INVALID_VALUE = 1
OUT_OF_MEMORY = 2
NOT_READY = 600
DISABLE_TIMING = 2  # CUevent_flags
STREAM_FLAGS = (0, 1)
HOST_FLAGS = range(8)
EVENT_FLAGS = range(8)


class Executable(FakeGraph):
    """A graph, instantiated."""


@dataclass
class Calls:
    """The state that calls share, and the calls themselves."""

    memory: FakeMemory
    streams: FakeStreams
    handles: Handles = field(default_factory=Handles)
    captures: Captures = field(default_factory=Captures)
    before_kernel: Callable[[], None] = lambda: None

    def table(self) -> dict[str, Handler]:
        return {
            "cuMemGetInfo_v2": self.memory_info,
            "cuMemAlloc_v2": self.allocate,
            "cuMemFree_v2": lambda address: self._free(self.memory.device, address),
            "cuMemHostAlloc": self.pin,
            "cuMemFreeHost": lambda address: self._free(self.memory.pinned, address),
            "cuMemsetD8Async": self.fill,
            "cuMemcpyHtoDAsync_v2": self.upload,
            "cuMemcpyDtoHAsync_v2": self.download,
            "cuMemcpyDtoDAsync_v2": self.duplicate,
            "cuStreamCreate": self.create_stream,
            "cuStreamDestroy_v2": self.destroy_stream,
            "cuStreamSynchronize": self.synchronize,
            "cuStreamWaitEvent": self.wait,
            "cuStreamBeginCapture_v2": self.begin_capture,
            "cuStreamEndCapture": self.end_capture,
            "cuGraphInstantiateWithFlags": self.instantiate,
            "cuGraphLaunch": self.launch,
            "cuGraphExecDestroy": lambda handle: self._destroy(Executable, handle),
            "cuGraphDestroy": lambda handle: self._destroy(FakeGraph, handle),
            "cuEventCreate": self.create_event,
            "cuEventRecord": self.record,
            "cuEventSynchronize": self.synchronize_event,
            "cuEventElapsedTime": self.elapsed,
            "cuEventDestroy_v2": lambda handle: self._destroy(FakeEvent, handle),
        }

    def stream(self, handle: int) -> FakeStream:
        if handle in (0, 1, 2):
            raise CallFailed(INVALID_HANDLE, "the default streams wait for each other: make one of your own")
        return self.handles.get(FakeStream, handle)

    def enqueue(self, handle: int, operation: Operation) -> None:
        """Performed later, or written down where the stream is being captured."""
        stream = self.stream(handle)
        if capture := self.captures.of(stream):
            self.captures.add(capture, stream, operation)
        else:
            self.streams.issue(stream, self._watched(operation))

    def memory_info(self, free: Result, total: Result) -> None:
        free.write(self.memory.limit - self.memory.used)
        total.write(self.memory.limit)

    def allocate(self, address: Result, nbytes: int) -> None:
        if nbytes == 0:
            raise CallFailed(INVALID_VALUE, "no bytes were asked for")
        block = self.memory.allocate(nbytes)
        if block is None:
            free = self.memory.limit - self.memory.used
            raise CallFailed(OUT_OF_MEMORY, f"{nbytes} bytes were asked for, {free} are free")
        address.write(block.span.address)

    def pin(self, address: Result, nbytes: int, flags: int) -> None:
        if nbytes == 0 or flags not in HOST_FLAGS:
            raise CallFailed(INVALID_VALUE, f"{nbytes} bytes with flags {flags} cannot be pinned")
        address.write(self.memory.pin(nbytes).span.address)

    def fill(self, address: int, value: int, nbytes: int, stream: int) -> None:
        span = self._span(self.memory.device, address, nbytes)

        def run() -> None:
            self.memory.bytes_of(span)[:] = value

        self.enqueue(stream, Operation("memset", (), (span,), run))

    def upload(self, device: int, host: int, nbytes: int, stream: int) -> None:
        self._copy(
            "copy to the device", (device, self.memory.device), (host, self.memory.pinned), nbytes, stream
        )

    def download(self, host: int, device: int, nbytes: int, stream: int) -> None:
        self._copy(
            "copy to the host", (host, self.memory.pinned), (device, self.memory.device), nbytes, stream
        )

    def duplicate(self, target: int, source: int, nbytes: int, stream: int) -> None:
        self._copy("copy", (target, self.memory.device), (source, self.memory.device), nbytes, stream)

    def create_stream(self, handle: Result, flags: int) -> None:
        if flags not in STREAM_FLAGS:
            raise CallFailed(INVALID_VALUE, f"{flags} are no flags of a stream")
        stream = FakeStream(self.handles.next_number())
        self.streams.streams[stream.handle] = stream
        handle.write(self.handles.put(stream.handle, stream))

    def destroy_stream(self, handle: int) -> None:
        stream = self.stream(handle)
        if self.captures.is_capturing(stream):
            raise CallFailed(INVALIDATED, "a stream that is being captured cannot be destroyed")
        self.handles.take(FakeStream, handle)  # its work is still done, when something waits for it

    def synchronize(self, handle: int) -> None:
        stream = self.stream(handle)
        if capture := self.captures.of(stream):
            raise self.captures.spoil(capture, "a stream being captured has nothing to wait for")
        self.streams.finish((stream, stream.issued), stream.seen)

    def create_event(self, handle: Result, flags: int) -> None:
        if flags not in EVENT_FLAGS:
            raise CallFailed(INVALID_VALUE, f"{flags} are no flags of an event")
        event = FakeEvent(self.handles.next_number(), not flags & DISABLE_TIMING)
        handle.write(self.handles.put(event.handle, event))

    def record(self, handle: int, stream_handle: int) -> None:
        event, stream = self.handles.get(FakeEvent, handle), self.stream(stream_handle)
        if capture := self.captures.of(stream):
            self.captures.record(capture, stream, event)
            return
        self.captures.events.pop(event, None)
        self.streams.record(event, stream)

    def wait(self, stream_handle: int, handle: int, flags: int) -> None:
        event, stream = self.handles.get(FakeEvent, handle), self.stream(stream_handle)
        if flags != 0:
            raise CallFailed(INVALID_VALUE, f"{flags} are no flags of a wait")
        if not self.captures.wait(stream, event):
            self.streams.wait(stream, event)

    def synchronize_event(self, handle: int) -> None:
        event = self.handles.get(FakeEvent, handle)
        self.captures.refuse_event(event)
        if event.moment is not None:
            self.streams.finish(event.moment, event.order)

    def elapsed(self, milliseconds: Result, start: int, end: int) -> None:
        events = [self.handles.get(FakeEvent, handle) for handle in (start, end)]
        if any(event.moment is None or not event.has_timing for event in events):
            raise CallFailed(INVALID_HANDLE, "an event was never recorded, or was made without timing")
        begun, ended = (event.reached_ms for event in events)
        if begun is None or ended is None:
            raise CallFailed(NOT_READY, "an event has not been reached: wait for it first")
        milliseconds.write(ended - begun)

    def begin_capture(self, handle: int, mode: int) -> None:
        self.captures.begin(self.stream(handle), mode, threading.get_ident())

    def end_capture(self, handle: int, graph: Result) -> None:
        graph.write(0)
        operations = self.captures.end(self.stream(handle), threading.get_ident())
        graph.write(self.handles.give(FakeGraph(tuple(operations))))

    def instantiate(self, executable: Result, graph: int, flags: int) -> None:
        if flags != 0:
            raise CallFailed(INVALID_VALUE, f"{flags} are no flags that this driver knows")
        found = self.handles.get(FakeGraph, graph)
        executable.write(self.handles.give(Executable(found.operations)))

    def launch(self, executable: int, stream: int) -> None:
        self.enqueue(stream, self.handles.get(Executable, executable).whole)

    def _destroy(self, kind: type[object], handle: int) -> None:
        self.handles.take(kind, handle)

    def _free(self, blocks: BlockList, address: int) -> None:
        block = blocks.holding(address)
        if block is None or block.span.address != address or not block.is_live:
            raise CallFailed(INVALID_VALUE, f"{address:#x} is no {blocks.kind} block, or was freed before")
        block.free()  # work that still needs it faults: the real driver waits here, and so hides the mistake

    def _copy(
        self,
        label: str,
        target: tuple[int, BlockList],
        source: tuple[int, BlockList],
        nbytes: int,
        stream: int,
    ) -> None:
        to, of = (self._span(blocks, address, nbytes) for address, blocks in (target, source))

        def run() -> None:
            self.memory.bytes_of(to)[:] = self.memory.bytes_of(of)

        self.enqueue(stream, Operation(label, (of,), (to,), run))

    def _span(self, blocks: BlockList, address: int, nbytes: int) -> Span:
        span = Span(address, nbytes)
        try:
            blocks.bytes_of(span)
        except DeviceFault as fault:
            raise CallFailed(INVALID_VALUE, fault.why) from fault
        return span

    def _watched(self, operation: Operation) -> Operation:
        if not operation.is_kernel:
            return operation

        def run() -> None:
            self.before_kernel()
            operation.run()

        return Operation(
            operation.label, operation.reads, operation.writes, run, is_kernel=True, cost_ms=operation.cost_ms
        )
