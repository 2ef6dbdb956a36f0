"""Who gives scale to whom, in real graphs and in small ones that must be left alone."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir
import pytest

from calibration.migration import pairs_of
from calibration.pairs import Pair, pairs_from_graph
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.spec import Role
from tests.proof.subject import bundle_below, session_folder

DIALECTS: tuple[Dialect, ...] = ("ort", "trt10", "trt")
MATRIX = "float[2, 2] {}.weight = {{1, 2, 3, 4}}"
RMS = "n = SimplifiedLayerNormalization <axis = -1> (x, n.weight)"


def found_in(steps: Iterable[str], layers: str = "a b", extra: str = "") -> list[Pair]:
    """Of a graph from x to y with matrices by these names and a norm's vectors."""
    tensors = ["float[2] n.weight = {1, 2}", "float[2] n.bias = {0, 1}"]
    tensors += [MATRIX.format(name) for name in layers.split()] + ([extra] if extra else [])
    text = f"""<ir_version: 10, opset_import: ["" : 20]>
    toy (float[3, 2] x) => (float[3, 2] y) <{", ".join(tensors)}> {{ {" ".join(steps)} }}"""
    graph = ir.from_onnx_text(text.replace(".", "__")).graph  # the text form has no dots in names
    for value in list(graph.initializers.values()):
        value.name = str(value.name).replace("__", ".")
    return pairs_from_graph(graph)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_decoder_gives_all_its_layers_scale_in_every_dialect(
    tmp_path_factory: pytest.TempPathFactory, dialect: Dialect
) -> None:
    folder = session_folder(tmp_path_factory)
    bundle = Bundle.open(bundle_below(folder, "hybrid", "fp32", "transformers", dialect))
    found = {pair.giver: pair.readers for pair in pairs_of(bundle, "decoder")}
    block = {"norm1": ("q", "k", "v"), "v": ("o",), "norm2": ("gate", "up"), "up": ("down",)}
    wanted = {
        f"blocks.{number}.{giver}": tuple(f"blocks.{number}.{each}" for each in readers)
        for number in range(2)
        for giver, readers in block.items()
    }
    assert found == wanted | {"norm": ("head",)}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("role", ["vision_low", "vision_high"])
def test_both_norms_of_every_block_of_a_tower_give_scale(
    tmp_path_factory: pytest.TempPathFactory, dialect: Dialect, role: Role
) -> None:
    bundle = Bundle.open(
        bundle_below(session_folder(tmp_path_factory), "hybrid", "fp32", "transformers", dialect)
    )
    found = {pair.giver: pair for pair in pairs_of(bundle, role)}
    count = {"vision_low": 2, "vision_high": 4}[role]  # the high tower pads windows with zeros after its norm
    assert set(found) == {f"blocks.{number}.{norm}" for number in range(count) for norm in ("norm1", "norm2")}
    first = found["blocks.0.norm1"]
    assert first.divided == ("blocks.0.norm1.weight", "blocks.0.norm1.bias")
    assert first.readers == ("blocks.0.qkv",)


def test_values_that_several_heads_share_are_left_alone(tmp_path_factory: pytest.TempPathFactory) -> None:
    bundle = Bundle.open(bundle_below(session_folder(tmp_path_factory), "grouped"))
    givers = {pair.giver for pair in pairs_of(bundle, "decoder")}
    assert "blocks.0.up" in givers and "blocks.0.v" not in givers


def test_a_norm_and_the_layers_that_read_it_are_a_pair() -> None:
    found = found_in([RMS, "p = MatMul (n, a.weight)", "q = MatMul (n, b.weight)", "y = Add (p, q)"])
    assert found == [Pair("n", ("n.weight",), ("a", "b"), is_norm=True)]


def test_the_bias_of_a_norm_is_divided_too() -> None:
    found = found_in(["n = LayerNormalization (x, n.weight, n.bias)", "y = MatMul (n, a.weight)"])
    assert found == [Pair("n", ("n.weight", "n.bias"), ("a",), is_norm=True)]


def test_a_norm_that_is_spelled_out_ends_with_its_weight() -> None:
    assert [pair.giver for pair in found_in(["n = Mul (x, n.weight)", "y = MatMul (n, a.weight)"])] == ["n"]


@pytest.mark.parametrize(
    ("why", "steps"),
    [
        ("someone else reads it", ["p = MatMul (n, a.weight)", "y = Add (n, p)"]),
        ("it bends before it is read", ["r = Relu (n)", "y = MatMul (r, a.weight)"]),
        ("channels are no longer last", ["t = Transpose <perm = [1, 0]> (n)", "y = MatMul (t, a.weight)"]),
        ("the layer reads something else too", ["s = MatMul (n, a.weight)", "y = MatMul (s, a.weight)"]),
        ("it is squared", ["s = Mul (n, n)", "y = MatMul (s, a.weight)"]),
        ("channels are mixed", ["s = Reshape (n, wide)", "y = MatMul (s, a.weight)"]),
        ("it is filled up with ones", ["s = Pad (n, around, one)", "y = MatMul (s, a.weight)"]),
        ("it is a result", ["y = Identity (n)", "z = MatMul (n, a.weight)"]),
    ],
)
def test_a_norm_is_left_alone_where(why: str, steps: list[str]) -> None:
    extra = "int64[1] wide = {-1}, int64[4] around = {0, 0, 1, 0}, float one = {1}"
    assert not found_in([RMS, *steps], "a", extra), why


def test_what_is_filled_up_with_zeros_keeps_its_scale() -> None:
    extra = "int64[4] around = {0, 0, 1, 0}, float zero = {0}"
    steps = [RMS, "s = Pad (n, around, zero)", "y = MatMul (s, a.weight)"]
    assert [pair.readers for pair in found_in(steps, "a", extra)] == [("a",)]


def test_a_norm_whose_weight_is_shared_is_left_alone() -> None:
    steps = [RMS, "y = MatMul (n, a.weight)", "m = SimplifiedLayerNormalization <axis = -1> (y, n.weight)"]
    assert not found_in([*steps, "z = MatMul (m, b.weight)"])


def test_a_gated_product_hands_on_one_of_its_factors() -> None:
    steps = ["g = MatMul (x, a.weight)", "s = Sigmoid (g)", "u = MatMul (x, b.weight)"]
    found = found_in([*steps, "m = Mul (s, u)", "y = MatMul (m, c.weight)"], "a b c")
    assert found == [Pair("b", ("b.weight",), ("c",), is_norm=False)]


def test_a_layer_that_is_multiplied_with_itself_is_left_alone() -> None:
    assert not found_in(["u = MatMul (x, a.weight)", "m = Mul (u, u)", "y = MatMul (m, b.weight)"])
