"""Which plans share their weights between profiles: by the graph, and by the bytes of what is built of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
import onnx.parser
import pytest

from calibration.decision import Decision, Float, Int4, Int8
from calibration.quantgraph import write_quantised_graph
from demo.random_checkpoint import write_random_checkpoint
from demo.sizes import TINY_IDS, TINY_SIGLIP, DecoderSize, spec_from_parts
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.onnxreader import onnx_file_from_path
from export.engines.compiler import build_engine
from export.engines.inspector import report_from_plan
from export.engines.request import BuildRequest
from export.engines.serving import EngineShape, Serving, engines_from_graph
from export.engines.sharing import has_byte_layers, has_shared_weights
from export.exporter import export_bundle
from export.options import ExportOptions

DIALECTS: tuple[Dialect, ...] = ("trt10", "trt")
CONTEXT = 512
WIDE = DecoderSize(width=384, layers=1, heads=6, mlp_width=1536, vocab=512, max_positions=1024)
LAYERS = tuple(f"blocks.0.{name}" for name in ("q", "k", "v", "o", "gate", "up", "down"))
# What becomes of the layers, and whether one plan holds them once for both of its profiles.
KINDS: dict[str, tuple[Decision, bool]] = {
    "fp16": (Float(), False),
    "8-bit products": (Int8(0.05), False),
    "8-bit weights": (Int8(), True),
    "4-bit weights": (Int4(128), True),
}

BYTE_CACHE = """
<ir_version: 10, opset_import: ["": 20]>
decoder (float16[S,4] x, int8[S,4] past) => (float16[S,4] y, int8[S,4] present)
<float16 step = {1}, int8 zero = {0}, int8[4,4] weight = {1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16}>
{
    unpacked = DequantizeLinear (weight, step)
    q = MatMul (x, unpacked)
    old = DequantizeLinear (past, step, zero)
    new = Add (old, q)
    present = QuantizeLinear (new, step, zero)
    read = DequantizeLinear (present, step, zero)
    turned = Transpose (read)
    scores = MatMul (q, turned)
    attended = MatMul (scores, read)
    y = MatMul (attended, unpacked)
}
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("sharing")
    write_random_checkpoint(spec_from_parts(TINY_SIGLIP, None, WIDE, TINY_IDS), folder / "checkpoint")
    export_bundle(folder / "checkpoint", folder / "bundle", ExportOptions(DIALECTS, "fp16", CONTEXT))
    return Bundle.open(folder / "bundle")


def graph_of(bundle: Bundle, dialect: Dialect, decisions: Mapping[str, Decision], folder: Path) -> Path:
    target = folder / "decoder.onnx"
    write_quantised_graph(bundle.path_of(bundle.graph("decoder", dialect)), target, dialect, decisions)
    return target


def is_shared_in(graph: Path) -> bool:
    return has_shared_weights(onnx_file_from_path(graph, graph.name))


@pytest.mark.parametrize(
    ("decisions", "is_shared"),
    [
        (dict.fromkeys(LAYERS[1:], Int4(128)), True),
        (dict.fromkeys(LAYERS[1:], Int8(0.05)) | {LAYERS[0]: Int4(128), "head": Int8()}, False),
        ({"head": Int8()}, False),
    ],
)
def test_what_most_of_the_weights_are_decides(
    bundle: Bundle, decisions: dict[str, Decision], is_shared: bool, tmp_path: Path
) -> None:
    assert is_shared_in(graph_of(bundle, "trt10", decisions, tmp_path)) == is_shared


@pytest.mark.parametrize(
    ("decisions", "has_bytes"),
    [
        (dict.fromkeys(LAYERS, Int8()), True),
        (dict.fromkeys(LAYERS, Int4(128)) | {LAYERS[4]: Int8()}, True),
        (dict.fromkeys(LAYERS, Int4(128)) | {"head": Int8()}, False),
        (dict.fromkeys(LAYERS, Int8(0.05)) | {"head": Int8()}, False),
        ({"head": Int8()}, False),
    ],
)
def test_bytes_of_a_layer_that_are_multiplied_with_floats_are_seen(
    bundle: Bundle, decisions: dict[str, Decision], has_bytes: bool, tmp_path: Path
) -> None:
    graph = graph_of(bundle, "trt10", decisions, tmp_path)
    assert has_byte_layers(onnx_file_from_path(graph, graph.name)) == has_bytes


@pytest.mark.parametrize("dialect", DIALECTS)
def test_8_bit_weights_of_layers_are_unpacked_where_they_are_multiplied_in_both_profiles(
    bundle: Bundle, rtx: None, dialect: Dialect, tmp_path: Path
) -> None:
    """And not by a kernel of their own, whose floats would take more memory than an fp16 model's weights."""
    graph = graph_of(bundle, dialect, dict.fromkeys((*LAYERS, "head"), Int8()), tmp_path)
    entry, products = bundle.graph("decoder", dialect), []
    for is_open in (True, False):
        (engine,) = engines_from_graph(entry, Serving(CONTEXT, logit_rows=2), True, is_open)
        plan = tmp_path / f"{is_open}.plan"
        request = BuildRequest("decoder", "tensorrt-rtx", str(graph), str(plan), engine.profiles)
        report = build_engine(request)
        products.append(
            [each.products_by_types() for each in report_from_plan(plan, report.products).profiles]
        )
    assert [set(each or ()) for each in products[0]] == [{"half x int8"}] * 2, products
    assert "half x half" in (products[1][1] or {}), (
        "the library learnt it: the second row is not needed any more"
    )


def test_a_cache_of_bytes_is_no_8_bit_product(tmp_path: Path) -> None:
    """Its bytes are unpacked for attention, and they are nobody's weight."""
    onnx.save(onnx.parser.parse_model(BYTE_CACHE), tmp_path / "decoder.onnx")
    assert is_shared_in(tmp_path / "decoder.onnx")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("kind", KINDS)
def test_one_plan_holds_weights_once_where_the_graph_says_so(
    bundle: Bundle, rtx: None, kind: str, dialect: Dialect, tmp_path: Path
) -> None:
    """Measured: what one plan of both profiles saves, against two plans, is the size of its weights or close to none."""
    how, is_shared = KINDS[kind]
    head: Decision = how if kind == "fp16" else Int8()
    graph = graph_of(bundle, dialect, dict.fromkeys(LAYERS, how) | {"head": head}, tmp_path)
    assert is_shared_in(graph) == is_shared
    entry, serving = bundle.graph("decoder", dialect), Serving(CONTEXT)
    (whole,) = engines_from_graph(entry, serving, has_shared_weights=True)
    parts = engines_from_graph(entry, serving, has_shared_weights=False)
    together = plan_bytes(graph, whole)
    apart = sum(plan_bytes(graph, part) for part in parts)
    tensors = onnx_file_from_path(graph, graph.name).initializers
    weights = sum(tensor.nbytes for tensor in tensors if tensor.name.startswith("blocks."))
    saved = (apart - together) / weights
    assert saved > 0.8 if is_shared else saved < 0.3, (apart, together, weights)


def plan_bytes(graph: Path, engine: EngineShape) -> int:
    plan = graph.with_name(f"{engine.name}.plan")
    request = BuildRequest("decoder", "tensorrt-rtx", str(graph), str(plan), engine.profiles)
    return build_engine(request).plan_bytes
