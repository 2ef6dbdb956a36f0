"""A decoder with layers that fp16 cannot hold: what is left in fp32 is named in each of its engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.manifest import GraphEntry
from export.comparison import synthetic_pictures
from export.engines.compiler import build_engine
from export.engines.inspector import ProfileReport, report_from_plan
from export.engines.request import BuildRequest
from export.engines.serving import Serving, engines_from_graph
from export.exporter import export_bundle
from export.options import ExportOptions
from tests.export.test_islands import Plant, checkpoint_with, large_keys, large_product

CONTEXT = 256


def bundle_with(plant: Plant, dialect: Dialect, folder: Path) -> Bundle:
    options = ExportOptions((dialect,), "fp16", CONTEXT, samples=tuple(synthetic_pictures(2)))
    export_bundle(checkpoint_with(plant, folder), folder / "bundle", options)
    return Bundle.open(folder / "bundle")


def profiles_of(bundle: Bundle, entry: GraphEntry, folder: Path) -> dict[str, ProfileReport]:
    found = {}
    for shape in engines_from_graph(entry, Serving(CONTEXT)):
        plan = folder / f"{shape.name}.plan"
        request = BuildRequest(
            "decoder", "tensorrt-rtx", str(bundle.path_of(entry)), str(plan), shape.profiles
        )
        (found[shape.name],) = report_from_plan(plan, build_engine(request).products).profiles
    assert list(found) == ["decoder.prefill", "decoder.decode"]
    return found


def layers_of(bundle: Bundle, entry: GraphEntry) -> set[str]:
    """Every product with weights, by the graph itself; attention's own have none."""
    file = bundle.onnx_file(entry)
    weights = {tensor.name for tensor in file.tensors}
    return {node.name for node in file.nodes if node.op_type == "MatMul" and weights & {*node.inputs}}


@pytest.mark.parametrize(
    ("plant", "dialect", "left"),
    [
        (large_keys, "trt", None),
        (large_product, "trt10", {"blocks.0.gate/MatMul", "blocks.0.down/MatMul"}),
    ],
)
def test_what_is_left_in_float_is_named_whether_a_step_has_many_rows_or_one(
    plant: Plant, dialect: Dialect, left: set[str] | None, tmp_path: Path, rtx: None
) -> None:
    bundle = bundle_with(plant, dialect, tmp_path)
    entry = bundle.graph("decoder", dialect)
    every = layers_of(bundle, entry)
    assert len(every) == 2 * 7 + 4, every  # two blocks, and the head's four parts
    for name, profile in profiles_of(bundle, entry, tmp_path).items():
        told, halves = profile.layers_left_in("float"), profile.layers_left_in("half")
        assert told is not None and halves is not None, (name, profile.products)
        assert {*told} & every == (every if left is None else left), name
        assert {*halves} == (set() if left is None else every - left), name
