"""One build by libraries of every version that there is to build with: doubles of them, but for the one at hand."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge_runtime.engines.library import Library
from edge_runtime.engines.place import EngineName
from edge_runtime.errors import EdgeVLError, MachineFault
from export.engines.builder import build_plan
from export.engines.compiler import build_engine
from export.engines.log import BuildLog
from export.engines.network import NoMemoryError, refusal_error
from export.engines.planfile import write_plan
from export.engines.request import BuildReport, BuildRequest
from tests.export.engines import graphs
from tests.export.engines.conftest import Workshop
from tests.export.engines.foundry import PLAN, Foundry
from tests.export.engines.recorded import real_module
from tests.export.engines.timekeeper import data_of

STREAM = "Builder.build_serialized_network_to_stream"
TYPED = "NetworkDefinitionCreationFlag.STRONGLY_TYPED"
# Not yet there in 10.3, of what a build may ask for.
LATER_THAN_10_3 = frozenset(
    {STREAM, "IStreamWriter", "IAttention", "IAttentionInputLayer", "LayerType.ATTENTION_INPUT"}
)
# There in 10.3, of what a build may ask for. Look a name up in its bindings before it comes in here.
KNOWN_TO_10_3 = frozenset(
    {
        *("Builder", "ILogger", "NetworkDefinitionCreationFlag", "OnnxParser", "ProfilingVerbosity"),
        *(f"Builder.create_{what}" for what in ("builder_config", "network", "optimization_profile")),
        "Builder.build_serialized_network",
        *(f"IBuilderConfig.{name}" for name in ("add_optimization_profile", "profiling_verbosity")),
        *(f"IBuilderConfig.{verb}_timing_cache" for verb in ("create", "set")),
        *(f"ITimingCache.{verb}" for verb in ("combine", "serialize")),
        *(f"ILayer.{name}" for name in ("get_input", "metadata", "name", "type")),
        *(f"INetworkDefinition.{name}" for name in ("get_input", "get_layer")),
        *(f"INetworkDefinition.num_{what}" for what in ("inputs", "layers", "outputs")),
        *(
            "IOptimizationProfile.set_shape",
            "OnnxParser.parse_from_file",
            "ProfilingVerbosity.DETAILED",
            TYPED,
        ),
        *(f"ITensor.{name}" for name in ("dtype", "name", "shape")),
    }
)
# No longer there in 11, of what a build could ask for: 10.16's bindings without 11.1's.
REMOVED_IN_11 = frozenset(
    {
        *(f"Builder.platform_has_{what}" for what in ("fast_fp16", "fast_int8", "tf32")),
        *(f"BuilderFlag.{name}" for name in "BF16 FP16 FP4 FP8 INT4 INT8 WEIGHTLESS".split()),
        *(f"BuilderFlag.{verb}_PRECISION_CONSTRAINTS" for verb in ("OBEY", "PREFER")),
        "BuilderFlag.REJECT_EMPTY_ALGORITHMS",
        *(f"IBuilderConfig.{verb}_quantization_flag" for verb in ("clear", "get", "set")),
        *(f"IBuilderConfig.{verb}_calibration_profile" for verb in ("get", "set")),
        *(
            f"IBuilderConfig.{name}"
            for name in ("algorithm_selector", "int8_calibrator", "quantization_flags")
        ),
        *(f"ILayer.{name}" for name in ("precision", "precision_is_set", "reset_precision")),
        *(f"ILayer.{name}" for name in ("output_type_is_set", "reset_output_type", "set_output_type")),
        *(f"ITensor.{name}" for name in ("dynamic_range", "reset_dynamic_range", "set_dynamic_range")),
        *(f"OnnxParser.{name}" for name in ("parse_with_weight_descriptors", "supports_model")),
        *(f"TacticSource.{name}" for name in ("CUBLAS", "CUBLAS_LT", "CUDNN")),
        *("IInt8Calibrator", "IInt8EntropyCalibrator2", "IInt8MinMaxCalibrator", "IAlgorithmSelector"),
        "INormalizationLayer.compute_precision",
        "NetworkDefinitionCreationFlag.EXPLICIT_BATCH",
        "PreviewFeature.PROFILE_SHARING_0806",
    }
)
WITH_ATTENTION = ("MATRIX_MULTIPLY", "ATTENTION_INPUT", "ATTENTION_OUTPUT", "KV_CACHE_UPDATE")
DRIVERLESS = """
__version__ = "10.13.3.9"
class ILogger:
    def __init__(self):
        pass
class Severity:
    def __init__(self, name):
        self.name = name
class Builder:
    def __init__(self, logger):
        for name, words in {told!r}:
            logger.log(Severity(name), words)
        raise TypeError("pybind11::init(): factory function returned nullptr")
