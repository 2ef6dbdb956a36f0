"""Small graphs and the plans, engines and contexts made of them, for tests of the fake."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.edge_runtime.cuda.desk import HANDLE, SIZE, U64, Desk
from tests.edge_runtime.cuda.fake_driver import FakeDriver
from tests.edge_runtime.native.fake_plan import Array, Range, Shape
from tests.edge_runtime.native.fake_tensorrt import fake_module, write_plan

TITLE = "tensorrt_rtx-1.7.1.116"
CAPACITY = 4
X = np.arange(12, dtype=np.float32).reshape(3, 4)
ROW = X.nbytes // len(X)


def doubling(path: Path) -> Path:
    """y = x + x, of (n, 4)."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "doubling", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def caching(path: Path, *, in_place: bool) -> Path:
    """A cache of (1, 1, 4, 2) that takes one row; `seen` is its sum. In place with opset 24's own operator."""
    past, present = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, CAPACITY, 2])
        for name in ("past_key_values.0.key", "present.0.key")
    )
    row = helper.make_tensor_value_info("row", TensorProto.FLOAT, [1, 1, 1, 2])
    index = helper.make_tensor_value_info("write_index", TensorProto.INT64, [1])
    seen = helper.make_tensor_value_info("seen", TensorProto.FLOAT, [])
    names = ["past_key_values.0.key", "row", "write_index"]
    write = helper.make_node("TensorScatter", names, ["present.0.key"], axis=2)
    nodes = [write, helper.make_node("ReduceSum", ["present.0.key"], ["seen"], keepdims=0)]
    if not in_place:  # what it becomes is the same; it is not seen to be
        write.output[0] = "written"
        half = helper.make_node("Add", ["written", "zero"], ["present.0.key"])
        nodes = [write, half, nodes[1]]
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0])
    graph = helper.make_graph(
        nodes, "caching", [past, row, index], [present, seen], [] if in_place else [zero]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 24)], ir_version=10), path)
    return path


def rows(least: int, most: int) -> dict[str, Range]:
    """A profile of `doubling`."""
    return {"x": ((least, 4), (least, 4), (most, 4))}


@dataclass
class Bench:
    """A fake library with its driver; `lines` are what it logged at ERROR."""

    driver: FakeDriver = field(default_factory=FakeDriver)
    title: str = TITLE
    exclusive: bool = False
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.desk = Desk.ready(self.driver)
        self.module: Any = fake_module(self.title, self.driver, exclusive_profiles=self.exclusive)
        lines = self.lines

        class Listener(self.module.ILogger):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()

            def log(self, severity: Any, msg: str) -> None:
                if severity.name == "ERROR":
                    lines.append(msg)

        self.runtime = self.module.Runtime(Listener())
        self.stream = self.desk.stream()

    def engine(self, plan: Path) -> Any:
        return self.runtime.deserialize_cuda_engine(plan.read_bytes())

    def doubling(self, folder: Path, *profiles: dict[str, Range], **settings: Any) -> Any:
        """An engine of `doubling` with these profiles."""
        graph = doubling(folder / "doubling.onnx")
        plan = write_plan(graph, profiles or [rows(1, 8)], folder / "plan", built_for=self.title, **settings)
        return self.engine(plan)

    def caching(self, folder: Path, *, in_place: bool, profiles: int = 1) -> Any:
        """Nothing of it is dynamic: its profiles say nothing."""
        graph = caching(folder / "caching.onnx", in_place=in_place)
        return self.engine(write_plan(graph, [{}] * profiles, folder / "plan", built_for=self.title))

    def context(self, engine: Any, profile: int = 0, *, activations: int | None = None) -> Any:
        """With memory for its activations, and its profile chosen."""
        strategy = self.module.ExecutionContextAllocationStrategy.USER_MANAGED
        context = engine.create_execution_context(strategy)
        if profile:
            context.set_optimization_profile_async(profile, self.stream)
        need = engine.get_device_memory_size_for_profile_v2(profile)
        context.set_device_memory(activations or self.desk.device(need), need)
        return context

    def bound(self, context: Any, **places: int) -> Any:
        for name, address in places.items():
            assert context.set_tensor_address(name, address), self.lines[-1]
        return context

    def put(self, address: int, array: Array) -> None:
        host = self.desk.pinned(max(array.nbytes, 1))
        self.desk.seen(host, array.nbytes)[:] = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
        self.driver.cuMemcpyHtoDAsync_v2(U64(address), HANDLE(host), SIZE(array.nbytes), HANDLE(self.stream))

    def got(self, address: int, shape: Shape, dtype: str = "float32") -> Array:
        """What lies there when the stream has come so far."""
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        host = self.desk.pinned(nbytes)
        self.desk.download(host, address, nbytes, self.stream)
        assert self.desk.synchronize(self.stream) == 0, self.driver.complaints[-1]
        array: Array = self.desk.seen(host, nbytes).copy().view(dtype).reshape(shape)
        return array

    def captured(self, contexts: Sequence[Any]) -> tuple[list[bool], int, int]:
        """What each said when it ran in a capture, the code at its end, and what can be launched (0: nothing)."""
        self.desk.begin(self.stream)
        said = [context.execute_async_v3(self.stream) for context in contexts]
        code, graph = self.desk.end(self.stream)
        executable = ctypes.c_void_p()
        if graph:
            flags = ctypes.c_ulonglong(0)
            self.driver.cuGraphInstantiateWithFlags(ctypes.byref(executable), HANDLE(graph), flags)
        return said, code, executable.value or 0


def ready(bench: Bench, folder: Path, *, count: int = 3, **settings: Any) -> tuple[Any, int, int]:
    """A context of `doubling` given `count` rows, and where its input and output lie."""
    context = bench.context(bench.doubling(folder, **settings))
    x, y = bench.desk.device(8 * ROW), bench.desk.device(8 * ROW)
    bench.bound(context, x=x, y=y)
    bench.put(x, X)
    assert context.set_input_shape("x", (count, 4))
    return context, x, y
