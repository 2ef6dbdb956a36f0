"""A plan, opened: what it takes and gives, and contexts to run it in."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.backends.native.kernels import Kernels, kernels_of
from edge_runtime.backends.native.words import Words, logger_of
from edge_runtime.engines.library import Library
from edge_runtime.errors import MachineFault

Shape = tuple[int, ...]
TYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT64": "int64",
    "INT32": "int32",
    "INT8": "int8",
    "BOOL": "bool",
}


@dataclass(frozen=True)
class EnginePort:
    """One input or output; -1 is a size that a profile bounds. `alias` is the input that an output is written into."""

    name: str
    dtype: np.dtype[np.generic]
    shape: Shape
    is_input: bool
    alias: str | None = None


class Opener:
    """The library in this process, ready to open plans. To be let go of after the engines that it opened."""

    def __init__(self, library: Library) -> None:
        self.library = library
        logger = logger_of(library.module)
        self.words: Words = logger.words
        self._held = ExitStack()
        self.words.taken()
        try:
            self._runtime = library.module.Runtime(logger)
        except (TypeError, RuntimeError) as error:  # of a constructor that has nothing to give
            what, why = f"{library.title} does not start", self.words.taken() or str(error)
            fix = "run nvidia-smi: the driver may be too old for this library; or use --engine onnxruntime"
            raise MachineFault("EVL-ENGINE-BROKEN", what, why, fix) from error

    def opened(self, path: Path) -> Engine:
        """EVL-ENGINE-REFUSED where the library does not take the plan."""
        self.words.taken()  # what was said before is not about this plan
        try:
            engine = Engine(self, self._deserialized(path), path)
        except (OSError, ValueError) as error:  # gone, or empty
            raise self._refusal(path, str(error)) from error
        if engine.handle is None:
            raise self._refusal(path, self.words.taken() or "it does not say why")
        self._held.callback(engine.close)
        engine.read()
        return engine

    def close(self) -> None:
        self._held.close()
        self._runtime = None

    def _deserialized(self, path: Path) -> Any:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as plan:
            return self._runtime.deserialize_cuda_engine(plan)

    def _refusal(self, path: Path, why: str) -> MachineFault:
        what = f"{self.library.title} does not open {path.name}"
        fix = "build it again with `edge-vl build`, or use --engine onnxruntime"
        return MachineFault("EVL-ENGINE-REFUSED", what, why, fix)


class Engine:
    """`profiles` has the largest shape of every input, by profile and name.

    Nobody else keeps the handle: a traceback that is still looked at would keep the engine on the GPU.
    """

    def __init__(self, opener: Opener, handle: Any, plan: Path) -> None:
        self.opener = opener
        self.handle = handle
        self.title = plan.name
        self.kernels: Kernels | None = None
        self._plan = plan
        self.ports: dict[str, EnginePort] = {}
        self.profiles: list[dict[str, Shape]] = []
        self._held = ExitStack()

    def read(self) -> None:
        """EVL-ENGINE-PORTS where it has an input or output that is not ours to feed."""
        names = [str(self.handle.get_tensor_name(index)) for index in range(self.handle.num_io_tensors)]
        self.ports = {name: port_of(self, name) for name in names}
        count = int(self.handle.num_optimization_profiles)
        self.profiles = [self._largest(index) for index in range(count)]
        self.kernels = kernels_of(self.handle, self._plan)

    def close(self) -> None:
        """Its contexts first, when what they compiled is kept."""
        kernels, self.kernels = self.kernels, None
        if kernels is not None:
            kernels.keep()
        self._held.close()
        self.handle = None

    def at_close(self, act: Callable[[], None]) -> None:
        self._held.callback(act)

    def activation_bytes(self, profile: int) -> int:
        return int(self.handle.get_device_memory_size_for_profile_v2(profile))

    def _largest(self, profile: int) -> dict[str, Shape]:
        inputs = [port for port in self.ports.values() if port.is_input]
        return {port.name: self._most(port, profile) for port in inputs}

    def _most(self, port: EnginePort, profile: int) -> Shape:
        if -1 not in port.shape:
            return port.shape
        return tuple(self.handle.get_tensor_profile_shape(port.name, profile)[2])


def port_of(engine: Engine, name: str) -> EnginePort:
    module = engine.opener.library.module
    is_input = engine.handle.get_tensor_mode(name) == module.TensorIOMode.INPUT
    kind = str(engine.handle.get_tensor_dtype(name).name)
    if kind not in TYPES:
        raise port_fault(name, f"its numbers are {kind}")
    if engine.handle.get_tensor_location(name) != module.TensorLocation.DEVICE:
        raise port_fault(name, "it decides shapes, and is looked for in the CPU's memory")
    shape = tuple(engine.handle.get_tensor_shape(name))
    alias = None if is_input else alias_of(engine, name)
    return EnginePort(name, np.dtype(TYPES[kind]), shape, is_input, alias)


def alias_of(engine: Engine, name: str) -> str | None:
    """Before 10.15 no engine writes an output into an input, and none can be asked."""
    if not hasattr(engine.handle, "get_aliased_input_tensor"):
        return None
    return engine.handle.get_aliased_input_tensor(name) or None


def port_fault(name: str, why: str) -> MachineFault:
    what, fix = f"the engine's {name} cannot be fed", "build the engines again from this bundle"
    return MachineFault("EVL-ENGINE-PORTS", what, why, fix)
