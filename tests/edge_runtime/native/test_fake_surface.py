"""The fake TensorRT has what the real one has, as it has it, in every version on record."""

from __future__ import annotations

from typing import Any

import pytest

from tests.edge_runtime.cuda.fake_driver import FakeDriver
from tests.edge_runtime.native.fake_context import IExecutionContext
from tests.edge_runtime.native.fake_engine import ICudaEngine, IRuntimeCache, IRuntimeConfig
from tests.edge_runtime.native.fake_tensorrt import Runtime, fake_module
from tests.edge_runtime.native.fake_world import Dims, ILogger, Logger
from tests.edge_runtime.native.signatures import api_from_module, recorded, recorded_titles
from tests.edge_runtime.native.surface import ONLY_SOME, Drift, NotOffered, Surface, fitted, offered

KINDS: tuple[type[Surface], ...] = (
    Dims, ILogger, Logger, Runtime, ICudaEngine, IExecutionContext, IRuntimeConfig, IRuntimeCache,
)  # fmt: skip
RTX, OLDEST = "tensorrt_rtx-1.7.1.116", "tensorrt-10.3.0"
LACKING = {
    "tensorrt-10.3.0": {
        "Runtime.get_engine_validity", "ICudaEngine.create_runtime_config", "ICudaEngine.get_aliased_input_tensor",
        "IExecutionContext.get_runtime_config", "IExecutionContext.is_stream_capturable", "IRuntimeConfig", "IRuntimeCache",
    },
    "tensorrt-10.13.3.9": {
        "Runtime.get_engine_validity", "ICudaEngine.get_aliased_input_tensor", "IExecutionContext.is_stream_capturable",
        "IRuntimeConfig.cuda_graph_strategy", "IRuntimeConfig.dynamic_shapes_kernel_specialization_strategy",
        "IRuntimeConfig.create_runtime_cache", "IRuntimeConfig.get_runtime_cache", "IRuntimeConfig.set_runtime_cache",
        "IRuntimeCache",
    },
    RTX: set[str](),
}  # fmt: skip
LACKING["tensorrt-10.16.1.11"] = LACKING["tensorrt-10.13.3.9"] - {"ICudaEngine.get_aliased_input_tensor"}
LACKING["tensorrt-11.4.0.106"] = LACKING["tensorrt-10.16.1.11"]


def module_of(title: str = RTX) -> Any:
    return fake_module(title, FakeDriver())


def test_the_record_of_the_installed_library_is_what_it_offers() -> None:
    module = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    api = api_from_module(module)
    assert api == recorded(api.title)


def test_a_fake_is_made_of_the_installed_library() -> None:
    module = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    fake = fake_module(module, FakeDriver())
    assert (fake.__name__, fake.__version__) == (module.__name__, module.__version__)


@pytest.mark.parametrize("title", recorded_titles())
def test_what_a_version_lacks_is_written_down(title: str) -> None:
    """This table is all that code may not take for granted."""
    api = recorded(title)
    lacking: set[str] = set()
    for kind in KINDS:
        name = kind.__name__
        if name not in api.classes:
            lacking.add(name)
            continue
        lacking |= {f"{name}.{each}" for each in offered(kind) if each not in api.classes[name]}
    assert lacking == LACKING[title]


@pytest.mark.parametrize("title", recorded_titles())
def test_every_version_can_be_faked(title: str) -> None:
    assert module_of(title).world.api.title == title


def test_nothing_is_called_rare_that_all_versions_have() -> None:
    for kind, names in ONLY_SOME.items():
        for name in names:
            has = [name in recorded(title).classes.get(kind, {}) for title in recorded_titles()]
            assert any(has) and not all(has), f"{kind}.{name}"


@pytest.mark.parametrize("title", recorded_titles())
def test_enumerations_have_the_members_and_numbers_of_the_version(title: str) -> None:
    fake, api = module_of(title), recorded(title)
    theirs = {
        name: member.value for name, member in api.classes["DataType"].items() if member.kind == "value"
    }
    assert {word.name: int(word) for word in fake.DataType} == theirs


def test_a_member_that_no_version_has_is_drift() -> None:
    class ICudaEngine(Surface):
        def get_tensor_colour(self, name: str) -> str:
            return "green"

    with pytest.raises(Drift, match="get_tensor_colour"):
        fitted(ICudaEngine, recorded(RTX), {})


def test_an_argument_that_the_real_one_has_not_is_drift() -> None:
    class ICudaEngine(Surface):
        def get_tensor_name(self, number: int) -> str:
            return ""

    with pytest.raises(Drift, match=r"takes \['number'\]"):
        fitted(ICudaEngine, recorded(RTX), {})


