"""Runs of the fake TensorRT recorded into CUDA graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.edge_runtime.native.plans import ROW, Bench, X, ready, rows


def warm(bench: Bench, folder: Path, **settings: Any) -> tuple[Any, int, int]:
    """As `ready`, and run once."""
    context, x, y = ready(bench, folder, **settings)
    assert context.execute_async_v3(bench.stream)
    assert bench.desk.synchronize(bench.stream) == 0
    return context, x, y


def test_a_recorded_run_computes_at_each_launch(tmp_path: Path) -> None:
    bench = Bench()
    context, x, y = warm(bench, tmp_path)
    said, code, executable = bench.captured([context])
    assert (said, code) == ([True], 0)
    assert bench.driver.kernels == 1
    for factor in (1, 3):
        bench.put(x, factor * X)
        assert bench.desk.launch(executable, bench.stream) == 0
        assert np.array_equal(bench.got(y, (3, 4)), 2 * factor * X)


def test_a_first_run_is_not_recorded(tmp_path: Path) -> None:
    bench = Bench()
    context, _, _ = ready(bench, tmp_path)
    bench.desk.synchronize(bench.stream)
    assert bench.captured([context]) == ([False], 901, 0)
    assert "no run since" in bench.lines[-1]
    assert context.execute_async_v3(bench.stream)


def test_a_run_after_a_change_of_shape_is_not_recorded(tmp_path: Path) -> None:
    bench = Bench()
    context, _, _ = warm(bench, tmp_path)
    context.set_input_shape("x", (2, 4))
    assert bench.captured([context])[:2] == ([False], 901)


def test_the_same_shape_again_is_no_change(tmp_path: Path) -> None:
    bench = Bench()
    context, _, _ = warm(bench, tmp_path)
    context.set_input_shape("x", (3, 4))
    assert bench.captured([context])[:2] == ([True], 0)


def test_a_run_after_a_change_of_profile_is_not_recorded(tmp_path: Path) -> None:
    bench = Bench()
    context = bench.context(bench.doubling(tmp_path, rows(1, 8), rows(3, 3)))
    bench.bound(context, x=bench.desk.device(8 * ROW), y=bench.desk.device(8 * ROW))
    for profile in (0, 1):
        context.set_optimization_profile_async(profile, bench.stream)
        context.set_input_shape("x", (3, 4))
        assert bench.captured([context])[:2] == ([False], 901)
        assert context.execute_async_v3(bench.stream), bench.lines
        bench.desk.synchronize(bench.stream)


def test_a_run_after_a_change_of_profile_alone_is_not_recorded(tmp_path: Path) -> None:
    bench = Bench()
    context = bench.context(bench.caching(tmp_path, in_place=True, profiles=2))
    cache = bench.desk.device(512)
    bench.put(cache, np.zeros(128, np.float32))
    places = {name: bench.desk.device(512) for name in ("row", "write_index", "seen")}
    bench.put(places["write_index"], np.zeros(1, np.int64))
    bench.bound(context, **places, **{"past_key_values.0.key": cache, "present.0.key": cache})
    assert context.execute_async_v3(bench.stream), bench.lines
    assert bench.desk.synchronize(bench.stream) == 0
    context.set_optimization_profile_async(1, bench.stream)
    assert bench.captured([context])[:2] == ([False], 901)


def test_a_profile_is_not_switched_in_a_recording(tmp_path: Path) -> None:
    bench = Bench()
    context, _, _ = warm(bench, tmp_path)
    bench.desk.begin(bench.stream)
    try:
        context.set_optimization_profile_async(0, bench.stream)
    except RuntimeError:
        assert bench.desk.end(bench.stream) == (901, 0)
    else:
        raise AssertionError("it was switched")


def test_an_engine_that_cannot_be_recorded_says_so(tmp_path: Path) -> None:
    bench = Bench()
    context, _, _ = warm(bench, tmp_path, is_capturable=False)
    assert not context.is_stream_capturable(bench.stream)
    assert bench.captured([context]) == ([False], 901, 0)
    assert "not stream capturable" in bench.lines[-1]
    assert context.execute_async_v3(bench.stream)


def test_a_context_that_records_itself_is_not_recorded_by_others(tmp_path: Path) -> None:
    bench = Bench()
    engine, module = bench.doubling(tmp_path), bench.module
    config = engine.create_runtime_config()
    config.cuda_graph_strategy = module.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
    context = engine.create_execution_context(config)
    bench.bound(context, x=bench.desk.device(8 * ROW), y=bench.desk.device(8 * ROW))
    context.set_input_shape("x", (3, 4))
    assert context.execute_async_v3(bench.stream)
    bench.desk.synchronize(bench.stream)
    assert bench.captured([context])[0] == [False]
    assert "currently capturing elsewhere" in bench.lines[-1]


def test_a_recording_is_worth_nothing_once_its_context_ran_with_another_shape(tmp_path: Path) -> None:
    bench = Bench()
    context, _, _ = warm(bench, tmp_path)
    executable = bench.captured([context])[2]
    context.set_input_shape("x", (2, 4))
    context.execute_async_v3(bench.stream)
    bench.desk.launch(executable, bench.stream)
    assert bench.desk.synchronize(bench.stream) == 700
    assert "other shapes since it was captured" in bench.driver.complaints[-1]


def test_a_recording_outlives_runs_of_another_context(tmp_path: Path) -> None:
    bench = Bench()
    context, _, y = warm(bench, tmp_path)
    executable = bench.captured([context])[2]
    other = bench.context(context.engine)
    bench.bound(other, x=bench.desk.device(8 * ROW), y=bench.desk.device(8 * ROW))
    other.set_input_shape("x", (2, 4))
    assert other.execute_async_v3(bench.stream)
    bench.desk.launch(executable, bench.stream)
    assert np.array_equal(bench.got(y, (3, 4)), 2 * X)


def test_a_recording_does_not_outlive_its_context(tmp_path: Path) -> None:
    bench = Bench()
    context, _, _ = warm(bench, tmp_path)
    executable = bench.captured([context])[2]
    del context
    bench.desk.launch(executable, bench.stream)
    assert bench.desk.synchronize(bench.stream) == 700
