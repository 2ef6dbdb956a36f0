"""Contexts of the fake TensorRT: right use computes, wrong use is refused in the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.edge_runtime.cuda.fake_driver import FakeDriver
from tests.edge_runtime.native.plans import CAPACITY, Bench, X, ready, rows

FLOAT = 4
PAST, PRESENT = "past_key_values.0.key", "present.0.key"
CACHE = 2 * CAPACITY * FLOAT


def caching(bench: Bench, folder: Path, *, in_place: bool) -> tuple[Any, dict[str, int]]:
    context = bench.context(bench.caching(folder, in_place=in_place))
    places = {name: bench.desk.device(CACHE) for name in (PAST, PRESENT, "row", "write_index", "seen")}
    bench.put(places[PAST], np.zeros((CAPACITY, 2), np.float32))
    bench.put(places["row"], np.ones(2, np.float32))
    bench.put(places["write_index"], np.array([1]))
    if in_place:
        places[PRESENT] = places[PAST]
    return bench.bound(context, **places), places


@pytest.mark.parametrize("when", ["late", "early"])
def test_a_run_computes_on_the_stream(tmp_path: Path, when: Any) -> None:
    bench = Bench(FakeDriver(when=when))
    context, _, y = ready(bench, tmp_path)
    assert context.execute_async_v3(bench.stream)
    assert np.array_equal(bench.got(y, (3, 4)), 2 * X)
    assert bench.driver.kernels == 1


def test_nothing_is_computed_before_it_is_waited_for(tmp_path: Path) -> None:
    bench = Bench()
    context, _, _ = ready(bench, tmp_path)
    context.execute_async_v3(bench.stream)
    assert bench.driver.kernels == 0


def test_only_what_was_asked_for_is_written(tmp_path: Path) -> None:
    bench = Bench()
    context, _, y = ready(bench, tmp_path, count=2)
    assert context.get_tensor_shape("y") == (2, 4)
    context.execute_async_v3(bench.stream)
    found = bench.got(y, (3, 4))
    assert np.array_equal(found[:2], 2 * X[:2]) and np.isnan(found[2]).all()


def test_a_cache_in_place_has_one_address(tmp_path: Path) -> None:
    bench = Bench()
    context, places = caching(bench, tmp_path, in_place=True)
    assert context.execute_async_v3(bench.stream), bench.lines
    assert bench.got(places[PAST], (CAPACITY, 2))[1].tolist() == [1, 1]
    context.set_tensor_address(PRESENT, bench.desk.device(CACHE))
    assert not context.execute_async_v3(bench.stream)
    assert f"{PRESENT} must share the device memory address of {PAST}" in bench.lines[-1]


def test_a_cache_that_is_not_in_place_has_two(tmp_path: Path) -> None:
    bench = Bench()
    context, places = caching(bench, tmp_path, in_place=False)
    assert context.execute_async_v3(bench.stream), bench.lines
    assert bench.got(places[PRESENT], (CAPACITY, 2)).sum() == 2
    context.set_tensor_address(PRESENT, places[PAST])
    assert not context.execute_async_v3(bench.stream)
    assert f"{PRESENT} overlaps {PAST}" in bench.lines[-1]


@pytest.mark.parametrize(
    ("shape", "complaint"),
    [
        ((9, 4), "does not satisfy"),
        ((0, 4), "does not satisfy"),
        ((3, 5), "Static dimension mismatch"),
        ((3,), "Static"),
    ],
)
def test_a_shape_outside_the_profile_is_refused(
    tmp_path: Path, shape: tuple[int, ...], complaint: str
) -> None:
    bench = Bench()
    context, _, _ = ready(bench, tmp_path)
    assert not context.set_input_shape("x", shape)
    assert complaint in bench.lines[-1]
    assert context.get_tensor_shape("x") == (3, 4)


def test_an_output_has_no_shape_to_set(tmp_path: Path) -> None:
    bench = Bench()
    context, _, _ = ready(bench, tmp_path)
    assert not context.set_input_shape("y", (3, 4))
    assert "is not an input tensor" in bench.lines[-1]


def test_a_run_without_shapes_is_refused(tmp_path: Path) -> None:
    bench = Bench()
    context = bench.context(bench.doubling(tmp_path))
    bench.bound(context, x=bench.desk.device(128), y=bench.desk.device(128))
    assert (context.infer_shapes(), context.all_binding_shapes_specified) == (["x"], False)
    assert context.get_tensor_shape("y") == (-1, 4)
    assert not context.execute_async_v3(bench.stream)
    assert "dimensions are not specified: x" in bench.lines[-1]


def test_a_new_profile_forgets_the_shapes(tmp_path: Path) -> None:
    bench = Bench()
    context = bench.context(bench.doubling(tmp_path, rows(1, 2), rows(1, 8)))
    context.set_input_shape("x", (2, 4))
    assert context.set_optimization_profile_async(1, bench.stream)
    assert context.active_optimization_profile == 1
    assert context.infer_shapes() == ["x"]
    assert context.set_input_shape("x", (8, 4))


def test_a_profile_that_is_not_there_raises(tmp_path: Path) -> None:
    bench = Bench()
    context, _, _ = ready(bench, tmp_path)
    with pytest.raises(RuntimeError, match="set optimization profile async"):
        context.set_optimization_profile_async(1, bench.stream)


def test_a_profile_is_not_switched_under_work_of_the_context(tmp_path: Path) -> None:
    bench = Bench()
    context, _, _ = ready(bench, tmp_path)
    context.execute_async_v3(bench.stream)
    with pytest.raises(RuntimeError, match="set optimization profile async"):
        context.set_optimization_profile_async(0, bench.stream)
    bench.desk.synchronize(bench.stream)
    assert context.set_optimization_profile_async(0, bench.stream)


def test_a_run_on_another_stream_than_the_switch_must_wait_for_it(tmp_path: Path) -> None:
    bench = Bench()
    context, _, _ = ready(bench, tmp_path)
    bench.desk.synchronize(bench.stream)
    other = bench.desk.stream()
    context.set_optimization_profile_async(0, other)
    assert not context.execute_async_v3(bench.stream)
    assert "races with profile switch" in bench.lines[-1]


def test_two_streams_do_not_run_one_context_at_once(tmp_path: Path) -> None:
    bench = Bench()
    context, _, _ = ready(bench, tmp_path)
    bench.desk.synchronize(bench.stream)
    assert context.execute_async_v3(bench.stream)
    assert not context.execute_async_v3(bench.desk.stream())
    assert "races with engine" in bench.lines[-1]


def test_a_profile_may_be_shared_unless_that_is_forbidden(tmp_path: Path) -> None:
    for is_forbidden in (False, True):
        bench = Bench(exclusive=is_forbidden)
        engine = bench.doubling(tmp_path)
        contexts = [bench.context(engine) for _ in range(2)]
        said = []
        for context in contexts:
            bench.bound(context, x=bench.desk.device(128), y=bench.desk.device(128))
            context.set_input_shape("x", (3, 4))
            said.append(context.execute_async_v3(bench.stream))
        assert said == [True, not is_forbidden]


def test_the_default_stream_is_refused(tmp_path: Path) -> None:
    bench = Bench()
    context, _, _ = ready(bench, tmp_path)
    assert not context.execute_async_v3(0)
    assert "default streams" in bench.lines[-1]


def test_a_graph_that_fails_while_it_runs_loses_the_context(tmp_path: Path) -> None:
    bench = Bench()
    context, places = caching(bench, tmp_path, in_place=True)
    bench.put(places["write_index"], np.array([CAPACITY + 3]))
    assert context.execute_async_v3(bench.stream)
    assert bench.desk.synchronize(bench.stream) == 719
