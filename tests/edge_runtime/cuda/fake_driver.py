"""libcuda without a device: an adversary that does asynchronous work as late as it may and forgives nothing."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from tests.edge_runtime.cuda.c_calls import FUNCTIONS, Converted, FakeFunction, Handler, Result
from tests.edge_runtime.cuda.fake_calls import INVALID_VALUE, Calls, Executable
from tests.edge_runtime.cuda.fake_captures import FakeGraph
from tests.edge_runtime.cuda.fake_memory import Bytes, DeviceFault, FakeMemory, Span
from tests.edge_runtime.cuda.fake_streams import (
    CallFailed,
    FakeEvent,
    FakeStream,
    FakeStreams,
    Operation,
    When,
)

NOT_INITIALIZED = 3
NO_DEVICE = 100
INVALID_DEVICE = 101
INVALID_CONTEXT = 201
CONTEXT_DESTROYED = 709
CODES = {
    0: "SUCCESS", 1: "ERROR_INVALID_VALUE", 2: "ERROR_OUT_OF_MEMORY", 3: "ERROR_NOT_INITIALIZED",
    100: "ERROR_NO_DEVICE", 101: "ERROR_INVALID_DEVICE", 201: "ERROR_INVALID_CONTEXT",
    400: "ERROR_INVALID_HANDLE", 401: "ERROR_ILLEGAL_STATE", 600: "ERROR_NOT_READY",
    700: "ERROR_ILLEGAL_ADDRESS", 709: "ERROR_CONTEXT_IS_DESTROYED", 719: "ERROR_LAUNCH_FAILED",
    900: "ERROR_STREAM_CAPTURE_UNSUPPORTED", 901: "ERROR_STREAM_CAPTURE_INVALIDATED",
    904: "ERROR_STREAM_CAPTURE_UNJOINED", 905: "ERROR_STREAM_CAPTURE_ISOLATION",
    907: "ERROR_CAPTURED_EVENT", 908: "ERROR_STREAM_CAPTURE_WRONG_THREAD", 999: "ERROR_UNKNOWN",
}  # fmt: skip
BEFORE_ALL = {"cuInit", "cuDriverGetVersion", "cuGetErrorName", "cuGetErrorString"}
WITHOUT_CONTEXT = BEFORE_ALL | {
    "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName", "cuDeviceGetAttribute",
    "cuDevicePrimaryCtxRetain", "cuDevicePrimaryCtxRelease_v2", "cuCtxSetCurrent", "cuCtxGetCurrent",
}  # fmt: skip
UNSAFE = {
    "cuMemAlloc_v2", "cuMemFree_v2", "cuMemHostAlloc", "cuMemFreeHost", "cuStreamSynchronize", "cuEventSynchronize",
}  # fmt: skip
KERNEL = "kernel"  # of `fails`: the nth piece of an engine's work that is performed


@dataclass(frozen=True)
class FakeDevice:
    name: str = "Fake Orin"
    attributes: Mapping[int, int] = field(default_factory=dict)

    def attribute(self, number: int) -> int | None:
        """By CUdevice_attribute; those that are read of a device, unless told otherwise."""
        known = {10: 32, 16: 8, 18: 0, 41: 1, 75: 8, 76: 7} | dict(self.attributes)
        return known.get(number)


@dataclass(frozen=True)
class Call:
    name: str
    numbers: tuple[int | None, ...]  # what was passed; None where a result goes
    code: int


@dataclass
class Context:
    device: int
    retained: int = 1
    is_alive: bool = True


class FakeDriver:
    """Stands for `ctypes.CDLL("libcuda.so.1")`. `complaints` says why each call that failed did.

    `when` is "late" (work waits until something demands it) or "early" (it is done as soon as it is issued): code
    that is right answers the same with both. `fails` has the nth call of a function (from 1) return a code;
    `missing` functions are not in the library; a driver that is not `strict` takes host memory that is not pinned."""

    def __init__(
        self,
        devices: tuple[FakeDevice, ...] = (FakeDevice(),),
        *,
        memory: int = 1 << 30,
        when: When = "late",
        version: int = 13000,
        fails: Mapping[str, tuple[int, int]] | None = None,
        missing: Collection[str] = (),
        strict: bool = True,
    ) -> None:
        self.devices = devices
        self.version = version
        self.fails = dict(fails or {})
        self.missing = frozenset(missing)
        self.log: list[Call] = []
        self.complaints: list[str] = []
        self.fault = 0
        self.lock = threading.RLock()
        self.calls = Calls(FakeMemory(memory), FakeStreams(when), before_kernel=self._before_kernel)
        self.calls.memory.pinned.is_open = not strict
        self.kernels = 0
        self._is_ready = False
        self._thread = threading.local()
        self._contexts: dict[int, Context] = {}
        self._texts: dict[bytes, ctypes.Array[ctypes.c_char]] = {}
        self._functions: dict[str, FakeFunction] = {}
        self._table: dict[str, Handler] = self.calls.table() | self._own()

    def __getattr__(self, name: str) -> FakeFunction:
        if name.startswith("_") or name not in FUNCTIONS or name in self.missing:
            raise AttributeError(f"libcuda.so.1: undefined symbol: {name}")
        if name not in self._functions:
            self._functions[name] = FakeFunction(name, FUNCTIONS[name], self._call)
        return self._functions[name]

    def __getitem__(self, name: str) -> FakeFunction:
        """As of a CDLL: a function of its own each time."""
        getattr(self, name)
        return FakeFunction(name, FUNCTIONS[name], self._call)

    def count(self, name: str) -> int:
        return sum(call.name == name for call in self.log)

    def leaks(self) -> list[str]:
        """What was made and not given back."""
        memory, handles = self.calls.memory, self.calls.handles
        blocks = [
            f"{each.span} of {kind.kind} memory"
            for kind in (memory.device, memory.pinned)
            for each in kind.live
        ]
        kinds: tuple[tuple[type[object], str], ...] = (
            (FakeStream, "stream"), (FakeEvent, "event"), (FakeGraph, "graph"), (Executable, "instantiated graph"),
        )  # fmt: skip
        things = [
            f"{word} {number:#x}"
            for kind, word in kinds
            for number, thing in handles.of(kind).items()
            if type(thing) is kind
        ]
        held = [f"context of device {each.device}" for each in self._contexts.values() if each.is_alive]
        return blocks + things + held

    def bytes_of(self, address: int, nbytes: int) -> Bytes:
        """Memory of the device (or pinned), as work of the device sees it now; a DeviceFault where there is none."""
        return self.calls.memory.bytes_of(Span(address, nbytes))

    def enqueue(self, stream: int, operation: Operation) -> None:
        """Work of an engine; raises CallFailed where the driver would refuse the launch of a kernel."""
        with self.lock:
            self._refuse("cuLaunchKernel")
            self.calls.enqueue(stream, operation)

    def is_capturing(self, stream: int) -> bool:
        with self.lock:
            return self.calls.captures.is_capturing(self.calls.stream(stream))

    def spoil_capture(self, stream: int, why: str) -> None:
        """As an engine does that moves memory while its stream is captured."""
        with self.lock:
            if capture := self.calls.captures.of(self.calls.stream(stream)):
                self.calls.captures.spoil(capture, why)

    def _call(self, name: str, arguments: Sequence[Converted]) -> int:
        with self.lock:
            code = 0
            try:
                self._refuse(name)
                self._table[name](*arguments)
            except CallFailed as failed:
                code = failed.code
                self.complaints.append(f"{name}: {failed}")
            except DeviceFault as fault:
                code = self.fault = fault.code
                self.complaints.append(f"{name}: {fault}")
            numbers = tuple(None if isinstance(each, Result) else each for each in arguments)
            self.log.append(Call(name, numbers, code))
            return code

    def _refuse(self, name: str) -> None:
        nth, code = self.fails.get(name, (0, 0))
        if nth == self.count(name) + 1:
            raise CallFailed(code, "planted")
        if name in BEFORE_ALL:
            return
        if not self._is_ready:
            raise CallFailed(NOT_INITIALIZED, "cuInit was not called")
        if self.fault and name != "cuDevicePrimaryCtxRelease_v2":
            raise CallFailed(self.fault, "the device failed before; the context is lost")
        if name not in WITHOUT_CONTEXT:
            self._current()
        if name in UNSAFE:
            self.calls.captures.refuse(name, threading.get_ident())

    def _current(self) -> Context:
        number = getattr(self._thread, "context", 0)
        if not number:
            raise CallFailed(INVALID_CONTEXT, "no context is current in this thread")
        if not self._contexts[number].is_alive:
            raise CallFailed(CONTEXT_DESTROYED, "the current context was released for the last time")
        return self._contexts[number]

    def _before_kernel(self) -> None:
        self.kernels += 1
        nth, code = self.fails.get(KERNEL, (0, 0))
        if nth == self.kernels:
            raise DeviceFault(code, "planted")

    def _own(self) -> dict[str, Handler]:
        return {
            "cuInit": self._init,
            "cuDriverGetVersion": lambda version: version.write(self.version),
            "cuDeviceGetCount": lambda count: count.write(len(self.devices)),
            "cuDeviceGet": self._device_get,
            "cuDeviceGetName": self._device_name,
            "cuDeviceGetAttribute": self._device_attribute,
            "cuDevicePrimaryCtxRetain": self._retain,
            "cuDevicePrimaryCtxRelease_v2": self._release,
            "cuCtxSetCurrent": self._set_current,
            "cuCtxGetCurrent": lambda context: context.write(getattr(self._thread, "context", 0)),
            "cuGetErrorName": lambda code, text: self._text(code, text, "CUDA_"),
            "cuGetErrorString": lambda code, text: self._text(code, text, "fake: "),
        }

    def _init(self, flags: int) -> None:
        if flags != 0:
            raise CallFailed(INVALID_VALUE, "the flags must be 0")
        if not self.devices:
            raise CallFailed(NO_DEVICE, "there is no device")
        self._is_ready = True

    def _device(self, number: int) -> FakeDevice:
        if number not in range(len(self.devices)):
            raise CallFailed(INVALID_DEVICE, f"there is no device {number}")
        return self.devices[number]

    def _device_get(self, device: Result, ordinal: int) -> None:
        self._device(ordinal)
        device.write(ordinal)

    def _device_name(self, text: Result, size: int, device: int) -> None:
        name = self._device(device).name.encode()[: size - 1]
        text.write(name + b"\0")

    def _device_attribute(self, value: Result, attribute: int, device: int) -> None:
        found = self._device(device).attribute(attribute)
        if found is None:
            raise CallFailed(INVALID_VALUE, f"the fake knows no attribute {attribute}")
        value.write(found)

    def _retain(self, context: Result, device: int) -> None:
        self._device(device)
        for number, each in self._contexts.items():
            if each.device == device and each.is_alive:
                each.retained += 1
                context.write(number)
                return
        made = Context(device)
        number = self.calls.handles.give(made)
        self._contexts[number] = made
        context.write(number)

    def _release(self, device: int) -> None:
        self._device(device)
        held = [each for each in self._contexts.values() if each.device == device and each.is_alive]
        if not held:
            raise CallFailed(INVALID_CONTEXT, "the context is not retained")
        held[0].retained -= 1
        held[0].is_alive = held[0].retained > 0

    def _set_current(self, context: int) -> None:
        if context and context not in self._contexts:
            raise CallFailed(INVALID_CONTEXT, f"{context:#x} is no context")
        self._thread.context = context

    def _text(self, code: int, text: Result, prefix: str) -> None:
        text.write(0)
        if code not in CODES:
            raise CallFailed(INVALID_VALUE, f"{code} is no error of the driver")
        content = (prefix + CODES[code]).encode()
        kept = self._texts.setdefault(content, ctypes.create_string_buffer(content))
        text.write(ctypes.addressof(kept))