def test_an_argument_that_the_fake_lacks_is_drift() -> None:
    class ICudaEngine(Surface):
        def get_tensor_name(self) -> str:
            return ""

    with pytest.raises(Drift, match=r"takes \[\]"):
        fitted(ICudaEngine, recorded(RTX), {})


def test_an_argument_that_only_the_fake_has_is_drift() -> None:
    class ICudaEngine(Surface):
        def get_tensor_name(self, index: int, colour: str = "") -> str:
            return ""

    with pytest.raises(Drift, match=r"takes \['colour', 'index'\]"):
        fitted(ICudaEngine, recorded(RTX), {})


def test_a_method_where_the_real_one_has_a_property_is_drift() -> None:
    class ICudaEngine(Surface):
        def num_io_tensors(self) -> int:
            return 0

    with pytest.raises(Drift, match="is a property"):
        fitted(ICudaEngine, recorded(RTX), {})


def test_setting_what_the_real_one_only_reads_is_drift() -> None:
    class ICudaEngine(Surface):
        @property
        def num_io_tensors(self) -> int:
            return 0

        @num_io_tensors.setter
        def num_io_tensors(self, count: int) -> None: ...

    with pytest.raises(Drift, match="cannot be set"):
        fitted(ICudaEngine, recorded(RTX), {})


def test_what_the_module_lacks_is_missing_and_what_the_fake_lacks_says_so() -> None:
    fake = module_of(OLDEST)
    assert not hasattr(fake, "CudaGraphStrategy")
    with pytest.raises(NotOffered, match=r"tensorrt\.Builder"):
        _ = fake.Builder


def test_attributes_are_refused_as_by_the_real_class() -> None:
    fake = module_of()
    runtime = fake.Runtime(fake.Logger())
    with pytest.raises(AttributeError, match="no attribute 'colour'"):
        runtime.colour = 1
    with pytest.raises(AttributeError, match="no setter"):
        runtime.logger = None
    with pytest.raises(AttributeError, match="no setter"):
        runtime.num_DLA_cores = 1
    with pytest.raises(AttributeError, match="no attribute 'colour'"):
        _ = runtime.colour
    with pytest.raises(NotOffered, match="max_threads"):
        _ = runtime.max_threads


def test_arguments_are_refused_as_by_pybind() -> None:
    fake = module_of()
    runtime = fake.Runtime(fake.Logger())
    for wrong in ("a path", 3, None):
        with pytest.raises(TypeError, match="incompatible function arguments"):
            runtime.deserialize_cuda_engine(wrong)
    with pytest.raises(TypeError, match="incompatible function arguments"):
        runtime.deserialize_cuda_engine(plan=b"")
    assert runtime.deserialize_cuda_engine(serialized_engine=b"") is None


def test_a_logger_must_call_its_constructor() -> None:
    fake = module_of()

    class Silent(fake.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.lines: list[str] = []

    with pytest.raises(TypeError, match="must be called"):
        Silent()


def test_a_runtime_takes_a_logger_of_its_own_module_only() -> None:
    with pytest.raises(TypeError, match="incompatible constructor arguments"):
        module_of().Runtime(module_of().Logger())


def test_the_librarys_own_logger_keeps_what_is_severe_enough() -> None:
    fake = module_of()
    logger = fake.Logger(fake.Logger.ERROR)
    fake.Runtime(logger).deserialize_cuda_engine(b"no plan")
    assert len(logger._lines) == 2 and all(line.startswith("[ERROR]") for line in logger._lines)


def test_engines_are_not_constructed_by_hand() -> None:
    with pytest.raises(TypeError, match="No constructor defined"):
        module_of().ICudaEngine()


def test_dimensions_compare_with_tuples_alone_as_the_real_ones() -> None:
    fake = module_of()
    dims = fake.Dims([1, 2, 3])
    assert dims == (1, 2, 3) and tuple(dims) == (1, 2, 3) and dims[-1] == 3 and len(dims) == 3
    with pytest.raises(TypeError):
        _ = dims == fake.Dims([1, 2, 3])
    with pytest.raises(TypeError):
        hash(dims)


def test_severities_have_an_order_and_are_no_numbers() -> None:
    severity = module_of().ILogger.Severity
    assert severity.ERROR < severity.INFO
    assert severity.ERROR != 1
    assert module_of().Logger.ERROR.name == "ERROR"


def test_numpy_types_are_those_that_the_real_function_gives() -> None:
    real = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    fake = module_of()
    for name in ("float32", "float16", "int8", "int32", "int64", "bool", "uint8"):
        assert fake.nptype(getattr(fake, name)) is real.nptype(getattr(real, name)), name
    with pytest.raises(TypeError):
        fake.nptype(fake.bfloat16)
