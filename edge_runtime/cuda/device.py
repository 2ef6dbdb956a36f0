"""One GPU in this process: its memory, memory of ours that it reads by itself, and its streams."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.cuda.calls import Address, Calls, Handle
from edge_runtime.cuda.stream import Stream

PORTABLE = 1  # CU_MEMHOSTALLOC_PORTABLE: pinned for whatever context
ALONE = 1  # CU_STREAM_NON_BLOCKING: waits for no other stream
Array = npt.NDArray[np.generic]


class DeviceMemory:
    """Bytes of the GPU's; they go when the device is closed."""

    def __init__(self, address: int, nbytes: int) -> None:
        self.address = address
        self.nbytes = nbytes

    def part(self, start: int, nbytes: int) -> DeviceMemory:
        assert 0 <= start <= start + nbytes <= self.nbytes, "a part lies inside"
        return DeviceMemory(self.address + start, nbytes)


class PinnedMemory:
    """Bytes of ours that stay where they are, so that the GPU copies them while we go on."""

    def __init__(self, address: int, nbytes: int) -> None:
        self.address = address
        self.nbytes = nbytes

    def array(self, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> Array:
        """A view of the first of them."""
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        assert nbytes <= self.nbytes, "the view is larger than the memory"
        held = (ctypes.c_ubyte * nbytes).from_address(self.address)
        return np.ctypeslib.as_array(held).view(dtype).reshape(shape)


class Device:
    """The process's own context on one GPU. What was taken from it is given back when it is closed, in one go: what a
    broken GPU refuses then is passed over, for its fault was told by whoever waited for the work."""

    def __init__(self, index: int = 0, load: Callable[[str], Any] = ctypes.CDLL) -> None:
        """EVL-GPU-* where it cannot be had."""
        self.calls = Calls(load)
        self.calls("cuInit", 0)
        number, context = ctypes.c_int(), Handle()
        self.calls("cuDeviceGet", ctypes.byref(number), index)
        self.calls("cuDevicePrimaryCtxRetain", ctypes.byref(context), number)
        self._context = context
        self._streams: list[Stream] = []
        self._is_open = True
        with ExitStack() as held:
            held.callback(self.calls.answer, "cuDevicePrimaryCtxRelease_v2", number)
            self.enter()
            self._held = held.pop_all()

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Again does nothing."""
        if self._is_open:
            self.rest()
            self._is_open = False
            self._held.close()

    def rest(self) -> None:
        """Nothing is being done any more, and what was recorded is forgotten: what it was done with may go."""
        self.calls.answer("cuCtxSetCurrent", self._context)
        for stream in self._streams:
            stream.rest()

    def enter(self) -> None:
        """A thread says once, before its first call, which GPU it talks to."""
        assert self._is_open, "the device was closed"
        self.calls("cuCtxSetCurrent", self._context)

    def free_bytes(self) -> int:
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self.calls("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def memory(self, nbytes: int) -> DeviceMemory:
        """Aligned to 256 bytes. What lies in it is whatever lay there before."""
        address = Address()
        self.calls("cuMemAlloc_v2", ctypes.byref(address), max(nbytes, 1))
        self._held.callback(self.calls.answer, "cuMemFree_v2", Address(address.value))
        return DeviceMemory(address.value, nbytes)

    def pinned(self, nbytes: int) -> PinnedMemory:
        address = ctypes.c_void_p()
        self.calls("cuMemHostAlloc", ctypes.byref(address), max(nbytes, 1), PORTABLE)
        self._held.callback(self.calls.answer, "cuMemFreeHost", address)
        assert address.value is not None, "the driver gives an address or says why not"
        return PinnedMemory(address.value, nbytes)

    def stream(self) -> Stream:
        handle = Handle()
        self.calls("cuStreamCreate", ctypes.byref(handle), ALONE)
        stream = Stream(self.calls, handle)
        self._streams.append(stream)
        self._held.callback(stream.close)
        return stream
