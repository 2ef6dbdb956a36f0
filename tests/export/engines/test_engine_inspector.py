"""An engine asked on a GPU that is a double: what it is asked, the real library could be asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime.engines.library import Library
from edge_runtime.errors import EdgeVLError
from export.engines.builder import config_for
from export.engines.engine_inspector import report_from_engine
from export.engines.inspector import PlanReport
from export.engines.request import BuildRequest
from tests.export.engines.recorded import Device, Ports, inspector_text, layer, real_module

pytestmark = pytest.mark.usefixtures("rtx")

ATTENTION = layer("_gemm_mha_v2_myl0_1", "kgen", "Half", "Half", "Half")
CACHE = Ports(("x", "keep_k", "keep_v"), {"y": None, "now_k": "keep_k", "now_v": "keep_v"})


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "decoder.plan"
    path.write_bytes(b"ftrt and more")
    return path


def inspected(device: Device, plan: Path, version: str = "1.7.1.116") -> PlanReport:
    return report_from_engine(device.library(version), plan)


def fault_of(device: Device, plan: Path) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        inspected(device, plan)
    assert caught.value.fix
    return caught.value


def test_an_engine_gives_the_rows_of_a_plan_and_says_where_they_are_from(plan: Path) -> None:
    device = Device(inspector_text(ATTENTION), [1000, 24], CACHE)
    report = inspected(Device(inspector_text(ATTENTION), [1000], CACHE), plan)
    assert (report.source, report.plan_bytes) == ("engine", 13)
    assert report.profiles[0].attention == {"_gemm_mha_v2": 1}
    assert [each.activation_bytes for each in inspected(device, plan).profiles] == [1000, 24]
    assert device.opened == [b"ftrt and more"]


def test_caches_that_the_engine_writes_in_place_are_named(plan: Path) -> None:
    (profile,) = inspected(Device(inspector_text(ATTENTION), ports=CACHE), plan).profiles
    assert profile.in_place == ("now_k", "now_v")


def test_an_older_library_is_not_asked_what_it_does_not_know(plan: Path) -> None:
    device = Device(inspector_text(ATTENTION), ports=CACHE, absent=("get_aliased_input_tensor",))
    (profile,) = inspected(device, plan, "10.3.0.30").profiles
    assert profile.in_place is None
    assert profile.attention == {"_gemm_mha_v2": 1}


def test_nothing_is_asked_that_version_11_has_removed(plan: Path) -> None:
    device = Device(inspector_text(ATTENTION), ports=CACHE)
    inspected(device, plan)
    assert "ICudaEngine.get_device_memory_size_for_profile_v2" in device.calls
    assert not {call for call in device.calls if "device_memory" in call and not call.endswith("_v2")}
    assert not any(
        "execution_context" in call for call in device.calls
    )  # it would take the activations' memory


def test_the_double_refuses_what_the_real_library_would(plan: Path) -> None:
    engine = Device(inspector_text(ATTENTION)).engine("{}")
    asks: tuple[Callable[[], object], ...] = (
        lambda: engine.device_memory_size,
        lambda: engine.get_tensor_name("x"),
        lambda: engine.get_tensor_name(0, 1),
        lambda: engine.create_engine_inspector().get_engine_information("JSON"),
    )
    for ask in asks:
        with pytest.raises(AssertionError):
            ask()


def test_a_plan_that_the_gpu_cannot_open_is_told_in_the_librarys_words(plan: Path) -> None:
    device = Device(None)
    device.said = ("The engine plan file is not compatible with this version of TensorRT",)
    error = fault_of(device, plan)
    assert (error.code, error.exit_status) == ("EVL-ENGINE-FOREIGN", 2)
    assert "TensorRT-RTX 1.7.1.116 cannot open decoder.plan on this GPU" in error.what
    assert "not compatible with this version" in error.why
    assert "build it on this machine" in error.fix
    assert "CUDA_VISIBLE_DEVICES" in error.fix


def test_a_driver_that_is_too_old_is_not_taken_for_noise(plan: Path) -> None:
    device = Device(None)
    device.said = ("cudaError 35: CUDA driver version is insufficient for CUDA runtime version",)
    assert "CUDA driver version is insufficient" in fault_of(device, plan).why


def test_an_engine_that_tells_names_alone_is_to_be_built_again(plan: Path) -> None:
    error = fault_of(Device(inspector_text("_gemm_mha_v2_myl0_1")), plan)
    assert error.code == "EVL-ENGINE-NAMES"
    assert "without detailed profiling" in error.why
    assert "build it again" in error.fix


def test_broken_words_of_the_inspector_are_an_error(plan: Path) -> None:
    error = fault_of(Device('{"Layers": [{'), plan)
    assert error.code == "EVL-ENGINE-LISTING"
    assert "not JSON" in error.why


def test_bytes_of_the_inspector_that_are_no_text_are_an_error(
    plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bindings refuse them before we see them."""

    def refuse(library: Library, engine: object) -> str:
        return b"\xff".decode()

    monkeypatch.setattr("export.engines.engine_inspector.inspected_text", refuse)
    error = fault_of(Device("{}"), plan)
    assert error.code == "EVL-ENGINE-LISTING" and "can't decode byte" in error.why


@pytest.mark.parametrize("text", [None, "{", inspector_text("a")], ids=["foreign", "unreadable", "names"])
def test_what_to_do_is_worded_for_the_library(plan: Path, text: str | None) -> None:
    """TensorRT builds nothing without a GPU, and its plans have no listing to go by instead."""
    rtx = Device(text).library()
    with pytest.raises(EdgeVLError) as caught:
        report_from_engine(rtx, plan)
    assert "CUDA_VISIBLE_DEVICES" in caught.value.fix
    with pytest.raises(EdgeVLError) as caught:
        report_from_engine(replace(rtx, name="tensorrt", version=(10, 3, 0)), plan)
    assert "CUDA_VISIBLE_DEVICES" not in caught.value.fix
    assert ("the trial" in caught.value.fix) is (text is not None)


def test_an_empty_file_and_none_at_all_are_named(plan: Path) -> None:
    """An empty one is no engine, whatever could be told of it."""
    plan.write_bytes(b"")
    assert fault_of(Device("{}"), plan).code == "EVL-ENGINE-FOREIGN"
    plan.unlink()
    assert fault_of(Device("{}"), plan).code == "EVL-FILE"


def test_every_plan_is_built_to_be_inspected_in_detail() -> None:
    class Config:
        profiling_verbosity: object = None

        def set_flag(self, flag: object) -> None:
            """Any."""

    class Builder:
        def create_builder_config(self) -> Config:
            return Config()

    real = real_module()
    library = Library("tensorrt-rtx", real, (1, 7, 1))
    config = config_for(library, Builder(), BuildRequest("decoder", "tensorrt-rtx", "a", "b"))
    assert config.profiling_verbosity == real.ProfilingVerbosity.DETAILED