"""


def old_foundry() -> tuple[str, EngineName, Foundry]:
    return "10.3.0.30", "tensorrt", Foundry(LATER_THAN_10_3)


def new_foundry() -> tuple[str, EngineName, Foundry]:
    return "11.1.0.106", "tensorrt", Foundry({TYPED, *REMOVED_IN_11}, WITH_ATTENTION)


def rtx_foundry() -> tuple[str, EngineName, Foundry]:
    return "1.7.1.116", "tensorrt-rtx", Foundry((), WITH_ATTENTION)


def built(made: tuple[str, EngineName, Foundry], request: BuildRequest) -> tuple[BuildReport, Foundry]:
    version, name, foundry = made
    timings = None if name == "tensorrt-rtx" else str(Path(request.plan).with_name("timings"))
    asked = replace(request, engine=name, timings=timings)
    return build_plan(foundry.library(version, name), asked), foundry


@pytest.mark.usefixtures("rtx")
class TestVersions:
    def test_10_3_writes_its_plan_at_once(self, product: BuildRequest) -> None:
        report, foundry = built(old_foundry(), product)
        assert Path(product.plan).read_bytes() == PLAN
        assert (report.engine_version, report.plan_bytes) == ("10.3.0.30", len(PLAN))
        assert "Builder.build_serialized_network" in foundry.calls

    def test_10_3_is_asked_for_nothing_that_it_may_not_know(self, product: BuildRequest) -> None:
        _, foundry = built(old_foundry(), product)
        assert set(foundry.calls) <= KNOWN_TO_10_3

    def test_what_of_timings_is_asked_for_was_there_in_10_3(self, product: BuildRequest) -> None:
        """Two files of timings to be made one are all that there is to ask."""
        version, name, foundry = old_foundry()
        foundry.timekeeper.meanwhile = lambda: write_timings(product, data_of("orin", "another layer"))
        built((version, name, foundry), product)
        assert {"ITimingCache.combine", "ITimingCache.serialize"} <= set(foundry.calls) <= KNOWN_TO_10_3

    def test_rtx_is_asked_for_no_timings(self, product: BuildRequest) -> None:
        _, foundry = built(rtx_foundry(), product)
        assert [call for call in foundry.calls if "timing" in call.lower()] == []

    def test_10_3_is_told_to_keep_to_the_graphs_types(self, product: BuildRequest) -> None:
        _, foundry = built(old_foundry(), product)
        assert foundry.flags == [1 << int(real_module().NetworkDefinitionCreationFlag.STRONGLY_TYPED)]

    def test_11_is_not_told_once_it_knows_no_other_types(self, product: BuildRequest) -> None:
        _, foundry = built(new_foundry(), product)
        assert foundry.flags == [0]

    @pytest.mark.parametrize("made", [new_foundry, rtx_foundry])
    def test_newer_ones_write_their_plan_piece_by_piece(self, made: Any, product: BuildRequest) -> None:
        _, foundry = built(made(), product)
        assert Path(product.plan).read_bytes() == PLAN
        assert STREAM in foundry.calls
        assert "Builder.build_serialized_network" not in foundry.calls

    @pytest.mark.parametrize("made", [new_foundry, rtx_foundry])
    def test_their_attention_may_be_built_of_parts(self, made: Any, product: BuildRequest) -> None:
        report, foundry = built(made(), product)
        assert [each.given for each in foundry.attention] == [{}, {"decomposable": True}, {}, {}]
        assert report.layers == dict.fromkeys(WITH_ATTENTION, 1)

    @pytest.mark.parametrize("made", [old_foundry, new_foundry, rtx_foundry])
    def test_every_one_is_asked_for_detail_and_given_the_profiles(
        self, made: Any, product: BuildRequest
    ) -> None:
        _, foundry = built(made(), product)
        detailed = real_module().ProfilingVerbosity.DETAILED
        assert [config.given for config in foundry.configs] == [{"profiling_verbosity": detailed}]
        assert foundry.profiles == [("x", (1, 256), (8, 256), (64, 256))]

    def test_rtx_alone_is_asked_to_keep_to_memory_that_it_is_given(self, product: BuildRequest) -> None:
        flagged = [built(made(), product)[1].flagged for made in (old_foundry, new_foundry, rtx_foundry)]
        assert flagged == [[], [], [real_module().BuilderFlag.REQUIRE_USER_ALLOCATION]]

    @pytest.mark.parametrize("made", [old_foundry, new_foundry, rtx_foundry])
    def test_none_is_asked_for_what_11_has_removed(self, made: Any, product: BuildRequest) -> None:
        _, foundry = built(made(), product)
        assert {"Builder", "OnnxParser.parse_from_file", "IBuilderConfig.profiling_verbosity"} <= set(
            foundry.calls
        )
        assert not REMOVED_IN_11 & set(foundry.calls)

    @pytest.mark.parametrize("name", sorted(REMOVED_IN_11))
    def test_asking_for_what_11_has_removed_fails_here(self, name: str) -> None:
        foundry = Foundry()
        owner, _, member = name.rpartition(".")
        module = foundry.library("10.3").module
        is_enumeration = hasattr(getattr(real_module(), owner, None), "__members__")
        holder = getattr(module, owner) if is_enumeration else foundry.double(owner) if owner else module
        with pytest.raises(AssertionError, match="there is no"):
            getattr(holder, member)


def write_timings(request: BuildRequest, data: bytes) -> None:
    Path(request.plan).with_name("timings").write_bytes(hashlib.sha256(data).digest() + data)


class WithoutStream:
    """The real builder as 10.3 has it."""

    def __init__(self, builder: Any) -> None:
        self.build_serialized_network = builder.build_serialized_network


def test_a_plan_written_at_once_is_the_plan_written_piece_by_piece(
    workshop: Workshop, tmp_path: Path
) -> None:
    streamed = workshop.built("static", graphs.int8_convolution)
    real = real_module()
    builder = real.Builder(real.Logger(real.Logger.ERROR))
    network = builder.create_network(1 << int(real.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = real.OnnxParser(network, real.Logger(real.Logger.ERROR))
    assert parser.parse_from_file(streamed.request.onnx)
    config = builder.create_builder_config()
    config.profiling_verbosity = real.ProfilingVerbosity.DETAILED
    config.set_flag(real.BuilderFlag.REQUIRE_USER_ALLOCATION)
    plan = tmp_path / "at_once.plan"
    assert write_plan(real, WithoutStream(builder), network, config, plan)
    assert plan.read_bytes() == streamed.path.read_bytes()


class Said:
    """An error of the parser's about the whole file."""

    def __init__(self, words: str) -> None:
        self.desc, self.func, self.node = (lambda: words), (lambda: "load"), (lambda: -1)
        self.code = lambda: SimpleNamespace(name="INTERNAL_ERROR")


