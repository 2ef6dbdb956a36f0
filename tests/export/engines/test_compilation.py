"""A whole model of the demo's sizes through NVIDIA's compiler: every role, both TensorRT dialects, no GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration.calibrate import calibrate_bundle
from calibration.recipe import Recipe
from calibration.samples import SampleSet
from demo.random_checkpoint import write_random_checkpoint
from demo.sizes import DEMO_HYBRID
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.errors import EdgeVLError
from edge_runtime.lint import check_grammar
from edge_runtime.progress import silent
from export.engines.compilation import Compiled, compiled_engine, compiled_engines, engine_shapes
from export.engines.findings import Findings
from export.engines.inspector import PlanReport, ProfileReport
from export.engines.request import BuildReport, BuildRequest
from export.engines.serving import Serving
from export.exporter import export_bundle
from export.options import ExportOptions

CONTEXT = 1024
DIALECTS: tuple[Dialect, ...] = ("trt10", "trt")
MIB = 1 << 20


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("compilation")
    write_random_checkpoint(DEMO_HYBRID, folder / "checkpoint")
    options = ExportOptions(DIALECTS, "fp16", CONTEXT)
    export_bundle(folder / "checkpoint", folder / "bundle", options)
    return Bundle.open(folder / "bundle")


@pytest.fixture(scope="module", params=DIALECTS)
def compiled(
    request: pytest.FixtureRequest, bundle: Bundle, rtx: None, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Compiled]:
    folder = tmp_path_factory.mktemp(f"plans-{request.param}")
    found = compiled_engines(bundle, request.param, "tensorrt-rtx", Serving(CONTEXT), folder)
    return {each.name: each for each in found}


def profile_of(compiled: Compiled) -> ProfileReport:
    """The only one, by the plan's own listing."""
    assert compiled.plan is not None
    (profile,) = compiled.plan.profiles
    return profile


def test_every_role_compiles(compiled: dict[str, Compiled]) -> None:
    towers = ["vision_high", "vision_low", "adaptor"]
    assert list(compiled) == [*towers, "decoder.prefill", "decoder.decode"]


def test_every_attention_layer_is_one_fused_kernel(compiled: dict[str, Compiled]) -> None:
    fused = {name: each.has_fused_attention(DEMO_HYBRID) for name, each in compiled.items()}
    assert all(fused.values()), fused
    assert profile_of(compiled["vision_high"]).fused_attention() == 4  # not nothing of nothing


def test_no_product_is_left_in_fp32_and_no_weight_is_stored_so(
    bundle: Bundle, compiled: dict[str, Compiled]
) -> None:
    for name, each in compiled.items():
        profile = profile_of(each)
        assert profile.layers_left_in("float") == (), name
        halves = profile.layers_left_in("half")
        assert halves is not None and weighted_products(bundle, each) <= {*halves}, (name, halves)
        constants = profile.constant_bytes
        assert constants is not None
        assert constants["half"] > 100 * constants.get("float", 0), (name, constants)


def weighted_products(bundle: Bundle, compiled: Compiled) -> set[str]:
    """Every one that the graph itself has: none may be missing among those that are told."""
    graph = bundle.onnx_file(bundle.graph(compiled.role, compiled.dialect))
    weights = {tensor.name for tensor in graph.tensors}
    found = [node for node in graph.nodes if node.op_type in ("MatMul", "Gemm", "Conv")]
    names = {node.name for node in found if weights & {*node.inputs}}
    assert names, compiled.name
    return names


def test_the_weights_of_a_plan_are_those_of_its_graph(bundle: Bundle, compiled: dict[str, Compiled]) -> None:
    """Nothing is lost, and nothing is there twice."""
    for each in compiled.values():
        stored = sum(
            tensor.nbytes for tensor in bundle.onnx_file(bundle.graph(each.role, each.dialect)).tensors
        )
        constants = profile_of(each).constant_bytes
        assert constants is not None
        assert 0.9 * stored < sum(constants.values()) < 1.2 * stored, each.name


def test_one_token_at_a_time_is_compiled_for_itself(compiled: dict[str, Compiled]) -> None:
    decode, prefill = (profile_of(compiled[f"decoder.{name}"]) for name in ("decode", "prefill"))
    assert decode.activation_bytes is not None and prefill.activation_bytes is not None
    assert 5 * decode.activation_bytes < prefill.activation_bytes
    assert decode.attention != prefill.attention  # a product of a matrix and a vector


def test_caches_of_the_newer_dialect_are_written_where_they_are(compiled: dict[str, Compiled]) -> None:
    for name in ("decode", "prefill"):
        each = compiled[f"decoder.{name}"]
        profile = profile_of(each)
        assert profile.in_place is not None
        wanted = 2 * DEMO_HYBRID.decoder.layers if each.dialect == "trt" else 0  # trt10 has no word for it
        assert len(profile.in_place) == wanted, (each.dialect, name, profile.in_place)


def test_a_build_of_this_size_needs_little_memory(compiled: dict[str, Compiled]) -> None:
    assert max(each.build.peak_held_mib for each in compiled.values()) < 512


def decoders(bundle: Bundle, dialect: Dialect, serving: Serving, folder: Path) -> list[Compiled]:
    """The engines of the decoder alone."""
    entry = bundle.graph("decoder", dialect)
    shapes = engine_shapes(bundle, entry, serving)
    return [compiled_engine(bundle, entry, "tensorrt-rtx", shape, folder) for shape in shapes]


