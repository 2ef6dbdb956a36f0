"""Where tensors and activations may lie, and what becomes of memory that is taken from under a run."""

from __future__ import annotations

from pathlib import Path

from tests.edge_runtime.native.plans import ROW, Bench, X, ready, rows


def test_an_address_is_aligned(tmp_path: Path) -> None:
    bench = Bench()
    context, x, _ = ready(bench, tmp_path)
    assert not context.set_tensor_address("x", x + 16)
    assert "aligned on 256" in bench.lines[-1]
    assert context.get_tensor_address("x") == x


def test_an_address_has_a_name(tmp_path: Path) -> None:
    bench = Bench()
    context, x, _ = ready(bench, tmp_path)
    assert not context.set_tensor_address("z", x)
    assert "neither input nor output" in bench.lines[-1]


def test_a_run_without_an_address_is_refused(tmp_path: Path) -> None:
    bench = Bench()
    context, _, _ = ready(bench, tmp_path)
    context.set_tensor_address("y", 0)
    assert not context.execute_async_v3(bench.stream)
    assert "Address is not set for output tensor y" in bench.lines[-1]


def test_a_place_that_is_too_small_is_refused(tmp_path: Path) -> None:
    bench = Bench()
    context, _, _ = ready(bench, tmp_path)
    bench.bound(context, y=bench.desk.device(3 * ROW - 1))
    assert not context.execute_async_v3(bench.stream)
    assert "y: 48 bytes" in bench.lines[-1]


def test_host_memory_is_no_place_for_a_tensor(tmp_path: Path) -> None:
    bench = Bench()
    context, _, _ = ready(bench, tmp_path)
    bench.bound(context, y=bench.desk.pinned(8 * ROW))
    assert not context.execute_async_v3(bench.stream)
    assert "do not lie in one block of device memory" in bench.lines[-1]


def test_memory_freed_after_the_run_was_asked_for_loses_the_context(tmp_path: Path) -> None:
    bench = Bench()
    context, x, _ = ready(bench, tmp_path)
    assert context.execute_async_v3(bench.stream)
    bench.desk.free(x)
    assert bench.desk.synchronize(bench.stream) == 700
    assert not context.execute_async_v3(bench.stream)


def test_activation_memory_is_brought_and_large_enough(tmp_path: Path) -> None:
    bench = Bench()
    engine = bench.doubling(tmp_path)
    context = engine.create_execution_context(bench.module.ExecutionContextAllocationStrategy.USER_MANAGED)
    bench.bound(context, x=bench.desk.device(128), y=bench.desk.device(128))
    context.set_input_shape("x", (1, 4))
    assert not context.execute_async_v3(bench.stream)
    assert "setDeviceMemoryV2 should be called" in bench.lines[-1]
    need = engine.get_device_memory_size_for_profile_v2(0)
    assert context.update_device_memory_size_for_shapes() == need
    for address, size, complaint in (
        (bench.desk.device(need), need - 1, "too small"),
        (bench.desk.device(2 * need) + 8, need, "aligned"),
        (0, need, "nullptr"),
    ):
        assert context.set_device_memory(address, size) is None
        assert complaint in bench.lines[-1]
    context.set_device_memory(bench.desk.device(need), need)
    assert context.execute_async_v3(bench.stream)


def test_a_wider_profile_needs_more_activation_memory(tmp_path: Path) -> None:
    bench = Bench()
    engine = bench.doubling(tmp_path, rows(1, 2), rows(1, 200))
    context = bench.context(engine)
    bench.bound(context, x=bench.desk.device(200 * ROW), y=bench.desk.device(200 * ROW))
    context.set_optimization_profile_async(1, bench.stream)
    context.set_input_shape("x", (1, 4))
    assert not context.execute_async_v3(bench.stream)
    assert "setDeviceMemoryV2 should be called" in bench.lines[-1]


def test_a_context_with_memory_of_its_own_takes_no_other(tmp_path: Path) -> None:
    bench = Bench()
    context = bench.doubling(tmp_path).create_execution_context()
    context.set_device_memory(bench.desk.device(4096), 4096)
    assert "not created with user managed device memory" in bench.lines[-1]


def test_activations_scribble_over_their_memory_and_lie_in_nothing_else(tmp_path: Path) -> None:
    bench = Bench()
    engine = bench.doubling(tmp_path)
    memory, y = bench.desk.device(4096), bench.desk.device(8 * ROW)
    context = bench.context(engine, activations=memory)
    bench.bound(context, x=memory, y=y)
    context.set_input_shape("x", (3, 4))
    assert not context.execute_async_v3(bench.stream)
    assert "x lies in the activation memory" in bench.lines[-1]
    x = bench.desk.device(8 * ROW)
    bench.put(x, X)
    bench.bound(context, x=x)
    context.execute_async_v3(bench.stream)
    assert (bench.got(memory, (8,), "uint8") == 0xEE).all()


def test_two_contexts_share_activation_memory_on_one_stream_and_not_on_two(tmp_path: Path) -> None:
    bench = Bench()
    engine, memory = bench.doubling(tmp_path), bench.desk.device(4096)
    contexts = [bench.context(engine, activations=memory) for _ in range(2)]
    x = bench.desk.device(8 * ROW)
    bench.put(x, X)
    for context in contexts:
        bench.bound(context, x=x, y=bench.desk.device(8 * ROW))
        context.set_input_shape("x", (3, 4))
        assert context.execute_async_v3(bench.stream)
    bench.desk.synchronize(bench.stream)
    assert contexts[0].execute_async_v3(bench.stream)
    assert not contexts[1].execute_async_v3(bench.desk.stream())
    assert "races with engine of another stream" in bench.lines[-1]


def test_a_context_let_go_of_before_its_work_is_done_faults(tmp_path: Path) -> None:
    bench = Bench()
    context, _, _ = ready(bench, tmp_path)
    context.execute_async_v3(bench.stream)
    del context
    assert bench.desk.synchronize(bench.stream) == 700
    assert "the context of this work is gone" in bench.driver.complaints[-1]