def refusal_of(log: BuildLog, request: BuildRequest, *words: str) -> Exception:
    parser = SimpleNamespace(num_errors=len(words), get_error=[Said(each) for each in words].__getitem__)
    return refusal_error(Library("tensorrt", None, (10, 3)), parser, log, request)


def test_a_refusal_for_want_of_memory_is_told_in_the_words_that_say_so(product: BuildRequest) -> None:
    error = refusal_of(BuildLog(), product, "cannot read w", "Failed to map file to memory")
    assert isinstance(error, NoMemoryError)
    assert "Failed to map file" in str(error)


def test_memory_that_was_refused_before_is_not_why_a_graph_is(product: BuildRequest) -> None:
    log = BuildLog()
    for words in ("Error Code 2: OutOfMemory", "no importer"):
        log.hear("ERROR", words)
    error = refusal_of(log, product, "no importer for FastGelu")
    assert isinstance(error, EdgeVLError)
    assert error.code == "EVL-BUILD-PARSE"
    assert "no importer for FastGelu" in error.why


def failure_without_driver(request: BuildRequest, module: Path, *told: tuple[str, str]) -> MachineFault:
    module.write_text(DRIVERLESS.format(told=told))
    with pytest.raises(MachineFault) as caught:
        build_engine(replace(request, engine="tensorrt"))
    assert not Path(request.plan).exists()
    return caught.value


@pytest.fixture
def tensorrt(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("site")
    monkeypatch.syspath_prepend(str(folder))
    return folder / "tensorrt.py"


@pytest.mark.parametrize("severity", ["WARNING", "ERROR", "INTERNAL_ERROR"])
def test_tensorrt_without_a_driver_says_so_and_what_to_do(
    severity: str, product: BuildRequest, tensorrt: Path
) -> None:
    said = "CUDA initialization failure with error: 35. CUDA driver version is insufficient"
    told = (("WARNING", "Unable to determine GPU memory usage"), (severity, said))
    error = failure_without_driver(product, tensorrt, *told)
    assert (error.code, error.exit_status) == ("EVL-ENGINE-DRIVER", 3)
    assert error.what == "TensorRT 10.13.3.9 finds no GPU to build for"
    assert said in error.why
    for words in ("driver", "--gpus all", "--runtime nvidia"):
        assert words in error.fix


def test_a_builder_that_fails_without_a_word_is_told_in_the_bindings_words(
    product: BuildRequest, tensorrt: Path
) -> None:
    assert "factory function returned nullptr" in failure_without_driver(product, tensorrt).why


def test_a_gpu_without_memory_for_its_own_start_is_about_memory(
    product: BuildRequest, tensorrt: Path
) -> None:
    said = "CUDA initialization failure with error: 2. Please check your CUDA installation"
    error = failure_without_driver(product, tensorrt, ("WARNING", said))
    assert error.code == "EVL-BUILD-MEMORY"
    assert said in error.why


def test_tensorrt_rtx_that_does_not_start_is_broken_whatever_the_driver(
    product: BuildRequest, tensorrt: Path
) -> None:
    tensorrt.with_name("tensorrt_rtx.py").write_text(
        DRIVERLESS.format(told=[("ERROR", "libnvJitLink.so.13: cannot open shared object file")])
    )
    with pytest.raises(MachineFault) as caught:
        build_engine(product)
    assert caught.value.code == "EVL-ENGINE-BROKEN"
    assert "libnvJitLink.so.13" in caught.value.why
