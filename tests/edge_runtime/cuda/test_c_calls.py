"""The fake driver's functions are those of cuda.h, and take what ctypes would pass and nothing else."""

import ctypes
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from edge_runtime.cuda.calls import SIGNATURES
from tests.edge_runtime.cuda.c_calls import FUNCTIONS
from tests.edge_runtime.cuda.fake_driver import FakeDriver

RENAMED = {"cuEventElapsedTime": "cuEventElapsedTime_v2"}  # what CUDA 13 declares; the library has both


def declarations() -> dict[str, str]:
    """Name to arguments, as cuda.bindings declares the driver's own symbols."""
    try:
        files = distribution("cuda-bindings").files or []
    except PackageNotFoundError:
        pytest.skip("cuda-bindings is not installed")
    (path,) = [each for each in files if str(each).endswith("_internal/driver.pxd")]
    found = re.findall(
        r"^cdef CUresult _(cu\w+)\((.*?)\) except", Path(path.locate()).read_text(), re.MULTILINE
    )
    return dict(found)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_declaration_is_the_drivers_own(name: str) -> None:
    own = ", ".join(f"{each.c_type} {each.name}" for each in FUNCTIONS[name])
    assert own == declarations()[RENAMED.get(name, name)]


def test_every_function_does_something() -> None:
    driver = FakeDriver()
    assert set(driver._table) == set(FUNCTIONS)


def test_every_function_that_we_call_is_there_and_declared_alike() -> None:
    driver = FakeDriver()
    for name, kinds in SIGNATURES.items():
        getattr(driver, name).argtypes = kinds  # refuses what differs


def test_a_function_that_no_driver_has_is_missing() -> None:
    with pytest.raises(AttributeError, match="undefined symbol: cuMemAlloc_v9"):
        _ = FakeDriver().cuMemAlloc_v9


def test_a_function_that_an_old_driver_lacks_is_missing() -> None:
    with pytest.raises(AttributeError, match="undefined symbol"):
        _ = FakeDriver(missing={"cuGraphInstantiateWithFlags"}).cuGraphInstantiateWithFlags


@pytest.mark.parametrize(
    "argtypes",
    [
        (ctypes.POINTER(ctypes.c_uint64), ctypes.c_uint),  # a size of 32 bits
        (ctypes.POINTER(ctypes.c_int), ctypes.c_size_t),  # a result of 32 bits
        (ctypes.c_uint64, ctypes.c_size_t),
        (ctypes.POINTER(ctypes.c_uint64),),
        (ctypes.POINTER(ctypes.c_uint64), ctypes.c_double),
    ],
)
def test_types_that_would_spoil_an_argument_are_refused(argtypes: tuple[type, ...]) -> None:
    with pytest.raises(TypeError, match="cuMemAlloc_v2 takes"):
        FakeDriver().cuMemAlloc_v2.argtypes = argtypes


def test_a_result_of_another_size_is_refused() -> None:
    with pytest.raises(TypeError, match="returns a CUresult"):
        FakeDriver().cuInit.restype = ctypes.c_void_p


def test_without_types_a_long_number_would_be_cut() -> None:
    with pytest.raises(ctypes.ArgumentError, match="cut to 32 bits"):
        FakeDriver().cuMemFree_v2(0x0B00_0000_0000)


def test_with_types_a_number_is_taken_as_it_is() -> None:
    driver = FakeDriver()
    driver.cuMemFree_v2.argtypes = [ctypes.c_uint64]
    driver.cuMemFree_v2(0x0B00_0000_0000)
    assert driver.log[-1].numbers == (0x0B00_0000_0000,)


def test_a_result_needs_room() -> None:
    with pytest.raises(ctypes.ArgumentError, match="more than the 4 bytes"):
        FakeDriver().cuMemAlloc_v2(ctypes.byref(ctypes.c_int()), ctypes.c_size_t(4))


def test_a_result_needs_a_place() -> None:
    with pytest.raises(ctypes.ArgumentError, match="null pointer"):
        FakeDriver().cuDeviceGetCount(None)


def test_a_pointer_takes_a_result_as_a_reference_does() -> None:
    driver, version = FakeDriver(version=11040), ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.pointer(version))
    assert version.value == 11040


def test_a_wrong_number_of_arguments_is_refused() -> None:
    with pytest.raises(TypeError, match="not 0 arguments"):
        FakeDriver().cuInit()


def test_types_are_enforced_as_by_ctypes() -> None:
    driver = FakeDriver()
    driver.cuInit.argtypes = [ctypes.c_uint]
    with pytest.raises(ctypes.ArgumentError, match="cuInit"):
        driver.cuInit("0")