@pytest.fixture(scope="module")
def quantised(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("quantised") / "bundle"
    recipe = Recipe(vision="fp16", decoder="int4", head="int8", block=64)
    calibrate_bundle(bundle, out, recipe, SampleSet(()), threads=1, progress=silent)
    return Bundle.open(out)


@pytest.fixture(scope="module", params=DIALECTS)
def small(
    request: pytest.FixtureRequest, quantised: Bundle, rtx: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ProfileReport, ...]:
    """The profiles, for a prompt and for single tokens, of a 4-bit decoder with an 8-bit head."""
    folder = tmp_path_factory.mktemp(f"int4-{request.param}")
    (engine,) = decoders(quantised, request.param, Serving(CONTEXT), folder)
    assert engine.name == "decoder" and engine.has_fused_attention(DEMO_HYBRID)
    assert engine.plan is not None and len(engine.plan.profiles) == 2
    return engine.plan.profiles


def test_4_bit_weights_of_a_decoder_are_unpacked_by_the_products_themselves(
    small: tuple[ProfileReport, ...],
) -> None:
    layers = DEMO_HYBRID.decoder.layers
    for profile in small:
        # q, k and v are one product, gate and up are one; so are the head's four parts.
        assert profile.products_by_types() == {"half x int4": 4 * layers, "half x int8": 1}, profile.products


def test_the_8_bit_head_of_a_4_bit_decoder_is_one_kernel_that_unpacks_its_weights(
    small: tuple[ProfileReport, ...],
) -> None:
    for profile in small:
        assert profile.products is not None
        heads = [each.types for each in profile.products if any("head" in layer for layer in each.layers)]
        assert heads == ["half x int8"], profile.products
        assert profile.layers_left_in("half") == (), profile.products


@pytest.mark.parametrize("dialect", DIALECTS)
def test_four_sequences_can_decode_together(
    bundle: Bundle, rtx: None, dialect: Dialect, tmp_path: Path
) -> None:
    prefill, decode = decoders(bundle, dialect, Serving(CONTEXT, batch=4), tmp_path)
    assert decode.has_fused_attention(DEMO_HYBRID), decode
    assert prefill.has_fused_attention(DEMO_HYBRID), prefill


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_engine_without_a_listing_and_without_a_gpu_is_told_to_be_unseen(
    bundle: Bundle, dialect: Dialect, tmp_path: Path, no_gpu: None
) -> None:
    """TensorRT's own plans have no listing: that of another library is not looked for in them."""
    entry = bundle.graph("adaptor", dialect)
    (shape,) = engine_shapes(bundle, entry, Serving(CONTEXT))
    with pytest.raises(EdgeVLError) as caught:
        compiled_engine(bundle, entry, "tensorrt", shape, tmp_path, build=built_elsewhere)
    assert caught.value.code == "EVL-ENGINE-UNSEEN"


def built_elsewhere(request: BuildRequest) -> BuildReport:
    """By a library that is not installed here."""
    Path(request.plan).write_bytes(b"ftrt" + bytes(4096))
    return built_report(request)


def built_report(request: BuildRequest) -> BuildReport:
    return BuildReport(
        role=request.role,
        engine=request.engine,
        engine_version="10.3.0",
        plan=request.plan,
        plan_bytes=4100,
        parse_seconds=0.0,
        build_seconds=0.0,
        peak_held_mib=0.0,
        peak_resident_mib=0.0,
        activation_bytes=None,
        weight_bytes=None,
        layers={},
        products=(),
        warnings=(),
    )


def test_a_dialect_that_the_bundle_lacks_is_refused_before_anything_is_built(
    bundle: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(EdgeVLError) as caught:
        compiled_engines(bundle, "ort", "tensorrt-rtx", Serving(CONTEXT), tmp_path)
    assert caught.value.code == "EVL-BUNDLE-DIALECT"


def test_more_context_than_the_bundle_has_is_refused_before_anything_is_built(
    bundle: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(EdgeVLError) as caught:
        compiled_engines(bundle, "trt", "tensorrt-rtx", Serving(CONTEXT + 1), tmp_path)
    assert caught.value.code == "EVL-CONTEXT-LIMIT"


@pytest.mark.parametrize(
    ("told", "is_fused"),
    [
        (([5, 5],), True),
        (([5, 4],), False),
        (([5, 5], [5, 4]), False),
        (([None, 4],), False),
        (([None, None], [5, 5]), True),
        (([5, None],), None),
        (([None, None],), None),
    ],
)
def test_attention_is_fused_if_some_source_tells_so_of_every_profile_and_none_denies_it(
    told: tuple[list[int | None], ...], is_fused: bool | None
) -> None:
    reports = [PlanReport(1, tuple(map(fused, counts)), "plan") for counts in told]
    found = Findings(reports[0], reports[1] if len(reports) > 1 else None)
    request = BuildRequest("decoder", "tensorrt-rtx", "decoder.onnx", "decoder.plan")
    compiled = Compiled("decoder", "trt", "decoder", built_report(request), found)
    assert DEMO_HYBRID.decoder.layers == 5
    assert compiled.has_fused_attention(DEMO_HYBRID) is is_fused


def fused(layers: int | None) -> ProfileReport:
    return ProfileReport(0, None, None, None, None, None, None, None, layers, False)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_graphs_say_only_what_their_dialect_allows(bundle: Bundle, dialect: Dialect) -> None:
    for entry in bundle.manifest.graphs:
        check_grammar(bundle.onnx_file(entry), entry)
    operators = {
        node.op_type
        for entry in bundle.manifest.graphs
        if entry.dialect == dialect
        for node in bundle.onnx_file(entry).nodes
    }
    modern = {"Attention", "RotaryEmbedding", "RMSNormalization", "TensorScatter"}
    assert operators & modern == (modern if dialect == "trt" else set())
    assert not any(name.startswith("Scatter") for name in operators)
