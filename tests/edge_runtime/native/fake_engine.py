"""Engines of the fake, and how their contexts are to be made."""

from __future__ import annotations

import weakref
from typing import Any

from tests.edge_runtime.native.fake_plan import FakeNetwork, Plan, Port
from tests.edge_runtime.native.fake_world import IHostMemory, Spoken, World
from tests.edge_runtime.native.surface import Surface


class IRuntimeCache(Surface):
    """Which kernels were compiled; `_compiled` has a line for each."""

    def _begin(self, world: World, spoken: Spoken) -> None:
        self._world, self._spoken = world, spoken
        self._compiled: set[str] = set()

    def serialize(self) -> IHostMemory:
        head = f"{self._world.api.title} {self._world.compute}"
        return IHostMemory("\n".join([head, *sorted(self._compiled)]).encode())

    def deserialize(self, blob: Any) -> bool:
        head, *lines = bytes(blob).decode(errors="replace").split("\n")
        if head != f"{self._world.api.title} {self._world.compute}":
            self._spoken.say("WARNING", "[Runtime Cache]: Fingerprint check failed; rejecting cache.")
            return False
        self._compiled |= set(lines)
        return True

    def reset(self) -> bool:
        self._compiled.clear()
        return True


class IRuntimeConfig(Surface):
    """Read when a context is made."""

    def _begin(self, world: World, spoken: Spoken) -> None:
        self._world, self._spoken = world, spoken
        self._allocation = world.word("ExecutionContextAllocationStrategy", "STATIC")
        self._cache: IRuntimeCache | None = None
        self._words: dict[str, Any] = {}

    def set_execution_context_allocation_strategy(self, strategy: Any = None) -> None:
        self._allocation = strategy or self._world.word("ExecutionContextAllocationStrategy", "STATIC")

    def get_execution_context_allocation_strategy(self) -> Any:
        return self._allocation

    @property
    def dynamic_shapes_kernel_specialization_strategy(self) -> Any:
        return self._words.get("kernels") or self._world.word(
            "DynamicShapesKernelSpecializationStrategy", "LAZY"
        )

    @dynamic_shapes_kernel_specialization_strategy.setter
    def dynamic_shapes_kernel_specialization_strategy(self, strategy: Any) -> None:
        self._words["kernels"] = self._checked("DynamicShapesKernelSpecializationStrategy", strategy)

    @property
    def cuda_graph_strategy(self) -> Any:
        return self._words.get("graphs") or self._world.word("CudaGraphStrategy", "DISABLED")

    @cuda_graph_strategy.setter
    def cuda_graph_strategy(self, strategy: Any) -> None:
        self._words["graphs"] = self._checked("CudaGraphStrategy", strategy)

    def create_runtime_cache(self) -> IRuntimeCache:
        cache: IRuntimeCache = self._world.made("IRuntimeCache", self._spoken)
        return cache

    def set_runtime_cache(self, cache: Any = None) -> bool:
        self._cache = cache
        return True

    def get_runtime_cache(self) -> IRuntimeCache | None:
        return self._cache

    def _checked(self, kind: str, value: Any) -> Any:
        if not isinstance(value, self._kinds[kind]):
            raise TypeError(f"(): incompatible function arguments: {value!r} is no {kind}")
        return value


class ICudaEngine(Surface):
    def _begin(self, world: World, spoken: Spoken, plan: Plan, network: FakeNetwork, keeper: object) -> None:
        self._world, self._spoken, self._plan, self._network = world, spoken, plan, network
        self._keeper = keeper  # the runtime, and the weights' memory
        self._ports = network.ports
        self._contexts: weakref.WeakSet[Any] = weakref.WeakSet()

    @property
    def name(self) -> str:
        return "fake"

    @property
    def num_io_tensors(self) -> int:
        return len(self._ports)

    @property
    def num_optimization_profiles(self) -> int:
        return len(self._plan.profiles)

    @property
    def device_memory_size_v2(self) -> int:
        return self._plan.largest_activations()

    def get_device_memory_size_for_profile_v2(self, profile_index: int) -> int:
        return self._plan.activation_bytes[profile_index] if self._has_profile(profile_index) else 0

    def get_tensor_name(self, index: int) -> str | None:
        names = list(self._ports)
        if index not in range(len(names)):
            self._spoken.misuse("ICudaEngine::getIOTensorName", f"index {index} is out of range")
            return None
        return names[index]

    def get_tensor_mode(self, name: str) -> Any:
        port = self._port(name)
        word = "NONE" if port is None else "INPUT" if port.is_input else "OUTPUT"
        return self._world.word("TensorIOMode", word)

    def get_tensor_dtype(self, name: str) -> Any:
        port = self._port(name)
        return self._world.word("DataType", "FLOAT" if port is None else port.kind)

    def get_tensor_shape(self, name: str) -> Any:
        port = self._port(name)
        return self._dims(() if port is None else port.shape)

    def get_tensor_location(self, name: str) -> Any:
        self._port(name)
        return self._world.word("TensorLocation", "DEVICE")

    def get_tensor_format(self, name: str, profile_index: int = 0) -> Any:
        self._port(name)
        return self._world.word("TensorFormat", "LINEAR")

    def is_shape_inference_io(self, name: str) -> bool:
        self._port(name)
        return False

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Any]:
        port = self._port(name)
        if port is None or not port.is_input or not self._has_profile(profile_index):
            self._spoken.misuse(
                "ICudaEngine::getProfileShape", f"{name} is no input of profile {profile_index}"
            )
            return [self._dims(()) for _ in range(3)]
        ranges = self._plan.profiles[profile_index].get(name, (port.shape,) * 3)
        return [self._dims(shape) for shape in ranges]

    def get_aliased_input_tensor(self, name: str) -> str | None:
        return self._network.aliases.get(name)

    def create_runtime_config(self) -> IRuntimeConfig:
        config: IRuntimeConfig = self._world.made("IRuntimeConfig", self._spoken)
        return config

    def create_execution_context(self, strategy: Any = None, runtime_config: Any = None) -> Any:
        config = runtime_config or self._world.made("IRuntimeConfig", self._spoken)
        if strategy is not None:
            config._allocation = strategy
        if self._plan.needs_user_memory and config._allocation.name != "USER_MANAGED":
            why = (
                "Engine was built with BuilderFlag::kREQUIRE_USER_ALLOCATION. Execution context creation requires "
                "ExecutionContextAllocationStrategy::kUSER_MANAGED allocation strategy."
            )
            self._spoken.misuse("ICudaEngine::createExecutionContext", why)
            return None
        context = self._world.made("IExecutionContext", self._spoken, self, config)
        if not context._settle():
            return None
        self._contexts.add(context)
        return context

    def _port(self, name: str) -> Port | None:
        port = self._ports.get(name)
        if port is None:
            self._spoken.misuse("ICudaEngine", f"Cannot find binding of given name: {name}")
        return port

    def _has_profile(self, index: int) -> bool:
        return index in range(len(self._plan.profiles))

    def _dims(self, shape: tuple[int, ...]) -> Any:
        return self._kinds["Dims"](shape)
