"""TensorRT without a GPU: the members of the real module, of any version on record, over the fake driver.

Engines are files of `write_plan`: ONNX graphs that ONNX Runtime computes when the driver's stream comes to them."""

from __future__ import annotations

import json
import weakref
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tests.edge_runtime.cuda.fake_driver import FakeDriver
from tests.edge_runtime.native.fake_context import IExecutionContext
from tests.edge_runtime.native.fake_engine import ICudaEngine, IRuntimeCache, IRuntimeConfig
from tests.edge_runtime.native.fake_plan import COMPUTE, MAGIC, FakeNetwork, Plan, plan_from_bytes, write_plan
from tests.edge_runtime.native.fake_world import Dims, IHostMemory, ILogger, Logger, Spoken, World
from tests.edge_runtime.native.signatures import Api, api_from_module, recorded
from tests.edge_runtime.native.surface import NotOffered, Surface, Word, fitted, words_from_api

__all__ = ["fake_module", "write_plan"]
DESERIALIZE = "IRuntime::deserializeCudaEngine"
WORDS = (
    "Severity", "DataType", "TensorIOMode", "TensorLocation", "TensorFormat", "ExecutionContextAllocationStrategy",
    "DynamicShapesKernelSpecializationStrategy", "CudaGraphStrategy", "EngineValidity",
)  # fmt: skip
DTYPES = {"float32": "FLOAT", "float16": "HALF", "int8": "INT8", "int32": "INT32", "int64": "INT64", "bool": "BOOL", "uint8": "UINT8", "bfloat16": "BF16"}  # fmt: skip
WITHOUT_NUMPY = ("BF16",)


class Runtime(Surface):
    _world: World

    def __init__(self, logger: Any) -> None:
        if not isinstance(logger, self._kinds["ILogger"]):
            raise TypeError(f"__init__(): incompatible constructor arguments: {logger!r} is no ILogger")
        self._spoken = Spoken(self._world, logger)

    @property
    def logger(self) -> Any:
        return self._spoken.logger

    def deserialize_cuda_engine(self, serialized_engine: Any) -> ICudaEngine | None:
        """None, and why in the log, where the plan is not one for this library on this GPU."""
        with memoryview(serialized_engine) as view:
            content = bytes(view)
        self._spoken.say("INFO", f"Loaded engine size: {len(content) >> 20} MiB")
        try:
            plan = plan_from_bytes(content)
        except json.JSONDecodeError:
            self._spoken.error(DESERIALIZE, "1: Serialization", "Archive content is too short.")
            plan = None
        except ValueError:
            self._spoken.error(DESERIALIZE, "1: Serialization", complaint_of_content(content))
            plan = None
        engine = None if plan is None or self._refuses(plan) else self._opened(plan)
        if engine is None:
            self._spoken.error(DESERIALIZE, "4: Internal Error", "Engine deserialization failed.")
        return engine

    def get_engine_validity(self, buffer: Any) -> tuple[Any, int]:
        with memoryview(buffer) as view:
            is_plan = bytes(view[: len(MAGIC)]) == MAGIC
        return self._world.word("EngineValidity", "VALID" if is_plan else "INVALID"), 0 if is_plan else 32

    def _refuses(self, plan: Plan) -> bool:
        world, why = self._world, ""
        if plan.built_for != world.api.title:
            why = (
                "The engine plan file is not compatible with this version of TensorRT, expecting library version "
                f"{world.api.version} got {plan.built_for.rpartition('-')[2]}, please rebuild."
            )
        elif plan.compute != world.compute:
            why = (
                f"The engine plan file is generated on an incompatible device, expecting compute {world.compute} "
                f"got compute {plan.compute}, please rebuild."
            )
        if why:
            self._spoken.error(DESERIALIZE, "6: API Usage Error", why)
        return bool(why)

    def _opened(self, plan: Plan) -> ICudaEngine | None:
        memory = self._world.driver.calls.memory
        block = memory.allocate(plan.weight_bytes) if plan.weight_bytes else None
        if plan.weight_bytes and block is None:
            why = f"Requested amount of GPU memory ({plan.weight_bytes} bytes) could not be allocated."
            self._spoken.error(DESERIALIZE, "2: OutOfMemory", why)
            return None
        network = FakeNetwork(Path(plan.onnx))
        engine: ICudaEngine = self._world.made("ICudaEngine", self._spoken, plan, network, self)
        if block is not None:
            weakref.finalize(engine, block.free).atexit = False
        return engine


