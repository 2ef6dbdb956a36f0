"""Plans of the fake TensorRT: what it opens, what it refuses, what engines tell."""

from __future__ import annotations

import gc
import json
import mmap
from pathlib import Path
from typing import Any

import pytest

from export.engines.shapes import Profile, ShapeRange
from tests.edge_runtime.cuda.fake_driver import FakeDriver
from tests.edge_runtime.native.fake_plan import MAGIC, write_plan
from tests.edge_runtime.native.plans import Bench, doubling, rows


def test_an_engine_tells_its_tensors(tmp_path: Path) -> None:
    bench = Bench()
    engine, module = bench.doubling(tmp_path), bench.module
    assert [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)] == ["x", "y"]
    assert engine.get_tensor_mode("x") is module.TensorIOMode.INPUT
    assert engine.get_tensor_mode("y") is module.TensorIOMode.OUTPUT
    assert engine.get_tensor_dtype("x") is module.DataType.FLOAT
    assert engine.get_tensor_location("x") is module.TensorLocation.DEVICE
    assert engine.get_tensor_shape("x") == (-1, 4)
    assert bench.lines == []


def test_an_engine_tells_its_profiles(tmp_path: Path) -> None:
    engine = Bench().doubling(tmp_path, rows(1, 8), rows(2, 2))
    assert engine.num_optimization_profiles == 2
    assert engine.get_tensor_profile_shape("x", 0) == [(1, 4), (1, 4), (8, 4)]
    assert engine.get_tensor_profile_shape("x", 1) == [(2, 4)] * 3
    needs = [engine.get_device_memory_size_for_profile_v2(index) for index in range(2)]
    assert engine.device_memory_size_v2 == max(needs) > 0


def test_what_is_asked_of_an_unknown_tensor_is_logged(tmp_path: Path) -> None:
    bench = Bench()
    engine = bench.doubling(tmp_path)
    assert len(engine.get_tensor_shape("z")) == 0
    assert engine.get_tensor_profile_shape("y", 0) == [(), (), ()]
    assert [line.startswith("ICudaEngine") for line in bench.lines] == [True, True]


def test_profiles_are_taken_as_the_builder_takes_them(tmp_path: Path) -> None:
    bench, graph = Bench(), doubling(tmp_path / "doubling.onnx")
    profile = Profile("few", {"x": ShapeRange((1, 4), (2, 4), (3, 4))})
    engine = bench.engine(write_plan(graph, [profile], tmp_path / "plan"))
    assert engine.get_tensor_profile_shape("x", 0) == [(1, 4), (2, 4), (3, 4)]


def test_a_plan_needs_a_range_for_what_is_dynamic(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"no range for \['x'\]"):
        write_plan(doubling(tmp_path / "doubling.onnx"), [], tmp_path / "plan")


def test_an_output_written_in_place_names_its_input(tmp_path: Path) -> None:
    bench = Bench()
    engine = bench.caching(tmp_path, in_place=True)
    assert engine.get_aliased_input_tensor("present.0.key") == "past_key_values.0.key"
    assert engine.get_aliased_input_tensor("seen") is None
    assert bench.caching(tmp_path, in_place=False).get_aliased_input_tensor("present.0.key") is None


def test_a_plan_is_read_from_a_mapped_file(tmp_path: Path) -> None:
    bench = Bench()
    path = write_plan(doubling(tmp_path / "doubling.onnx"), [rows(1, 2)], tmp_path / "plan")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        engine = bench.runtime.deserialize_cuda_engine(content)
    assert engine.num_io_tensors == 2


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "empty memory buffer"),
        (b"PK\x03\x04", "header.magicTag == kEXPECTED_MAGIC_TAG"),
        (MAGIC + b'{"onnx": "gra', "too short"),
    ],
)
def test_what_is_no_plan_is_refused_in_the_log(content: bytes, complaint: str) -> None:
    bench = Bench()
    assert bench.runtime.deserialize_cuda_engine(content) is None
    assert complaint in bench.lines[0]
    assert "Engine deserialization failed" in bench.lines[-1]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" * 300])
