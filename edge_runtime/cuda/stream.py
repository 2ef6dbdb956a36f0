"""Work that the GPU does in order while we go on, and a piece of it recorded to be done again at one word."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from edge_runtime.cuda.calls import Calls, Handle
from edge_runtime.errors import MachineFault

if TYPE_CHECKING:
    from edge_runtime.cuda.device import DeviceMemory, PinnedMemory

THIS_THREAD = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads may do what this one may not meanwhile


class Recording:
    """What was recorded, with the addresses it had."""

    def __init__(self) -> None:
        self.handle = Handle()


class Stream:
    def __init__(self, calls: Calls, handle: Handle) -> None:
        self._calls = calls
        self._handle = handle
        self._held = ExitStack()

    @property
    def handle(self) -> int:
        """As other libraries want it."""
        return self._handle.value or 0

    def rest(self) -> None:
        """Nothing of it is being done any more, whether it went well or not, and its recordings are gone."""
        self._calls.answer("cuStreamSynchronize", self._handle)
        self._held.close()

    def close(self) -> None:
        self.rest()
        self._calls.answer("cuStreamDestroy_v2", self._handle)

    def upload(self, place: DeviceMemory, source: PinnedMemory, nbytes: int) -> None:
        assert nbytes <= min(place.nbytes, source.nbytes), "a copy stays inside both"
        self._calls("cuMemcpyHtoDAsync_v2", place.address, source.address, nbytes, self._handle)

    def download(self, place: PinnedMemory, source: DeviceMemory, nbytes: int) -> None:
        assert nbytes <= min(place.nbytes, source.nbytes), "a copy stays inside both"
        self._calls("cuMemcpyDtoHAsync_v2", place.address, source.address, nbytes, self._handle)

    def zero(self, place: DeviceMemory) -> None:
        self._calls("cuMemsetD8Async", place.address, 0, place.nbytes, self._handle)

    def wait(self) -> None:
        """Until all of it is done; what went wrong in it is said here."""
        self._calls("cuStreamSynchronize", self._handle)

    def record(self, work: Callable[[], None]) -> Recording | None:
        """What `work` asks of the stream, which is not done now. None where a part of it cannot be recorded; asked for
        outright, that part is done or says what is the matter."""
        graph, is_whole = Handle(), False
        try:
            self._calls("cuStreamBeginCapture_v2", self._handle, THIS_THREAD)
            work()
            is_whole = True
        except MachineFault:
            is_whole = False
        finally:  # a stream left recording would be of no use, whatever stopped the work
            self._calls.answer("cuStreamEndCapture", self._handle, ctypes.byref(graph))
            recording = self._instantiated(graph) if graph and is_whole else None
            if graph:
                self._calls.answer("cuGraphDestroy", graph)
        return recording

    def replay(self, recording: Recording) -> None:
        self._calls("cuGraphLaunch", recording.handle, self._handle)

    def _instantiated(self, graph: Handle) -> Recording | None:
        recording = Recording()
        if self._calls.answer("cuGraphInstantiateWithFlags", ctypes.byref(recording.handle), graph, 0):
            return None
        self._held.callback(self._calls.answer, "cuGraphExecDestroy", recording.handle)
        return recording
