"""What networks ask to be multiplied."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from onnx import helper

from export.engines.products import NetworkProduct, network_products
from tests.export.engines import graphs
from tests.export.engines.conftest import Workshop


def both_kinds(path: Path) -> Path:
    """A transposed convolution, and a sum of products with letters; opset 20, all shapes static."""
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w"], ["h"], name="widen", strides=[2, 2]),
        helper.make_node("Einsum", ["h", "m"], ["y"], name="letters", equation="bchw,wv->bchv"),
    ]
    constants = {
        "w": graphs.weights(8, 8, 2, 2).astype(graphs.NUMPY[graphs.FLOAT]),
        "m": graphs.weights(8, 8).astype(graphs.NUMPY[graphs.FLOAT]),
    }
    ends = [graphs.port("x", graphs.FLOAT, [1, 8, 4, 4]), graphs.port("y", graphs.FLOAT, [1, 8, 8, 8])]
    return graphs.save(path, nodes, ends[:1], ends[1:], constants, 20)


def test_products_are_named_as_in_the_graph_with_the_type_they_are_asked_for_in(workshop: Workshop) -> None:
    report = workshop.built("int8", graphs.int8_and_half, graphs.rows()).report
    assert report.products == (
        NetworkProduct("quantised", "matmul", "half"),
        NetworkProduct("left_in_half", "matmul", "half"),
    )


def test_attention_is_two_products_of_one_node(workshop: Workshop) -> None:
    def draw(path: Path) -> Path:
        return graphs.attention(path, graphs.FLOAT)

    report = workshop.built("float_attention", draw, graphs.tokens_profile()).report
    assert report.products == (NetworkProduct("attention", "matmul", "float"),) * 2


def test_convolutions_either_way_and_sums_of_products_with_letters_are_found_in_the_plan(
    workshop: Workshop,
) -> None:
    patch = workshop.built("patch", graphs.int8_convolution).report
    assert patch.products == (NetworkProduct("patch", "convolution", "half"),)
    built = workshop.built("both_kinds", both_kinds)
    assert {(each.node, each.kind) for each in built.report.products} == {
        ("widen", "convolution"),
        ("letters", "matmul"),
    }
    left = built.plan.profiles[0].layers_left_in("float")
    assert left is not None and set(left) == {"widen", "letters"}, built.plan


def test_a_layer_that_does_not_tell_its_node_has_its_own_name() -> None:
    half = SimpleNamespace(dtype=SimpleNamespace(name="HALF"))
    layer = SimpleNamespace(
        type=SimpleNamespace(name="MATRIX_MULTIPLY"), metadata="", name="product", get_input=lambda _: half
    )
    network = SimpleNamespace(num_layers=1, get_layer=lambda _: layer)
    assert network_products(network) == (NetworkProduct("product", "matmul", "half"),)