def test_the_real_library_words_its_refusals_alike(content: bytes) -> None:
    real, heard = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed"), list[str]()

    class Listener(real.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            real.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            if severity == real.ILogger.ERROR:
                heard.append(msg)

    bench = Bench()
    assert real.Runtime(Listener()).deserialize_cuda_engine(content) is None
    assert bench.runtime.deserialize_cuda_engine(content) is None
    told = [line.partition("(")[2].partition(" In ")[0].rstrip(".)") for line in (heard[0], bench.lines[0])]
    assert told[0] == told[1]


def test_a_plan_of_another_version_is_refused(tmp_path: Path) -> None:
    bench, graph = Bench(title="tensorrt-11.4.0.106"), doubling(tmp_path / "doubling.onnx")
    plan = write_plan(graph, [rows(1, 2)], tmp_path / "plan", built_for="tensorrt-10.3.0")
    assert bench.engine(plan) is None
    assert "expecting library version 11.4.0.106 got 10.3.0" in bench.lines[0]


def test_a_plan_of_another_gpu_is_refused(tmp_path: Path) -> None:
    bench = Bench()
    assert bench.doubling(tmp_path, compute="8.6") is None
    assert "expecting compute 8.7 got compute 8.6" in bench.lines[0]


def test_an_engine_larger_than_the_memory_is_refused(tmp_path: Path) -> None:
    bench = Bench(FakeDriver(memory=1 << 20))
    assert bench.doubling(tmp_path, weight_bytes=2 << 20) is None
    assert "OutOfMemory" in bench.lines[0]


def test_an_engine_gives_its_memory_back(tmp_path: Path) -> None:
    bench = Bench()
    engine = bench.doubling(tmp_path, weight_bytes=4096)
    assert bench.driver.calls.memory.used == 4096
    del engine
    gc.collect()
    assert bench.driver.calls.memory.used == 0


def test_a_context_with_memory_of_its_own_gives_it_back(tmp_path: Path) -> None:
    bench = Bench()
    engine = bench.doubling(tmp_path)
    context = engine.create_execution_context()
    assert bench.driver.calls.memory.used == engine.device_memory_size_v2
    del context
    gc.collect()
    assert bench.driver.calls.memory.used == 0


def test_an_engine_that_wants_the_users_memory_makes_no_other_context(tmp_path: Path) -> None:
    bench = Bench()
    engine = bench.doubling(tmp_path, needs_user_memory=True)
    assert engine.create_execution_context() is None
    assert "kREQUIRE_USER_ALLOCATION" in bench.lines[0]
    assert bench.context(engine) is not None


def test_a_runtime_config_makes_a_context(tmp_path: Path) -> None:
    bench = Bench()
    engine, module = bench.doubling(tmp_path), bench.module
    config = engine.create_runtime_config()
    config.set_execution_context_allocation_strategy(module.ExecutionContextAllocationStrategy.USER_MANAGED)
    config.dynamic_shapes_kernel_specialization_strategy = (
        module.DynamicShapesKernelSpecializationStrategy.EAGER
    )
    context = engine.create_execution_context(config)
    assert context.get_runtime_config() is config
    assert bench.driver.calls.memory.used == 0
    with pytest.raises(TypeError, match="is no CudaGraphStrategy"):
        config.cuda_graph_strategy = 1


def test_the_oldest_version_makes_contexts_by_strategy_alone(tmp_path: Path) -> None:
    bench = Bench(title="tensorrt-10.3.0")
    engine = bench.doubling(tmp_path)
    assert not hasattr(engine, "create_runtime_config")
    assert not hasattr(engine, "get_aliased_input_tensor")
    with pytest.raises(TypeError, match="incompatible function arguments"):
        engine.create_execution_context(runtime_config=None)
    assert not hasattr(engine.create_execution_context(), "is_stream_capturable")


def test_a_runtime_cache_is_good_for_its_version_and_gpu_only(tmp_path: Path) -> None:
    bench = Bench()
    engine = bench.doubling(tmp_path)
    cache = engine.create_runtime_config().create_runtime_cache()
    cache._compiled.add("a kernel")
    blob = cache.serialize()
    assert blob.nbytes == len(bytes(blob))
    cache.reset()
    assert cache.deserialize(blob) and cache._compiled == {"a kernel"}
    assert not cache.deserialize(b"tensorrt_rtx-1.6.0 8.7\nold")
    assert cache._compiled == {"a kernel"}


def test_a_plan_says_what_it_was_made_of(tmp_path: Path) -> None:
    graph = doubling(tmp_path / "doubling.onnx")
    said = json.loads(write_plan(graph, [rows(1, 2)], tmp_path / "plan").read_bytes()[len(MAGIC) :])
    assert (said["onnx"], said["built_for"]) == (str(graph), "tensorrt_rtx-1.7.1.116")
