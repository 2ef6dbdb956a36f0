"""A short hand for talking to the fake driver in tests: one method per call, its code returned or expected."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tests.edge_runtime.cuda.fake_driver import FakeDriver

Bytes = npt.NDArray[np.uint8]
U64 = ctypes.c_uint64
SIZE = ctypes.c_size_t
HANDLE = ctypes.c_void_p


@dataclass
class Desk:
    driver: FakeDriver

    @classmethod
    def ready(cls, driver: FakeDriver | None = None) -> Desk:
        """A driver with its context current in this thread."""
        desk = cls(driver or FakeDriver())
        assert desk.driver.cuInit(0) == 0
        desk.enter()
        return desk

    def enter(self) -> None:
        context = self.made(self.driver.cuDevicePrimaryCtxRetain, 0)
        assert self.driver.cuCtxSetCurrent(HANDLE(context)) == 0

    def made(self, function: Callable[..., int], *arguments: object) -> int:
        """What a function that makes something wrote to its first argument."""
        place = U64()
        code = function(ctypes.byref(place), *arguments)
        assert code == 0, self.driver.complaints[-1]
        return place.value

    def device(self, nbytes: int) -> int:
        return self.made(self.driver.cuMemAlloc_v2, SIZE(nbytes))

    def pinned(self, nbytes: int) -> int:
        return self.made(self.driver.cuMemHostAlloc, SIZE(nbytes), 1)

    def stream(self) -> int:
        return self.made(self.driver.cuStreamCreate, 1)

    def event(self, flags: int = 0) -> int:
        return self.made(self.driver.cuEventCreate, flags)

    def free(self, address: int) -> int:
        return self.driver.cuMemFree_v2(U64(address))

    def upload(self, device: int, host: int, nbytes: int, stream: int) -> int:
        return self.driver.cuMemcpyHtoDAsync_v2(U64(device), HANDLE(host), SIZE(nbytes), HANDLE(stream))

    def download(self, host: int, device: int, nbytes: int, stream: int) -> int:
        return self.driver.cuMemcpyDtoHAsync_v2(HANDLE(host), U64(device), SIZE(nbytes), HANDLE(stream))

    def fill(self, device: int, value: int, nbytes: int, stream: int) -> int:
        return self.driver.cuMemsetD8Async(U64(device), value, SIZE(nbytes), HANDLE(stream))

    def synchronize(self, stream: int) -> int:
        return self.driver.cuStreamSynchronize(HANDLE(stream))

    def record(self, event: int, stream: int) -> int:
        return self.driver.cuEventRecord(HANDLE(event), HANDLE(stream))

    def wait(self, stream: int, event: int) -> int:
        return self.driver.cuStreamWaitEvent(HANDLE(stream), HANDLE(event), 0)

    def begin(self, stream: int, mode: int = 1) -> int:
        return self.driver.cuStreamBeginCapture_v2(HANDLE(stream), mode)

    def end(self, stream: int) -> tuple[int, int]:
        """The code, and the graph (0 where there is none)."""
        graph = HANDLE()
        code = self.driver.cuStreamEndCapture(HANDLE(stream), ctypes.byref(graph))
        return code, graph.value or 0

    def instantiate(self, graph: int) -> int:
        flags = ctypes.c_ulonglong(0)
        return self.made(self.driver.cuGraphInstantiateWithFlags, HANDLE(graph), flags)

    def launch(self, executable: int, stream: int) -> int:
        return self.driver.cuGraphLaunch(HANDLE(executable), HANDLE(stream))

    @staticmethod
    def seen(host: int, nbytes: int) -> Bytes:
        """Pinned memory, as the host sees it."""
        return np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(host))

    def scribbled(self, nbytes: int, value: int) -> int:
        """Pinned memory, full of a value."""
        host = self.pinned(nbytes)
        self.seen(host, nbytes)[:] = value
        return host
