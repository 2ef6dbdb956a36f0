"""Captures and graphs of the fake driver."""

import ctypes
import threading

import pytest

from tests.edge_runtime.cuda.desk import HANDLE, SIZE, U64, Desk


def test_a_capture_performs_nothing_and_its_graph_does() -> None:
    desk = Desk.ready()
    stream, device, back = desk.stream(), desk.device(4), desk.pinned(4)
    desk.begin(stream)
    desk.fill(device, 3, 4, stream)
    desk.download(back, device, 4, stream)
    code, graph = desk.end(stream)
    assert code == 0
    desk.synchronize(stream)
    assert (desk.seen(back, 4) == 0xFF).all()
    executable = desk.instantiate(graph)
    assert desk.launch(executable, stream) == 0
    desk.synchronize(stream)
    assert (desk.seen(back, 4) == 3).all()


def test_each_launch_reads_what_is_there_then() -> None:
    desk = Desk.ready()
    stream, device, host, back = desk.stream(), desk.device(1), desk.pinned(1), desk.pinned(1)
    desk.begin(stream)
    desk.upload(device, host, 1, stream)
    desk.download(back, device, 1, stream)
    executable = desk.instantiate(desk.end(stream)[1])
    for value in (4, 5):
        desk.seen(host, 1)[:] = value
        desk.launch(executable, stream)
        desk.synchronize(stream)
        assert desk.seen(back, 1) == value


def test_a_graph_outlives_what_it_was_made_of_but_not_its_memory() -> None:
    desk = Desk.ready()
    stream, device = desk.stream(), desk.device(4)
    desk.begin(stream)
    desk.fill(device, 3, 4, stream)
    graph = desk.end(stream)[1]
    executable = desk.instantiate(graph)
    assert desk.driver.cuGraphDestroy(HANDLE(graph)) == 0
    assert desk.launch(executable, stream) == 0
    assert desk.synchronize(stream) == 0
    desk.free(device)
    desk.launch(executable, stream)
    assert desk.synchronize(stream) == 700


def test_a_destroyed_graph_is_not_launched() -> None:
    desk = Desk.ready()
    stream = desk.stream()
    desk.begin(stream)
    executable = desk.instantiate(desk.end(stream)[1])
    assert desk.driver.cuGraphExecDestroy(HANDLE(executable)) == 0
    assert desk.launch(executable, stream) == 400
    assert desk.driver.cuGraphExecDestroy(HANDLE(executable)) == 400


@pytest.mark.parametrize("mode", [0, 1])
def test_memory_asked_for_during_a_capture_spoils_it(mode: int) -> None:
    desk = Desk.ready()
    stream = desk.stream()
    desk.begin(stream, mode)
    assert desk.driver.cuMemAlloc_v2(ctypes.byref(U64()), SIZE(4)) == 900
    assert desk.end(stream) == (901, 0)
    assert desk.device(4)


def test_a_relaxed_capture_lets_memory_be_asked_for() -> None:
    desk = Desk.ready()
    stream = desk.stream()
    desk.begin(stream, mode=2)
    assert desk.device(4)
    assert desk.end(stream)[0] == 0


@pytest.mark.parametrize(("mode", "codes"), [(0, (900, 901)), (1, (0, 0)), (2, (0, 0))])
def test_another_thread_may_ask_for_memory_unless_the_capture_is_global(
    mode: int, codes: tuple[int, int]
) -> None:
    desk = Desk.ready()
    stream, seen = desk.stream(), list[int]()

    def elsewhere() -> None:
        desk.enter()
        seen.append(desk.driver.cuMemAlloc_v2(ctypes.byref(U64()), SIZE(4)))

    desk.begin(stream, mode)
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert (*seen, desk.end(stream)[0]) == codes


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_a_stream_being_captured_cannot_be_waited_for(mode: int) -> None:
    desk = Desk.ready()
    stream, device = desk.stream(), desk.device(4)
    desk.begin(stream, mode)
    assert desk.synchronize(stream) == 900
    assert desk.fill(device, 0, 4, stream) == 901
    assert desk.end(stream) == (901, 0)


def test_an_event_of_a_capture_marks_no_moment() -> None:
    desk = Desk.ready()
    stream, event = desk.stream(), desk.event()
    desk.begin(stream, mode=2)
    desk.record(event, stream)
    assert desk.driver.cuEventSynchronize(HANDLE(event)) == 907


def test_a_second_stream_joins_a_capture_and_must_come_back() -> None:
    desk = Desk.ready()
    first, second, out, back = desk.stream(), desk.stream(), desk.event(), desk.event()
    device = desk.device(4)
    desk.begin(first)
    desk.record(out, first)
    desk.wait(second, out)
    desk.fill(device, 6, 4, second)
    assert desk.end(first) == (904, 0)
    desk.begin(first)
    desk.record(out, first)
    desk.wait(second, out)
    desk.fill(device, 6, 4, second)
    desk.record(back, second)
    desk.wait(first, back)
    executable = desk.instantiate(desk.end(first)[1])
    host = desk.pinned(4)
    desk.launch(executable, first)
    desk.download(host, device, 4, first)
    desk.synchronize(first)
    assert (desk.seen(host, 4) == 6).all()


def test_a_capture_does_not_wait_for_what_is_outside() -> None:
    desk = Desk.ready()
    first, second, event = desk.stream(), desk.stream(), desk.event()
    desk.record(event, second)
    desk.begin(first)
    assert desk.wait(first, event) == 905
    assert desk.end(first) == (901, 0)


def test_a_capture_ends_where_it_began() -> None:
    desk = Desk.ready()
    stream, codes = desk.stream(), list[int]()

    def elsewhere() -> None:
        desk.enter()
        codes.append(desk.end(stream)[0])

    desk.begin(stream)
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert codes == [908]
    assert desk.end(stream)[0] == 0


def test_a_graph_and_what_is_made_of_it_are_two_things() -> None:
    desk = Desk.ready()
    stream = desk.stream()
    desk.begin(stream)
    graph = desk.end(stream)[1]
    executable = desk.instantiate(graph)
    assert desk.driver.cuGraphDestroy(HANDLE(executable)) == 400
    assert desk.driver.cuGraphExecDestroy(HANDLE(graph)) == 400
    assert desk.launch(graph, stream) == 400
    assert [leak.split(" 0x")[0] for leak in desk.driver.leaks()[1:3]] == ["graph", "instantiated graph"]


def test_captures_do_not_nest() -> None:
    desk = Desk.ready()
    stream = desk.stream()
    desk.begin(stream)
    assert desk.begin(stream) == 401
    assert desk.end(stream)[0] == 0
    assert desk.end(stream) == (401, 0)


def test_launches_of_graphs_race_as_other_work_does() -> None:
    desk = Desk.ready()
    first, second, device = desk.stream(), desk.stream(), desk.device(4)
    desk.begin(first)
    desk.fill(device, 3, 4, first)
    executable = desk.instantiate(desk.end(first)[1])
    assert desk.launch(executable, first) == 0
    assert desk.fill(device, 4, 4, second) == 401
