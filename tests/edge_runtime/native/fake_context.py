"""Contexts of the fake: they take what they are told, refuse what is wrong, and put work on the driver's stream."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

from tests.edge_runtime.cuda.fake_memory import DeviceFault, Span
from tests.edge_runtime.cuda.fake_streams import CallFailed, Operation
from tests.edge_runtime.native.fake_engine import ICudaEngine, IRuntimeConfig
from tests.edge_runtime.native.fake_plan import Shape
from tests.edge_runtime.native.fake_run import ALIGNMENT, Refused, Run
from tests.edge_runtime.native.fake_world import Spoken, World
from tests.edge_runtime.native.surface import Surface

ENQUEUE = "IExecutionContext::enqueueV3"
Key = tuple[int, tuple[tuple[str, Shape], ...]]  # a profile, and the shapes of inputs


@dataclass
class State:
    """What a context keeps on the device: it belongs to the shapes of its last run."""

    span: Span
    key: Key | None = None


class IExecutionContext(Surface):
    def _begin(self, world: World, spoken: Spoken, engine: ICudaEngine, config: IRuntimeConfig) -> None:
        self._world, self._spoken, self._engine, self._config = world, spoken, engine, config
        self._profile = 0
        self._shapes: dict[str, Shape] = {}
        self._addresses: dict[str, int] = {}
        self._activations: Span | None = None
        self._is_warm = False  # ran since its profile or its shapes changed
        self._runs = 0
        self._state = State(world.state())

    def _settle(self) -> bool:
        """Activation memory of the context's own, where the user does not bring it."""
        if self._is_user_managed:
            return True
        need = self._engine.device_memory_size_v2
        block = self._world.driver.calls.memory.allocate(need)
        if block is None:
            why = f"Requested amount of GPU memory ({need} bytes) could not be allocated."
            self._spoken.error("ICudaEngine::createExecutionContext", "2: OutOfMemory", why)
            return False
        self._activations = block.span
        weakref.finalize(self, block.free).atexit = False
        return True

    @property
    def engine(self) -> ICudaEngine:
        return self._engine

    @property
    def active_optimization_profile(self) -> int:
        return self._profile

    def get_runtime_config(self) -> IRuntimeConfig:
        return self._config

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        if not self._engine._has_profile(profile_index):
            self._profile_refused(f"Profile index {profile_index} is out of range.")
        if any(self._state.span in each.writes for each in self._world.driver.calls.streams.unfinished):
            self._profile_refused(
                "operations of this context are pending: wait for them before switching profiles"
            )
        switch = Operation("profile switch", (), (self._state.span,), lambda: None)
        try:
            if self._world.driver.is_capturing(stream_handle):
                self._world.driver.spoil_capture(stream_handle, "a profile was switched during the capture")
                self._profile_refused("operation not permitted when stream is capturing")
            self._world.driver.enqueue(stream_handle, switch)
        except CallFailed as failed:
            self._profile_refused(str(failed))
        if profile_index != self._profile:
            self._profile, self._is_warm = profile_index, False
            self._shapes.clear()
        return True

    def set_input_shape(self, name: str, shape: Any) -> bool:
        port = self._engine._ports.get(name)
        sizes = tuple(int(size) for size in shape)
        where = "IExecutionContext::setInputShape"
        if port is None or not port.is_input:
            self._spoken.misuse(where, f"{name} is not an input tensor.")
            return False
        if len(sizes) != len(port.shape) or any(
            w not in (-1, s) for w, s in zip(port.shape, sizes, strict=True)
        ):
            why = f"Static dimension mismatch while setting input shape for {name}. Set dimensions are {list(sizes)}."
            self._spoken.misuse(where, f"{why} Expected dimensions are {list(port.shape)}.")
            return False
        least, _, most = self._engine._plan.profiles[self._profile].get(name, (sizes,) * 3)
        if not all(low <= size <= high for low, size, high in zip(least, sizes, most, strict=True)):
            why = f"Set dimension {list(sizes)} for tensor {name} does not satisfy any optimization profiles."
            self._spoken.misuse(where, f"{why} Valid range for profile {self._profile}: {least}..{most}.")
            return False
        self._is_warm = self._is_warm and self._shapes.get(name, port.shape) == sizes
        self._shapes[name] = sizes
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        where = "IExecutionContext::setTensorAddress"
        if name not in self._engine._ports:
            self._spoken.misuse(
                where, f"{name} is neither input nor output, cannot set address for this tensor."
            )
            return False
        if int(memory) % ALIGNMENT:
            self._spoken.misuse(where, f"{name}: data must be aligned on {ALIGNMENT} byte boundary")
            return False
        self._addresses[name] = int(memory)
        return True

    def get_tensor_address(self, name: str) -> int:
        return self._addresses.get(name, 0)

    def set_device_memory(self, memory: int, size: int) -> None:
        """Says nothing of success, as the real one."""
        where, need = "IExecutionContext::setDeviceMemoryV2", self._need
        if not self._is_user_managed:
            self._spoken.misuse(
                where, "Context not created with user managed device memory, cannot set buffer"
            )
        elif not memory and need:
            self._spoken.misuse(where, "setDeviceMemoryV2: Cannot set memory to nullptr.")
        elif int(memory) % ALIGNMENT:
            self._spoken.misuse(where, f"setDeviceMemoryV2: memory must be aligned on {ALIGNMENT} bytes")
        elif size < need:
            why = (
                f"setDeviceMemoryV2: The provided memory size is too small. Provided {size}, expected {need}."
            )
            self._spoken.misuse(where, why)
        else:
            self._activations = Span(int(memory), int(size))

    def update_device_memory_size_for_shapes(self) -> int:
        return self._need

    def infer_shapes(self) -> list[str]:
        ports = self._engine._ports.values()
        return [
            port.name for port in ports if port.is_input and port.is_dynamic and port.name not in self._shapes
        ]

    @property
    def all_binding_shapes_specified(self) -> bool:
        return not self.infer_shapes()

    def get_tensor_shape(self, name: str) -> Any:
        port = self._engine._ports.get(name)
        if port is None:
            self._spoken.misuse(
                "IExecutionContext::getTensorShape", f"{name} is neither input nor output tensor"
            )
            return self._engine._dims(())
        if port.is_input:
            return self._engine._dims(self._shapes.get(name, port.shape))
        return self._engine._dims(self._engine._network.resolved(name, self._shapes))

    def is_stream_capturable(self, stream: int) -> bool:
        return self._engine._plan.is_capturable

    def execute_async_v3(self, stream_handle: int) -> bool:
        driver = self._world.driver
        try:
            is_capturing = driver.is_capturing(stream_handle)
            if is_capturing:
                self._refuse_capture(stream_handle)
            self._refuse_profile()
            run = Run.checked(
                self._engine, driver, self._all_shapes(), self._addresses, self._activations, self._need
            )
            driver.enqueue(stream_handle, self._operation(run, is_captured=is_capturing))
        except CallFailed as failed:
            self._spoken.error(ENQUEUE, "1: Cuda Runtime", str(failed))
            return False
        except Refused as refused:
            self._spoken.misuse(ENQUEUE, str(refused))
            return False
        self._is_warm, self._runs = True, self._runs + 1
        return True

    @property
    def _need(self) -> int:
        return self._engine._plan.activation_bytes[self._profile]

    @property
    def _is_user_managed(self) -> bool:
        return bool(self._config._allocation.name == "USER_MANAGED")

    def _profile_refused(self, why: str) -> None:
        self._spoken.misuse("IExecutionContext::setOptimizationProfileAsync", why)
        raise RuntimeError("Error in set optimization profile async.")

    def _all_shapes(self) -> dict[str, Shape]:
        if lacking := self.infer_shapes():
            raise Refused(f"Following input tensors' dimensions are not specified: {', '.join(lacking)}")
        ports = self._engine._ports.values()
        return {port.name: self._shapes.get(port.name, port.shape) for port in ports if port.is_input}

    def _refuse_capture(self, stream: int) -> None:
        """What a run may not be, or do, while its stream is captured."""
        why = None
        if not self._engine._plan.is_capturable:
            why = "The CUDA stream is in capturing mode, but this TRT engine is not stream capturable."
        elif "CudaGraphStrategy" in self._kinds and self._config.cuda_graph_strategy.name != "DISABLED":
            why = "Attempted capture or replay for stream currently capturing elsewhere or invalidated."
        elif not self._is_warm:
            why = "operation not permitted when stream is capturing: no run since the profile or a shape changed"
        if why:
            self._world.driver.spoil_capture(stream, why)
            raise Refused(why)

    def _refuse_profile(self) -> None:
        others = [each for each in self._engine._contexts if each is not self and each._runs]
        if self._world.exclusive_profiles and any(each._profile == self._profile for each in others):
            raise Refused(f"profile {self._profile} is in use by another context")

    def _operation(self, run: Run, *, is_captured: bool) -> Operation:
        key: Key = (self._profile, tuple(sorted(run.shapes.items())))
        state, alive = self._state, weakref.ref(self)
        if (cache := self._config._cache) is not None:
            cache._compiled.add(f"{self._engine._plan.onnx} {key}")

        def perform() -> None:
            if alive() is None:
                raise DeviceFault(700, "the context of this work is gone")
            if is_captured and state.key != key:
                raise DeviceFault(
                    700, "the context ran with another profile or other shapes since it was captured"
                )
            state.key = key
            run.perform()

        return Operation(
            "engine", run.reads, (*run.writes, self._state.span), perform, is_kernel=True, cost_ms=1.0
        )
