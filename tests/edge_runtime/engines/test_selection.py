"""Which library is taken of those that are there, and from which of a bundle's dialects it builds."""

from __future__ import annotations

import pytest

from edge_runtime.dialects import Dialect
from edge_runtime.engines import selection
from edge_runtime.engines.library import Library, Platform, version_from_text
from edge_runtime.engines.place import EngineName, Gpu, Place
from edge_runtime.engines.selection import Wanted, dialect_for, place_here
from edge_runtime.errors import EdgeVLError, MachineFault

ORIN = Gpu("Orin", "sm87", "12.6")
DESKTOP = Platform("x86_64", is_jetson=False)
JETSON = Platform("aarch64", is_jetson=True)
TENSORRT = Place("tensorrt", "10.3.0.30", ORIN)
RTX = Place("tensorrt-rtx", "1.7.1", ORIN)
BROKEN, OLD = "EVL-ENGINE-BROKEN", "EVL-ENGINE-OLD"


class Machine:
    """Its libraries by name: a version, or the code of the error that opening it ends with."""

    def __init__(self, gpu: Gpu | None, **libraries: str) -> None:
        self.gpu = gpu
        self.libraries = {name.replace("_", "-"): told for name, told in libraries.items()}
        self.opened: list[str] = []

    def open(self, name: EngineName) -> Library:
        self.opened.append(name)
        told = self.libraries.get(name, "EVL-ENGINE-MISSING")
        if told == BROKEN:
            raise MachineFault(told, f"{name} is broken", "it lacks a library", "install that")
        if told.startswith("EVL-"):
            raise EdgeVLError(told, f"{name} is not usable", "it is not", f"install {name}")
        return Library(name, None, version_from_text(told))

    def place(self, wanted: Wanted = "auto") -> Place:
        return place_here(wanted, self.open, lambda: self.gpu)

    def refusal(self, wanted: Wanted = "auto") -> EdgeVLError:
        with pytest.raises(EdgeVLError) as caught:
            self.place(wanted)
        return caught.value


def place_with(place: Place, gpu: Gpu | None) -> Place:
    return Place(place.engine, place.version, gpu)


def machine(gpu: Gpu | None, tensorrt: str | None = None, rtx: str | None = None) -> Machine:
    libraries = {"tensorrt": tensorrt, "tensorrt_rtx": rtx}
    return Machine(gpu, **{name: told for name, told in libraries.items() if told is not None})


def test_with_a_gpu_tensorrt_comes_first() -> None:
    assert machine(ORIN, "10.3.0.30", "1.7.1").place() == TENSORRT


def test_with_a_gpu_and_without_tensorrt_its_sister_builds() -> None:
    assert machine(ORIN, None, "1.7.1").place() == RTX
    assert machine(ORIN, "10.3.0.30", None).place() == TENSORRT


def test_without_a_gpu_only_tensorrt_rtx_builds() -> None:
    here = machine(None, "10.3.0.30", "1.7.1")
    assert here.place() == place_with(RTX, None)
    assert here.opened == ["tensorrt-rtx"]


@pytest.mark.parametrize("rtx", ["1.7.1", BROKEN, OLD, None])
def test_what_is_not_needed_is_not_opened(rtx: str | None) -> None:
    here = machine(ORIN, "10.3.0.30", rtx)
    assert here.place() == TENSORRT
    assert here.opened == ["tensorrt"]


@pytest.mark.parametrize("gpu", [ORIN, None])
@pytest.mark.parametrize("code", [BROKEN, OLD])
def test_a_library_that_is_there_and_of_no_use_is_not_passed_over(gpu: Gpu | None, code: str) -> None:
    first = machine(gpu, code, "1.7.1") if gpu else machine(gpu, "10.3.0.30", code)
    assert first.refusal().code == code
    assert machine(ORIN, None, code).refusal().code == code


