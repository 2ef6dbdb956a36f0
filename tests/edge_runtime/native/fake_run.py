"""One run of an engine: checked before it is enqueued, computed by ONNX Runtime when the device comes to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tests.edge_runtime.cuda.fake_driver import FakeDriver
from tests.edge_runtime.cuda.fake_memory import DeviceFault, Span
from tests.edge_runtime.native.fake_engine import ICudaEngine
from tests.edge_runtime.native.fake_plan import Array, Port, Shape

ALIGNMENT = 256
SCRIBBLED = 0xEE
LAUNCH_FAILED = 719


class Refused(Exception):
    """A run that would not be right."""


@dataclass(frozen=True)
class Run:
    """`spans` are the places of inputs and outputs; those of aliased ones are the same."""

    engine: ICudaEngine
    driver: FakeDriver
    shapes: dict[str, Shape]
    outputs: dict[str, Shape]
    spans: dict[str, Span]
    activations: Span

    @classmethod
    def checked(
        cls,
        engine: ICudaEngine,
        driver: FakeDriver,
        shapes: dict[str, Shape],
        addresses: Mapping[str, int],
        activations: Span | None,
        need: int,
    ) -> Run:
        """Refused where TensorRT refuses, or where it would not and should."""
        ports = engine._ports
        outputs = {name: engine._network.resolved(name, shapes) for name in ports if not ports[name].is_input}
        spans = {name: span_of(ports[name], (shapes | outputs)[name], addresses) for name in ports}
        run = cls(engine, driver, shapes, outputs, spans, activations or Span(0, 0))
        if need and run.activations.nbytes < need:
            raise Refused(
                f"{need} bytes of device memory are needed. The IExecutionContext is created with "
                "ExecutionContextAllocationStrategy::kUSER_MANAGED. IExecutionContext::setDeviceMemoryV2 should be "
                "called before enqueue/execute."
            )
        run._refuse_memory()
        run._refuse_aliases()
        return run

    @property
    def reads(self) -> tuple[Span, ...]:
        return tuple(self.spans[name] for name in self.shapes if self.spans[name].nbytes)

    @property
    def writes(self) -> tuple[Span, ...]:
        return (*(self.spans[name] for name in self.outputs if self.spans[name].nbytes), self.activations)

    def perform(self) -> None:
        feeds = {name: self._read(name, shape) for name, shape in self.shapes.items()}
        if self.activations.nbytes:
            self.driver.bytes_of(self.activations.address, self.activations.nbytes)[:] = SCRIBBLED
        try:
            found = self.engine._network.run(feeds)
        except Exception as error:  # whatever it is, the device would not go on
            raise DeviceFault(LAUNCH_FAILED, str(error)) from error
        for name, array in found.items():
            if array.shape != self.outputs[name]:
                raise DeviceFault(LAUNCH_FAILED, f"{name} became {array.shape}, not {self.outputs[name]}")
            self._write(name, array)

    def _read(self, name: str, shape: Shape) -> Array:
        span, dtype = self.spans[name], self.engine._ports[name].dtype
        if not span.nbytes:
            return np.empty(shape, dtype)
        array: Array = self.driver.bytes_of(span.address, span.nbytes).copy().view(dtype).reshape(shape)
        return array

    def _write(self, name: str, array: Array) -> None:
        span = self.spans[name]
        if span.nbytes:
            content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            self.driver.bytes_of(span.address, span.nbytes)[:] = content

    def _refuse_memory(self) -> None:
        """Every place lies in one live block of the device's, and activations in none of the others' places."""
        for name, span in [*self.spans.items(), ("the activation memory", self.activations)]:
            if span.nbytes and not self.driver.calls.memory.device.holds(span):
                raise Refused(f"{name}: {span} do not lie in one block of device memory")
        for name, span in self.spans.items():
            if self.activations.overlaps(span):
                raise Refused(f"{name} lies in the activation memory")

    def _refuse_aliases(self) -> None:
        aliases = self.engine._network.aliases
        for output, place in ((name, self.spans[name]) for name in self.outputs):
            source = aliases.get(output)
            if source is not None and self.spans[source] != place:
                raise Refused(f"{output} must share the device memory address of {source}")
            for name, span in self.spans.items():
                if name not in (output, source) and span.overlaps(place):
                    raise Refused(f"{output} overlaps {name}: nothing says which is read or written first")


def span_of(port: Port, shape: Shape, addresses: Mapping[str, int]) -> Span:
    if -1 in shape:
        raise Refused(f"the shape of {port.name} is not known: an output allocator is needed")
    address, nbytes = addresses.get(port.name, 0), port.nbytes(shape)
    if not address and (nbytes or port.name not in addresses):
        kind = "input" if port.is_input else "output"
        raise Refused(
            f"Address is not set for {kind} tensor {port.name}. Call setTensorAddress before enqueue."
        )
    return Span(address, nbytes)
