"""A plan, opened: what it takes and gives, and contexts to run it in."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

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
        self._runtime = library.module.Runtime(logger)

    def opened(self, path: Path) -> Engine:
        """EVL-ENGINE-REFUSED where the library does not take the plan."""
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as plan:
            engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            why = self.words.taken() or "it does not say why"
            fix = "build it again with `edge-vl build`, or use --engine onnxruntime"
            raise MachineFault(
                "EVL-ENGINE-REFUSED", f"{self.library.title} does not open {path.name}", why, fix
            )
        return Engine(self, engine, path.name)


class Engine:
    """`profiles` has the largest shape of every input, by profile and name."""

    def __init__(self, opener: Opener, handle: Any, title: str) -> None:
        self.opener = opener
        self.handle = handle
        self.title = title
        names = [str(handle.get_tensor_name(index)) for index in range(handle.num_io_tensors)]
        self.ports = {name: port_of(opener.library.module, handle, name) for name in names}
        count = int(handle.num_optimization_profiles)
        self.profiles = [self._largest(index) for index in range(count)]

    def activation_bytes(self, profile: int) -> int:
        return int(self.handle.get_device_memory_size_for_profile_v2(profile))

    def _largest(self, profile: int) -> dict[str, Shape]:
        inputs = [port for port in self.ports.values() if port.is_input]
        return {port.name: self._most(port, profile) for port in inputs}

    def _most(self, port: EnginePort, profile: int) -> Shape:
        if -1 not in port.shape:
            return port.shape
        return tuple(self.handle.get_tensor_profile_shape(port.name, profile)[2])


def port_of(module: Any, handle: Any, name: str) -> EnginePort:
    is_input = handle.get_tensor_mode(name) == module.TensorIOMode.INPUT
    kind = str(handle.get_tensor_dtype(name).name)
    if kind not in TYPES:
        what, why = f"the engine's {name} cannot be fed", f"its numbers are {kind}"
        raise MachineFault("EVL-ENGINE-PORTS", what, why, "build the engines again from this bundle")
    # Before 10.15 no engine writes an output into an input, and none can be asked.
    ask = getattr(handle, "get_aliased_input_tensor", None)
    alias = None if is_input or ask is None else ask(name)
    return EnginePort(
        name, np.dtype(TYPES[kind]), tuple(handle.get_tensor_shape(name)), is_input, alias or None
    )
