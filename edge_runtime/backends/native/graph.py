"""A tower or the adaptor as an engine: fed and read through pinned memory, on a stream of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from edge_runtime.backends.backend import Array
from edge_runtime.backends.native.context import Context
from edge_runtime.backends.native.engine import Engine, EnginePort, Shape
from edge_runtime.cuda.device import Device
from edge_runtime.errors import MachineFault


class NativeGraph:
    """Memory is taken once, for the largest shapes that the engine was built for."""

    def __init__(self, device: Device, engine: Engine) -> None:
        self._device = device
        self._stream = device.stream()
        activations = device.memory(engine.activation_bytes(0))
        self._context = Context(engine, 0, self._stream, activations, is_fixed=True)
        self._largest = engine.profiles[0]
        for name, shape in self._largest.items():
            self._context.shape(name, shape)
        self._inputs = [port for port in engine.ports.values() if port.is_input]
        self._outputs = [port for port in engine.ports.values() if not port.is_input]
        sizes = {port.name: self._nbytes(port) for port in engine.ports.values()}
        self._device_memory = {name: device.memory(nbytes) for name, nbytes in sizes.items()}
        self._pinned = {name: device.pinned(nbytes) for name, nbytes in sizes.items()}
        for name, memory in self._device_memory.items():
            self._context.address(name, memory)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return self.launch(feeds)()

    def launch(self, feeds: Mapping[str, Array]) -> Callable[[], dict[str, Array]]:
        self._device.enter()
        for port in self._inputs:
            self._fed(port, feeds[port.name])
        self._context.run()
        shapes = {port.name: self._context.output_shape(port.name) for port in self._outputs}
        for port in self._outputs:
            nbytes = nbytes_of(port, shapes[port.name])
            self._stream.download(self._pinned[port.name], self._device_memory[port.name], nbytes)
        return lambda: self._finished(shapes)

    def _fed(self, port: EnginePort, array: Array) -> None:
        if not fits(array.shape, self._largest[port.name]):
            what = f"{port.name} does not fit the engine {self._context.engine.title}"
            why = f"it has the shape {list(array.shape)}, the engine takes at most {list(self._largest[port.name])}"
            raise MachineFault("EVL-ENGINE-SHAPES", what, why, "build the engines again from this bundle")
        self._context.shape(port.name, array.shape)
        self._pinned[port.name].array(port.dtype, array.shape)[...] = array
        self._stream.upload(
            self._device_memory[port.name], self._pinned[port.name], nbytes_of(port, array.shape)
        )

    def _finished(self, shapes: Mapping[str, Shape]) -> dict[str, Array]:
        self._device.enter()
        self._stream.wait()
        return {
            port.name: self._pinned[port.name].array(port.dtype, shapes[port.name]).copy()
            for port in self._outputs
        }

    def _nbytes(self, port: EnginePort) -> int:
        return nbytes_of(
            port, self._largest[port.name] if port.is_input else self._context.output_shape(port.name)
        )


def nbytes_of(port: EnginePort, shape: Shape) -> int:
    return int(np.prod(shape)) * port.dtype.itemsize


def fits(shape: Shape, largest: Shape) -> bool:
    return len(shape) == len(largest) and all(size <= most for size, most in zip(shape, largest, strict=True))
