"""The fake driver forgives nothing that a real one would not."""

import ctypes
import threading

import numpy as np
import pytest

from tests.edge_runtime.cuda.desk import HANDLE, SIZE, U64, Desk
from tests.edge_runtime.cuda.fake_driver import CODES, FakeDevice, FakeDriver


def test_what_was_uploaded_comes_back() -> None:
    desk = Desk.ready()
    stream, device, host = desk.stream(), desk.device(100), desk.scribbled(100, 7)
    back = desk.pinned(100)
    assert desk.upload(device, host, 100, stream) == 0
    assert desk.download(back, device, 100, stream) == 0
    assert desk.synchronize(stream) == 0
    assert (desk.seen(back, 100) == 7).all()


def test_memory_begins_as_not_a_number() -> None:
    desk = Desk.ready()
    stream, device, host = desk.stream(), desk.device(8), desk.pinned(8)
    desk.seen(host, 8)[:] = 0
    desk.download(host, device, 8, stream)
    desk.synchronize(stream)
    assert np.isnan(desk.seen(host, 8).view("<f4")).all()


def test_host_memory_that_is_not_pinned_is_refused() -> None:
    desk = Desk.ready()
    stream, device = desk.stream(), desk.device(4)
    held = (ctypes.c_uint8 * 4)()
    assert desk.upload(device, ctypes.addressof(held), 4, stream) == 1


def test_a_driver_that_is_not_strict_takes_any_host_memory() -> None:
    desk = Desk.ready(FakeDriver(strict=False))
    stream, device = desk.stream(), desk.device(4)
    held, back = (ctypes.c_uint8 * 4)(1, 2, 3, 4), (ctypes.c_uint8 * 4)()
    assert desk.upload(device, ctypes.addressof(held), 4, stream) == 0
    desk.download(ctypes.addressof(back), device, 4, stream)
    desk.synchronize(stream)
    assert list(back) == [1, 2, 3, 4]


@pytest.mark.parametrize(("offset", "nbytes"), [(0, 101), (90, 11), (100, 1), (-1, 1), (1 << 30, 1)])
def test_a_copy_outside_a_block_is_refused(offset: int, nbytes: int) -> None:
    desk = Desk.ready()
    stream, device, host = desk.stream(), desk.device(100), desk.pinned(200)
    assert desk.upload(device + offset, host, nbytes, stream) == 1


def test_a_copy_from_one_block_into_its_neighbour_is_refused() -> None:
    desk = Desk.ready()
    stream, first, second, host = desk.stream(), desk.device(512), desk.device(512), desk.pinned(4096)
    assert desk.upload(first, host, second + 512 - first, stream) == 1


def test_freed_memory_is_no_memory() -> None:
    desk = Desk.ready()
    stream, device, host = desk.stream(), desk.device(4), desk.pinned(4)
    assert desk.free(device) == 0
    assert desk.upload(device, host, 4, stream) == 1
    assert desk.free(device) == 1


def test_memory_freed_under_work_that_needs_it_loses_the_context() -> None:
    desk = Desk.ready()
    stream, device, host = desk.stream(), desk.device(4), desk.pinned(4)
    desk.upload(device, host, 4, stream)
    desk.free(device)
    assert desk.synchronize(stream) == 700
    assert desk.driver.cuMemAlloc_v2(ctypes.byref(U64()), SIZE(4)) == 700
    assert "freed" in desk.driver.complaints[0]


def test_an_address_within_a_block_cannot_be_freed() -> None:
    desk = Desk.ready()
    assert desk.free(desk.device(512) + 256) == 1


def test_the_limit_of_memory_holds() -> None:
    desk = Desk.ready(FakeDriver(memory=1000))
    first, (free, total) = desk.device(900), (SIZE(), SIZE())
    assert desk.driver.cuMemAlloc_v2(ctypes.byref(U64()), SIZE(101)) == 2
    desk.driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
    assert (free.value, total.value) == (100, 1000)
    desk.free(first)
    assert desk.device(1000)


def test_nothing_works_before_cuinit() -> None:
    driver = FakeDriver()
    assert driver.cuDeviceGetCount(ctypes.byref(ctypes.c_int())) == 3


def test_without_a_device_cuinit_says_so() -> None:
    assert FakeDriver(devices=()).cuInit(0) == 100


def test_a_context_is_current_in_one_thread_only() -> None:
    desk = Desk.ready()
    codes: list[int] = []

    def elsewhere() -> None:
        codes.append(desk.driver.cuMemAlloc_v2(ctypes.byref(U64()), SIZE(4)))
        desk.enter()
        codes.append(desk.driver.cuMemAlloc_v2(ctypes.byref(U64()), SIZE(4)))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert codes == [201, 0]


def test_a_context_released_for_the_last_time_is_gone() -> None:
    desk = Desk.ready()
    assert desk.driver.cuDevicePrimaryCtxRelease_v2(0) == 0
    assert desk.driver.cuMemAlloc_v2(ctypes.byref(U64()), SIZE(4)) == 709
    assert desk.driver.cuDevicePrimaryCtxRelease_v2(0) == 201


def test_what_is_left_behind_is_listed() -> None:
    desk = Desk.ready()
    stream, device, host = desk.stream(), desk.device(12), desk.pinned(34)
    assert [leak.split(" at")[0] for leak in desk.driver.leaks()[:2]] == ["12 bytes", "34 bytes"]
    desk.free(device)
    desk.driver.cuMemFreeHost(HANDLE(host))
    desk.driver.cuStreamDestroy_v2(HANDLE(stream))
    desk.driver.cuDevicePrimaryCtxRelease_v2(0)
    assert desk.driver.leaks() == []


def test_pinned_memory_that_was_freed_reads_as_rubbish() -> None:
    desk = Desk.ready()
    host = desk.scribbled(4, 7)
    view = desk.seen(host, 4)
    desk.driver.cuMemFreeHost(HANDLE(host))
    assert (view != 7).all()


def test_the_nth_call_fails_as_planted() -> None:
    desk = Desk.ready(FakeDriver(fails={"cuMemAlloc_v2": (2, 2)}))
    codes = [desk.driver.cuMemAlloc_v2(ctypes.byref(U64()), SIZE(4)) for _ in range(3)]
    assert codes == [0, 2, 0]
    assert desk.driver.count("cuMemAlloc_v2") == 3


def test_the_device_says_what_it_is() -> None:
    driver = FakeDriver(devices=(FakeDevice("Fake RTX", {75: 12}),), version=12060)
    driver.cuInit(0)
    value, name = ctypes.c_int(), ctypes.create_string_buffer(64)
    driver.cuDeviceGetAttribute(ctypes.byref(value), 75, 0)
    assert value.value == 12
    driver.cuDeviceGetName(name, 64, 0)
    assert name.value == b"Fake RTX"
    driver.cuDriverGetVersion(ctypes.byref(value))
    assert value.value == 12060
    assert driver.cuDeviceGet(ctypes.byref(value), 1) == 101


def test_an_error_has_a_name() -> None:
    driver, text = FakeDriver(), ctypes.c_char_p()
    assert driver.cuGetErrorName(2, ctypes.byref(text)) == 0
    assert text.value == b"CUDA_ERROR_OUT_OF_MEMORY"
    assert driver.cuGetErrorName(12345, ctypes.byref(text)) == 1
    assert text.value is None


def test_the_codes_are_named_as_the_driver_names_them() -> None:
    driver = pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")
    known = {each.value: each.name.removeprefix("CUDA_") for each in driver.CUresult}
    assert {code: known[code] for code in CODES} == CODES
