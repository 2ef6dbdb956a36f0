"""Streams and events of the fake driver: what waits, what does not, what races."""

import ctypes

import pytest

from tests.edge_runtime.cuda.desk import HANDLE, Desk
from tests.edge_runtime.cuda.fake_driver import FakeDriver
from tests.edge_runtime.cuda.fake_memory import Span
from tests.edge_runtime.cuda.fake_streams import CallFailed, Operation


def test_a_result_that_is_not_waited_for_is_garbage() -> None:
    desk = Desk.ready()
    stream, device, host, back = desk.stream(), desk.device(4), desk.scribbled(4, 7), desk.pinned(4)
    desk.upload(device, host, 4, stream)
    desk.download(back, device, 4, stream)
    assert (desk.seen(back, 4) == 0xFF).all()


def test_what_is_written_to_a_source_before_the_copy_is_done_is_what_is_copied() -> None:
    desk = Desk.ready()
    stream, device, host, back = desk.stream(), desk.device(4), desk.scribbled(4, 7), desk.pinned(4)
    desk.upload(device, host, 4, stream)
    desk.seen(host, 4)[:] = 9  # too early
    desk.download(back, device, 4, stream)
    desk.synchronize(stream)
    assert (desk.seen(back, 4) == 9).all()


def test_an_early_driver_copies_at_once() -> None:
    desk = Desk.ready(FakeDriver(when="early"))
    stream, device, host, back = desk.stream(), desk.device(4), desk.scribbled(4, 7), desk.pinned(4)
    desk.upload(device, host, 4, stream)
    desk.seen(host, 4)[:] = 9
    desk.download(back, device, 4, stream)
    assert (desk.seen(back, 4) == 7).all()


def test_a_destroyed_stream_takes_no_work() -> None:
    desk = Desk.ready()
    stream, device = desk.stream(), desk.device(4)
    assert desk.driver.cuStreamDestroy_v2(HANDLE(stream)) == 0
    assert desk.fill(device, 0, 4, stream) == 400


def test_the_default_stream_is_refused() -> None:
    desk = Desk.ready()
    assert desk.fill(desk.device(4), 0, 4, 0) == 400
    assert "make one of your own" in desk.driver.complaints[-1]


def test_a_stream_waits_for_an_event_of_another() -> None:
    desk = Desk.ready()
    first, second, event = desk.stream(), desk.stream(), desk.event()
    device, back = desk.device(4), desk.pinned(4)
    desk.fill(device, 5, 4, first)
    desk.record(event, first)
    assert desk.wait(second, event) == 0
    assert desk.download(back, device, 4, second) == 0
    desk.synchronize(second)
    assert (desk.seen(back, 4) == 5).all()


def test_two_streams_that_touch_the_same_bytes_race() -> None:
    desk = Desk.ready()
    first, second, device, back = desk.stream(), desk.stream(), desk.device(4), desk.pinned(4)
    desk.fill(device, 5, 4, first)
    assert desk.download(back, device, 4, second) == 401
    assert "races" in desk.driver.complaints[-1]


def test_what_the_host_waited_for_races_with_nothing() -> None:
    desk = Desk.ready(FakeDriver(when="early"))
    first, second, device, back = desk.stream(), desk.stream(), desk.device(4), desk.pinned(4)
    desk.fill(device, 5, 4, first)
    desk.synchronize(first)
    assert desk.download(back, device, 4, second) == 0


def test_an_event_recorded_too_early_orders_nothing() -> None:
    desk = Desk.ready()
    first, second, event = desk.stream(), desk.stream(), desk.event()
    device, back = desk.device(4), desk.pinned(4)
    desk.record(event, first)
    desk.fill(device, 5, 4, first)
    desk.wait(second, event)
    assert desk.download(back, device, 4, second) == 401


def test_the_time_between_events_is_known_once_they_are_reached() -> None:
    desk = Desk.ready()
    stream, start, end, device = desk.stream(), desk.event(), desk.event(), desk.device(4)
    elapsed = ctypes.c_float()
    desk.record(start, stream)
    desk.fill(device, 0, 4, stream)
    desk.record(end, stream)
    assert desk.driver.cuEventElapsedTime(ctypes.byref(elapsed), HANDLE(start), HANDLE(end)) == 600
    assert desk.driver.cuEventSynchronize(HANDLE(end)) == 0
    assert desk.driver.cuEventElapsedTime(ctypes.byref(elapsed), HANDLE(start), HANDLE(end)) == 0
    assert elapsed.value > 0


def test_an_event_without_timing_tells_no_time() -> None:
    desk = Desk.ready()
    stream, start, end = desk.stream(), desk.event(2), desk.event(2)
    for event in (start, end):
        desk.record(event, stream)
    desk.synchronize(stream)
    elapsed = ctypes.c_float()
    assert desk.driver.cuEventElapsedTime(ctypes.byref(elapsed), HANDLE(start), HANDLE(end)) == 400


def test_a_kernel_that_faults_loses_the_context() -> None:
    desk = Desk.ready(FakeDriver(fails={"kernel": (2, 719)}))
    stream = desk.stream()
    kernel = Operation("kernel", (), (), lambda: None, is_kernel=True)
    desk.driver.enqueue(stream, kernel)
    assert desk.synchronize(stream) == 0
    desk.driver.enqueue(stream, kernel)
    assert desk.synchronize(stream) == 719
    with pytest.raises(CallFailed, match="the context is lost"):
        desk.driver.enqueue(stream, kernel)


def test_a_kernel_that_reaches_outside_its_memory_faults() -> None:
    desk = Desk.ready()
    stream, device = desk.stream(), desk.device(4)
    span = Span(device, 8)
    kernel = Operation("kernel", (), (span,), lambda: desk.driver.bytes_of(device, 8).fill(0), is_kernel=True)
    desk.driver.enqueue(stream, kernel)
    assert desk.synchronize(stream) == 700


def test_an_event_recorded_again_is_not_reached_where_it_was_before() -> None:
    desk = Desk.ready()
    stream, start, end, between = desk.stream(), desk.event(), desk.event(), desk.event()
    desk.record(start, stream)
    desk.record(end, stream)
    desk.record(between, stream)
    desk.record(end, stream)
    assert desk.driver.cuEventSynchronize(HANDLE(between)) == 0
    elapsed = ctypes.c_float()
    assert desk.driver.cuEventElapsedTime(ctypes.byref(elapsed), HANDLE(start), HANDLE(end)) == 600
