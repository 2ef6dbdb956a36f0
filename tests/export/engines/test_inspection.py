"""Which source is read, and what ends the process that asks the GPU."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.engines.driver import has_cuda_device
from edge_runtime.errors import EdgeVLError, MachineFault
from export.engines.inspection import Inspection, InspectionRequest, report_from_device
from export.engines.inspection_child import inspection_of
from export.engines.inspector import PlanReport
from export.engines.request import Failure
from tests.export.engines import graphs
from tests.export.engines.conftest import Workshop
from tests.export.engines.recorded import Device, inspector_text

ON_A_GPU = """
from edge_runtime.record import record_from_json
from export.engines.child import answer
from export.engines.inspection import InspectionRequest
from export.engines.inspection_child import inspection_of
from tests.export.engines.recorded import Device, inspector_text, layer

device = Device({text}, [77])
answer(lambda question: inspection_of(
    record_from_json(InspectionRequest, question, "it"), lambda: True, lambda name: device.library()))
"""


def child(*lines: str) -> Sequence[str]:
    return (sys.executable, "-c", "\n".join(lines))


class Driver:
    """A CUDA driver that starts or fails, and has some devices."""

    def __init__(self, devices: int = 1, init: int = 0, count: int = 0) -> None:
        self.devices, self.init, self.count = devices, init, count

    def cuInit(self, flags: int) -> int:  # noqa: N802  (the driver's names)
        assert flags == 0
        return self.init

    def cuDeviceGetCount(self, place: Any) -> int:  # noqa: N802
        ctypes.cast(place, ctypes.POINTER(ctypes.c_int))[0] = self.devices
        return self.count


@pytest.mark.parametrize(
    ("driver", "is_there"),
    [
        (Driver(), True),
        (Driver(2), True),
        (Driver(0), False),
        (Driver(init=100), False),
        (Driver(count=3), False),
    ],
)
def test_a_device_is_there_when_the_driver_says_so(driver: Driver, is_there: bool) -> None:
    assert has_cuda_device(lambda name: driver if name == "libcuda.so.1" else None) is is_there


def test_without_a_driver_there_is_no_device() -> None:
    def load(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    assert not has_cuda_device(load)


def test_without_a_device_there_is_no_report(workshop: Workshop, no_gpu: None) -> None:
    built = workshop.built("product", graphs.product, graphs.rows())
    assert report_from_device(built.path, "tensorrt-rtx") is None


def test_with_a_device_the_engine_is_asked(workshop: Workshop) -> None:
    built = workshop.built("product", graphs.product, graphs.rows())
    text = 'inspector_text(layer("dense", "gemm", "Half", "Half", nodes=("product",)))'
    asked = built.report.products
    report = report_from_device(built.path, "tensorrt-rtx", asked, child(ON_A_GPU.format(text=text)))
    assert report is not None
    (profile,) = report.profiles
    assert (report.source, report.plan_bytes) == ("engine", built.report.plan_bytes)
    assert profile.activation_bytes == 77
    assert profile.products == built.plan.profiles[0].products
    assert profile.layers_left_in("half") == ("product",)


def test_what_the_engine_refuses_reaches_the_one_who_asked(workshop: Workshop) -> None:
    built = workshop.built("product", graphs.product, graphs.rows())
    with pytest.raises(EdgeVLError) as caught:
        report_from_device(built.path, "tensorrt-rtx", command=child(ON_A_GPU.format(text="None")))
    assert caught.value.code == "EVL-ENGINE-FOREIGN"


def test_a_crash_on_the_gpu_is_a_named_error(tmp_path: Path) -> None:
    said = "import sys; print('CUDA error 700', file=sys.stderr, flush=True)"
    died = child(said, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    for command, words in ((died, "SIGSEGV"), (child(said), "no answer")):
        with pytest.raises(MachineFault) as caught:
            report_from_device(tmp_path / "decoder.plan", "tensorrt-rtx", command=command)
        assert caught.value.code == "EVL-INSPECT-CRASH"
        assert words in caught.value.why
        assert "CUDA error 700" in caught.value.why
        assert "CUDA_VISIBLE_DEVICES" in caught.value.fix
    with pytest.raises(MachineFault) as caught:
        report_from_device(tmp_path / "decoder.plan", "tensorrt", command=died)
    assert "the trial" in caught.value.fix and "CUDA_VISIBLE_DEVICES" not in caught.value.fix


def test_without_a_device_the_library_is_not_even_opened(tmp_path: Path) -> None:
    request = InspectionRequest(str(tmp_path / "a.plan"), "tensorrt")

    def opened(name: str) -> Any:
        raise AssertionError(f"{name} was opened")

    assert inspection_of(request, lambda: False, opened) == Inspection()


def test_a_missing_library_is_named_where_there_is_a_device(tmp_path: Path) -> None:
    def opened(name: str) -> Any:
        raise EdgeVLError("EVL-ENGINE-MISSING", f"{name} is not installed", "it is not there", "install it")

    request = InspectionRequest(str(tmp_path / "a.plan"), "tensorrt")
    failure = inspection_of(request, lambda: True, opened).failure
    assert failure is not None
    assert failure.code == "EVL-ENGINE-MISSING"


def test_names_alone_are_never_filled_up_from_the_listing(tmp_path: Path, rtx: None) -> None:
    plan = tmp_path / "a.plan"
    plan.write_bytes(b"ftrt")
    device = Device(inspector_text("a"))
    done = inspection_of(
        InspectionRequest(str(plan), "tensorrt-rtx"), lambda: True, lambda _: device.library()
    )
    assert done.failure is not None
    assert done.failure.code == "EVL-ENGINE-NAMES"


def test_a_failed_inspection_has_no_report() -> None:
    failure = Failure("EVL-X", "a", "b", "c", is_machine_fault=False)
    with pytest.raises(ValueError, match="no report"):
        Inspection(PlanReport(1, (), "engine"), failure)