def complaint_of_content(content: bytes) -> str:
    if not content:
        return "Cannot deserialize with an empty memory buffer."
    found = int.from_bytes(content[:4], "little")
    return (
        "Serialization assertion header.magicTag == kEXPECTED_MAGIC_TAG failed.Trying to load an engine created with "
        f"incompatible serialization version ({found} != 1953657974). Check that the engine was not created using safety "
        "runtime, same OS was used and version compatibility parameters were set accordingly and that it is a TRT "
        "engine file."
    )


class FakeModule:
    """As the module imported: names that the version lacks are missing, those that the fake lacks say so."""

    def __init__(self, world: World) -> None:
        self.__name__ = world.api.library
        self.__version__ = world.api.version
        self.world = world
        kinds = world.kinds
        for name in (
            "ILogger",
            "Logger",
            "Runtime",
            "ICudaEngine",
            "IExecutionContext",
            "Dims",
            "IHostMemory",
        ):
            setattr(self, name, kinds[name])
        for name in (*WORDS[1:], "IRuntimeConfig", "IRuntimeCache"):
            if name in world.api.names:
                setattr(self, name, kinds[name])
        for name, word in DTYPES.items():
            setattr(self, name, world.word("DataType", word))
        self.nptype = partial(nptype, world)

    def __getattr__(self, name: str) -> Any:
        if name in self.world.api.names:
            raise NotOffered(f"{self.world.api.library}.{name}")
        raise AttributeError(f"module {self.world.api.library!r} has no attribute {name!r}")


def nptype(world: World, trt_type: Any) -> type:
    for name, word in DTYPES.items():
        if trt_type is world.word("DataType", word) and word not in WITHOUT_NUMPY:
            return np.dtype(name).type
    raise TypeError("Could not resolve TensorRT datatype to an equivalent numpy datatype.")


def fake_module(
    real: ModuleType | Api | str,
    driver: FakeDriver,
    *,
    compute: str = COMPUTE,
    exclusive_profiles: bool = False,
) -> Any:
    """As `real` has it: an imported module, or the title of a record, such as "tensorrt-10.3.0"."""
    api = (
        recorded(real) if isinstance(real, str) else real if isinstance(real, Api) else api_from_module(real)
    )
    world = World(driver, api, compute, exclusive_profiles)
    kinds = world.kinds
    kinds.update({name: words_from_api(api, name) for name in WORDS if name in api.classes})
    kinds["IHostMemory"] = IHostMemory
    surfaces: tuple[type[Surface], ...] = (
        Dims, ILogger, Logger, Runtime, ICudaEngine, IExecutionContext, IRuntimeConfig, IRuntimeCache,
    )  # fmt: skip
    for each in surfaces:
        kinds[each.__name__] = fitted(each, api, kinds)
    kinds["Logger"] = type("Logger", (kinds["Logger"], kinds["ILogger"]), {})
    for holder in (kinds["ILogger"], kinds["Logger"]):
        severity: type[Word] = kinds["Severity"]
        kinds["ILogger.Severity"] = severity
        holder.Severity = severity  # type: ignore[attr-defined]
        for word in severity:
            setattr(holder, word.name, word)
    kinds["Runtime"]._world = world  # type: ignore[attr-defined]
    for private in ("ICudaEngine", "IExecutionContext", "IRuntimeConfig", "IRuntimeCache"):
        kinds[private].__init__ = no_constructor  # type: ignore[misc]
    return FakeModule(world)


def no_constructor(self: Surface, *_: object, **__: object) -> None:
    raise TypeError(f"{self._title}: No constructor defined!")