@pytest.mark.parametrize(
    ("gpu", "platform", "why", "fix"),
    [
        (
            ORIN,
            DESKTOP,
            "tensorrt is not usable; tensorrt-rtx is not usable",
            "pip install 'edge-vl[tensorrt]'",
        ),
        (
            ORIN,
            JETSON,
            "tensorrt is not usable; tensorrt-rtx is not usable",
            "sudo apt install python3-libnvinfer",
        ),
        (
            None,
            DESKTOP,
            "tensorrt-rtx is not usable; TensorRT builds only where a GPU answers, and none does",
            "pip install 'edge-vl[tensorrt-rtx]'",
        ),
        (
            None,
            JETSON,
            "tensorrt-rtx is not usable; TensorRT builds only where a GPU answers, and none does",
            "there is no TensorRT-RTX for a Jetson; use TensorRT",
        ),
    ],
)
def test_without_any_it_says_what_to_install_here(
    gpu: Gpu | None, platform: Platform, why: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "this_platform", lambda: platform)
    error = machine(gpu).refusal()
    assert (error.code, error.exit_status) == ("EVL-ENGINE-MISSING", 2)
    assert error.what == "no engine library can be used here"
    assert error.why == why
    assert error.fix.startswith(fix)


def test_a_library_that_is_asked_for_is_the_only_one_tried() -> None:
    here = machine(ORIN, "10.3.0.30", "1.7.1")
    assert here.place("tensorrt") == TENSORRT
    assert here.place("tensorrt-rtx") == RTX
    assert here.opened == ["tensorrt", "tensorrt-rtx"]


def test_without_a_gpu_tensorrt_says_so_before_anything_is_built() -> None:
    here = machine(None, "10.3.0.30", "1.7.1")
    assert here.place("tensorrt-rtx") == place_with(RTX, None)
    error = here.refusal("tensorrt")
    assert (error.code, error.exit_status) == ("EVL-ENGINE-DRIVER", 3)
    assert error.what == "TensorRT 10.3.0.30 finds no GPU to build for"


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-rtx"])
@pytest.mark.parametrize("code", ["EVL-ENGINE-MISSING", BROKEN, OLD])
def test_what_is_wrong_with_the_one_that_is_asked_for_is_told_as_it_is(name: EngineName, code: str) -> None:
    assert Machine(ORIN, **{name: code}).refusal(name).code == code


@pytest.mark.parametrize(
    ("engine", "version", "dialect"),
    [
        ("tensorrt-rtx", "1.0.0", "trt"),
        ("tensorrt-rtx", "1.7.1.116", "trt"),
        ("tensorrt", "10.3.0.30", "trt10"),
        ("tensorrt", "10.13.3.9", "trt10"),
        ("tensorrt", "10.14.9", "trt10"),
        ("tensorrt", "10.15", "trt"),
        ("tensorrt", "10.15.1.29", "trt"),
        ("tensorrt", "10.16.2.10", "trt"),
        ("tensorrt", "11.1.0", "trt"),
    ],
)
def test_the_newest_dialect_that_the_library_reads_is_built(
    engine: EngineName, version: str, dialect: Dialect
) -> None:
    assert dialect_for(Place(engine, version, None), ("ort", "trt10", "trt")) == dialect


@pytest.mark.parametrize("version", ["10.3.0", "10.15.0", "11.0"])
def test_every_version_reads_the_older_dialect(version: str) -> None:
    older: tuple[Dialect, ...] = ("ort", "trt10")
    assert dialect_for(Place("tensorrt", version, None), older) == "trt10"
    assert dialect_for(Place("tensorrt-rtx", "1.7.1", None), older) == "trt10"


@pytest.mark.parametrize(
    ("place", "has", "why", "fix"),
    [
        (RTX, ("ort",), "it has ort; trt or trt10 can be built", "--dialect ort,trt"),
        (TENSORRT, ("ort",), "it has ort; trt10 can be built", "--dialect ort,trt10"),
        (TENSORRT, ("trt", "ort"), "it has ort, trt; trt10 can be built", "--dialect ort,trt,trt10"),
        (TENSORRT, ("trt",), "it has trt; trt10 can be built", "--dialect trt,trt10"),
    ],
)
def test_a_bundle_without_a_readable_dialect_says_how_to_get_one(
    place: Place, has: tuple[Dialect, ...], why: str, fix: str
) -> None:
    with pytest.raises(EdgeVLError) as caught:
        dialect_for(place, has)
    error = caught.value
    assert (error.code, error.exit_status) == ("EVL-BUNDLE-DIALECT", 2)
    assert error.what == f"the bundle has no graphs for {place.title}"
    assert error.why == why
    assert error.fix == f"export again with {fix}"
