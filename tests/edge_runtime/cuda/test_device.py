"""The GPU's memory, streams and recordings, on a driver that forgives nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

from edge_runtime.cuda.calls import SIGNATURES
from edge_runtime.cuda.device import Device
from edge_runtime.errors import MachineFault
from tests.edge_runtime.cuda.c_calls import FUNCTIONS
from tests.edge_runtime.cuda.fake_driver import FakeDriver
from tests.edge_runtime.cuda.fake_streams import When

COUNT = 1000
NBYTES = 4 * COUNT


def opened(driver: FakeDriver) -> Device:
    return Device(load=lambda name: driver)


@pytest.fixture(params=["late", "early"])
def driver(request: pytest.FixtureRequest) -> FakeDriver:
    when: When = request.param
    return FakeDriver(when=when)


def fault_of(act: Callable[[], object]) -> MachineFault:
    with pytest.raises(MachineFault) as caught:
        act()
    return caught.value


def test_only_functions_are_declared_that_the_fake_was_checked_for() -> None:
    assert {*SIGNATURES} <= {*FUNCTIONS}


def test_what_is_uploaded_comes_back(driver: FakeDriver) -> None:
    with opened(driver) as device:
        stream, memory = device.stream(), device.memory(NBYTES)
        there, back = device.pinned(NBYTES), device.pinned(NBYTES)
        there.array(np.float32, (COUNT,))[...] = np.arange(COUNT)
        stream.upload(memory, there, NBYTES)
        stream.download(back, memory, NBYTES)
        stream.wait()
        assert np.array_equal(back.array(np.float32, (COUNT,)), np.arange(COUNT))


def test_memory_is_zeroed_where_that_is_asked_for(driver: FakeDriver) -> None:
    with opened(driver) as device:
        stream, memory, back = device.stream(), device.memory(NBYTES), device.pinned(NBYTES)
        stream.zero(memory)
        stream.download(back, memory, NBYTES)
        stream.wait()
        assert not back.array(np.uint8, (NBYTES,)).any()


def test_a_view_has_the_type_and_the_shape_that_are_asked_for() -> None:
    with opened(FakeDriver()) as device:
        pinned = device.pinned(24)
        assert pinned.array(np.int64, (3,)).shape == (3,)
        view = pinned.array(np.float16, (2, 3))
        assert (view.shape, view.dtype) == ((2, 3), np.dtype("float16"))
        with pytest.raises(AssertionError, match="larger than the memory"):
            pinned.array(np.int64, (4,))


def test_a_copy_stays_inside_both() -> None:
    with opened(FakeDriver()) as device:
        stream, memory, pinned = device.stream(), device.memory(8), device.pinned(16)
        with pytest.raises(AssertionError, match="inside both"):
            stream.upload(memory, pinned, 16)
        with pytest.raises(AssertionError, match="inside both"):
            stream.download(pinned, memory, 16)


def test_a_recording_is_not_done_until_it_is_replayed_and_then_as_often_as_that(driver: FakeDriver) -> None:
    with opened(driver) as device:
        stream, memory = device.stream(), device.memory(8)
        there, back = device.pinned(8), device.pinned(8)
        numbers, answers = there.array(np.int64, (1,)), back.array(np.int64, (1,))
        answers[...] = -1

        def both_ways() -> None:
            stream.upload(memory, there, 8)
            stream.download(back, memory, 8)

        recording = stream.record(both_ways)
        assert recording is not None
        stream.wait()
        assert answers[0] == -1
        for number in (4, 9):
            numbers[...] = number
            stream.replay(recording)
            stream.wait()
            assert answers[0] == number


def test_what_cannot_be_recorded_is_said_and_the_stream_works_on(driver: FakeDriver) -> None:
    with opened(driver) as device:
        stream, memory, pinned = device.stream(), device.memory(8), device.pinned(8)
        assert stream.record(stream.wait) is None
        pinned.array(np.int64, (1,))[...] = 3
        stream.upload(memory, pinned, 8)
        stream.wait()


def test_an_interrupt_while_recording_leaves_a_stream_that_works(driver: FakeDriver) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with opened(driver) as device:
        stream, memory, pinned = device.stream(), device.memory(8), device.pinned(8)
        with pytest.raises(KeyboardInterrupt):
            stream.record(interrupted)
        stream.upload(memory, pinned, 8)
        stream.wait()


def test_everything_is_given_back_when_the_device_is_closed(driver: FakeDriver) -> None:
    with opened(driver) as device:
        stream, memory, pinned = device.stream(), device.memory(64), device.pinned(64)
        assert stream.record(lambda: stream.upload(memory, pinned, 64)) is not None
        stream.upload(memory, pinned, 64)
    assert driver.leaks() == []
    assert driver.complaints == []


def test_everything_is_given_back_after_a_fault_too() -> None:
    driver = FakeDriver(fails={"cuStreamCreate": (1, 999)})
    device = opened(driver)
    device.memory(64)
    fault_of(device.stream)
    device.close()
    assert driver.leaks() == []


def test_a_second_thread_enters_before_it_works() -> None:
    driver = FakeDriver()
    with opened(driver) as device:
        stream, memory, pinned = device.stream(), device.memory(8), device.pinned(8)
        codes: list[str] = []

        def work(is_entered: bool) -> None:
            try:
                if is_entered:
                    device.enter()
                stream.upload(memory, pinned, 8)
                stream.wait()
                codes.append("")
            except MachineFault as fault:
                codes.append(fault.code)

        for is_entered in (False, True):
            thread = threading.Thread(target=work, args=(is_entered,))
            thread.start()
            thread.join()
        assert codes == ["EVL-GPU-FAULT", ""]


def test_a_full_gpu_is_told_from_other_faults() -> None:
    with opened(FakeDriver(memory=1 << 20)) as device:
        assert device.free_bytes() <= 1 << 20
        fault = fault_of(lambda: device.memory(1 << 22))
        assert fault.code == "EVL-GPU-MEMORY"
        assert "cuMemAlloc_v2 answered 2, CUDA_ERROR_OUT_OF_MEMORY" in fault.why
        assert "--max-context" in fault.fix


def test_a_fault_names_the_call_and_the_driver_s_words() -> None:
    driver = FakeDriver(fails={"cuStreamSynchronize": (1, 700)})
    device = opened(driver)
    fault = fault_of(device.stream().wait)
    assert fault.code == "EVL-GPU-FAULT"
    assert fault.why.startswith("cuStreamSynchronize answered 700, CUDA_ERROR_ILLEGAL_ADDRESS")


def test_a_machine_without_the_driver_is_named() -> None:
    def load(name: str) -> object:
        raise OSError(f"{name}: cannot open shared object file")

    fault = fault_of(lambda: Device(load=load))
    assert fault.code == "EVL-GPU-DRIVER"
    assert "libcuda.so.1" in fault.why


def test_a_driver_without_a_gpu_is_named() -> None:
    fault = fault_of(lambda: opened(FakeDriver(devices=())))
    assert fault.code == "EVL-GPU-FAULT"
    assert "CUDA_ERROR_NO_DEVICE" in fault.why


def test_a_broken_gpu_is_let_go_of_without_a_second_fault() -> None:
    driver = FakeDriver(fails={"cuStreamSynchronize": (1, 700)})
    device = opened(driver)
    fault_of(device.stream().wait)
    device.close()
    assert driver.count("cuDevicePrimaryCtxRelease_v2") == 1
