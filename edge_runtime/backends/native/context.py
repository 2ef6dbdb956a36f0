"""One engine made ready to run in one way: with one profile, one stream, and memory of ours for its activations."""

from __future__ import annotations

from typing import Any

from edge_runtime.backends.native.engine import Engine, Shape
from edge_runtime.cuda.device import DeviceMemory
from edge_runtime.cuda.stream import Stream
from edge_runtime.errors import MachineFault


class Context:
    """Its profile is never switched: a recording of its work stays good. Several may share their activations' memory if
    they work on one stream. `is_fixed` says that its shapes will not change."""

    def __init__(
        self, engine: Engine, profile: int, stream: Stream, activations: DeviceMemory, is_fixed: bool
    ) -> None:
        self.engine = engine
        self.stream = stream
        self._handle = self._made(is_fixed)
        engine.at_close(self._let_go)
        self._shapes: dict[str, Shape] = {}
        try:
            if profile:
                self._handle.set_optimization_profile_async(profile, stream.handle)
        except RuntimeError as error:
            raise self._fault(f"the profile {profile}", str(error)) from error
        self.engine.opener.words.taken()  # what was said before is not about this memory
        self._handle.set_device_memory(activations.address, activations.nbytes)
        self._listen("memory for its activations")

    def shape(self, name: str, shape: Shape) -> None:
        """Of an input; nothing is said to the engine where it is as it was."""
        if self._shapes.get(name) == shape or -1 not in self.engine.ports[name].shape:
            return
        self._checked(self._handle.set_input_shape(name, shape), f"the shape {list(shape)} of {name}")
        self._shapes[name] = shape

    def address(self, name: str, memory: DeviceMemory) -> None:
        self._checked(self._handle.set_tensor_address(name, memory.address), f"the address of {name}")

    def output_shape(self, name: str) -> Shape:
        """Of what the next run gives."""
        return tuple(self._handle.get_tensor_shape(name))

    def run(self) -> None:
        """On the stream; it is done when that is waited for."""
        self._checked(self._handle.execute_async_v3(self.stream.handle), "to run")

    @property
    def is_recordable(self) -> bool:
        """TensorRT-RTX knows; TensorRT itself refuses while it is recorded, if it must."""
        ask = getattr(self._handle, "is_stream_capturable", None)
        return True if ask is None else bool(ask(self.stream.handle))

    def _let_go(self) -> None:
        self._handle = None

    def _made(self, is_fixed: bool) -> Any:
        module = self.engine.opener.library.module
        managed = module.ExecutionContextAllocationStrategy.USER_MANAGED
        made = self.engine.handle.create_execution_context(
            self._settings(module, managed, is_fixed) or managed
        )
        if made is None:
            raise self._fault("to be made ready", "")
        return made

    def _settings(self, module: Any, managed: Any, is_fixed: bool) -> Any:
        """TensorRT-RTX compiles kernels for shapes that it meets. At once where there is one shape, so that none are
        replaced after a recording; beside the work where every prompt has its own, and would wait for them."""
        strategies = getattr(module, "DynamicShapesKernelSpecializationStrategy", None)
        if strategies is None:
            return None
        settings = self.engine.handle.create_runtime_config()
        settings.set_execution_context_allocation_strategy(managed)
        settings.dynamic_shapes_kernel_specialization_strategy = (
            strategies.EAGER if is_fixed else strategies.LAZY
        )
        if self.engine.kernels is not None:
            settings.set_runtime_cache(self.engine.kernels.cache)
        return settings

    def _checked(self, is_taken: bool, request: str) -> None:
        if not is_taken:
            raise self._fault(request, "")

    def _listen(self, request: str) -> None:
        """For calls that answer nothing."""
        if why := self.engine.opener.words.taken():
            raise self._fault(request, why)

    def _fault(self, request: str, why: str) -> MachineFault:
        what = f"the engine {self.engine.title} refuses {request}"
        why = self.engine.opener.words.taken() or why or "it does not say why"
        fix = "build the engines again with `edge-vl build`, or use --engine onnxruntime"
        return MachineFault("EVL-ENGINE-RUN", what, why, fix)
