"""A whole model of the demo's sizes through NVIDIA's compiler: every role, both TensorRT dialects, no GPU."""

from __future__ import annotations

from dataclasses import replace

import pytest

from calibration.decision import Decision, Int4, Int8
from calibration.quantgraph import write_quantised_graph
from demo.random_checkpoint import write_random_checkpoint
from demo.sizes import DEMO_HYBRID
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.lint import check_grammar
from export.engines.compilation import Compiled, compiled_engines
from export.engines.compiler import build_engine
from export.engines.inspector import ProfileReport, report_from_plan
from export.engines.request import BuildRequest
from export.engines.serving import Serving, engines_from_graph
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


def test_every_role_compiles(compiled: dict[str, Compiled]) -> None:
    towers = ["vision_high", "vision_low", "adaptor"]
    assert list(compiled) == [*towers, "decoder.prefill", "decoder.decode"]


def test_every_attention_layer_is_one_fused_kernel(compiled: dict[str, Compiled]) -> None:
    fused = {name: each.has_fused_attention(DEMO_HYBRID) for name, each in compiled.items()}
    assert all(fused.values()), fused
    assert compiled["vision_high"].plan.profiles[0].fused_attention() == 4  # not nothing of nothing


def test_no_product_is_left_in_fp32_and_no_weight_is_stored_so(compiled: dict[str, Compiled]) -> None:
    for name, each in compiled.items():
        profile = each.plan.profiles[0]
        assert profile.layers_left_in("float") == (), name
        constants = profile.constant_bytes
        assert constants is not None
        assert constants["half"] > 100 * constants.get("float", 0), (name, constants)


def test_the_weights_of_a_plan_are_those_of_its_graph(bundle: Bundle, compiled: dict[str, Compiled]) -> None:
    """Nothing is lost, and nothing is there twice."""
    for each in compiled.values():
        stored = sum(
            tensor.nbytes for tensor in bundle.onnx_file(bundle.graph(each.role, each.dialect)).tensors
        )
        constants = each.plan.profiles[0].constant_bytes
        assert constants is not None
        assert 0.9 * stored < sum(constants.values()) < 1.2 * stored, each.name


def test_one_token_at_a_time_is_compiled_for_itself(compiled: dict[str, Compiled]) -> None:
    decode, prefill = (compiled[f"decoder.{name}"].plan.profiles[0] for name in ("decode", "prefill"))
    assert decode.activation_bytes is not None and prefill.activation_bytes is not None
    assert 5 * decode.activation_bytes < prefill.activation_bytes
    assert decode.attention != prefill.attention  # a product of a matrix and a vector


def test_caches_of_the_newer_dialect_are_written_where_they_are(compiled: dict[str, Compiled]) -> None:
    for name in ("decode", "prefill"):
        each = compiled[f"decoder.{name}"]
        (profile,) = each.plan.profiles
        assert profile.in_place is not None
        wanted = 2 * DEMO_HYBRID.decoder.layers if each.dialect == "trt" else 0  # trt10 has no word for it
        assert len(profile.in_place) == wanted, (each.dialect, name, profile.in_place)


def test_a_build_of_this_size_needs_little_memory(compiled: dict[str, Compiled]) -> None:
    assert max(each.build.peak_held_mib for each in compiled.values()) < 512


@pytest.fixture(scope="module", params=DIALECTS)
def small(
    request: pytest.FixtureRequest, bundle: Bundle, rtx: None, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, ProfileReport]:
    """The engines of a 4-bit decoder with an 8-bit head."""
    source, folder = bundle.graph("decoder", request.param), tmp_path_factory.mktemp(f"int4-{request.param}")
    decisions: dict[str, Decision] = {
        f"blocks.{index}.{name}": Int4(64)
        for index in range(DEMO_HYBRID.decoder.layers)
        for name in ("q", "k", "v", "o", "gate", "up", "down")
    }
    graph = folder / "decoder.onnx"
    write_quantised_graph(bundle.path_of(source), graph, request.param, decisions | {"head": Int8()})
    made = {}
    for engine in engines_from_graph(replace(source, precision="int4"), Serving(CONTEXT)):
        plan = folder / f"{engine.name}.plan"
        build_engine(BuildRequest("decoder", "tensorrt-rtx", str(graph), str(plan), engine.profiles))
        (made[engine.name],) = report_from_plan(plan).profiles
    return made


def test_4_bit_weights_of_a_decoder_are_unpacked_by_the_products_themselves(
    small: dict[str, ProfileReport],
) -> None:
    layers, prefill = DEMO_HYBRID.decoder.layers, small["decoder.prefill"]
    assert prefill.fused_attention() == layers, prefill
    # q, k and v are one product, gate and up are one; so are the head's four parts.
    assert prefill.products_by_types() == {"half x int4": 4 * layers, "half x int8": 1}, prefill.products


def test_the_8_bit_head_of_a_4_bit_decoder_is_one_kernel_that_unpacks_its_weights(
    small: dict[str, ProfileReport],
) -> None:
    assert list(small) == ["decoder.prefill", "decoder.decode"]
    for name, profile in small.items():
        assert profile.fused_attention() == DEMO_HYBRID.decoder.layers, (name, profile)
        assert profile.products is not None
        heads = [each.types for each in profile.products if any("head" in layer for layer in each.layers)]
        assert heads == ["half x int8"], (name, profile.products)
        assert profile.layers_left_in("half") == (), (name, profile.products)


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
