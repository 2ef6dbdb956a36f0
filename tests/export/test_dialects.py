"""What TensorRT's dialects give beside the model itself: a head in parts, candidates, a cache of fixed length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from export.dialects.spellings import form_from_dialect
from export.modules.form import DecoderForm
from export.modules.head import SplitHead, column_ranges, part_of_head
from tests.proof.subject import CONTEXT, bundle_below, checkpoint_below, session_folder

DIALECTS: tuple[Dialect, ...] = ("trt10", "trt")
STEPS = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_folder(tmp_path_factory)


@pytest.fixture(scope="module", params=DIALECTS)
def bundle(request: pytest.FixtureRequest, folder: Path) -> Bundle:
    return Bundle.open(bundle_below(folder, "grouped", dialect=request.param))


@given(columns=st.integers(4, 5000), parts=st.integers(1, 4))
def test_parts_of_a_head_cover_its_columns_once_and_evenly(columns: int, parts: int) -> None:
    ranges = column_ranges(columns, parts)
    assert [stop for _, stop in ranges[:-1]] == [start for start, _ in ranges[1:]]
    assert (ranges[0][0], ranges[-1][1], len(ranges)) == (0, columns, parts)
    sizes = [stop - start for start, stop in ranges]
    assert min(sizes) >= 1 and max(sizes) - min(sizes) <= 8
    if columns >= 8 * parts:
        assert all(start % 8 == 0 for start, _ in ranges)


@pytest.mark.parametrize("columns", [102400, 129280, 32000, 1152, 512, 32])
def test_usual_heads_are_cut_into_equal_parts(columns: int) -> None:
    """As in every bundle that was exported before."""
    quarter = columns // 4
    assert column_ranges(columns, 4) == [(start, start + quarter) for start in range(0, columns, quarter)]


@pytest.mark.parametrize("columns", [102402, 102406, 32002, 50258, 34])
def test_no_part_of_a_head_that_could_be_stored_in_4_bits_is_one_that_could_not(columns: int) -> None:
    assert all((stop - start) % 2 == 0 for start, stop in column_ranges(columns, 4))


def test_a_head_in_parts_gives_what_it_gives_whole() -> None:
    torch.manual_seed(0)
    weight = torch.randint(-4, 5, (8, 11)).float()  # whole numbers: sums are exact in any order
    x = torch.randint(-4, 5, (2, 3, 8)).float()
    head = SplitHead(8, 11, 4, torch.float32)
    for part, (start, stop) in zip(head.parameters(), column_ranges(11, 4), strict=True):
        part.data = weight[:, start:stop]
    assert torch.equal(head(x), x @ weight)


def test_only_parts_of_the_head_are_parts_of_the_head() -> None:
    assert [part_of_head(name) for name in ("head.weight_3", "head.weight", "blocks.0.q.weight")] == [
        3,
        None,
        None,
    ]


def test_forms_by_dialect() -> None:
    assert form_from_dialect("ort", 512) == DecoderForm()
    assert form_from_dialect("trt10", 512) == DecoderForm(head_parts=4, candidates=64, capacity=None)
    assert form_from_dialect("trt", 512) == DecoderForm(head_parts=4, candidates=64, capacity=512)


def test_the_head_of_a_bundle_lies_in_four_parts_of_the_checkpoints_columns(bundle: Bundle) -> None:
    stored = {
        tensor.name: tensor
        for tensor in bundle.onnx_file(bundle.graph("decoder", bundle.manifest.dialects[0])).tensors
    }
    parts = [stored[f"head.weight_{index}"].dims for index in range(4)]
    assert sum(columns for _, columns in parts) == bundle.spec.decoder.vocab
    assert "head.weight" not in stored


def feeds_of(bundle: Bundle) -> dict[str, NDArray[Any]]:
    """Five tokens of two sequences into empty caches; two logits of each are asked for."""
    decoder, (dialect,) = bundle.spec.decoder, bundle.manifest.dialects
    rng = np.random.Generator(np.random.PCG64(1))
    cache = (2, decoder.kv_heads, CONTEXT, decoder.head_dim)
    caches = [port for port in bundle.graph("decoder", dialect).inputs if port.name.startswith("past")]
    return {port.name: np.zeros(cache, np.float32) for port in caches} | {
        "inputs_embeds": rng.standard_normal((2, STEPS, decoder.width)).astype(np.float32),
        "write_index": np.zeros(2, np.int64),
        "logit_index": np.array([[0, STEPS - 1], [2, 1]], np.int64),
    }


def test_the_parts_of_a_bundles_head_are_joined_exactly(bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    """To the last bit what one product with the checkpoint's whole head gives for the same tokens."""
    (dialect,) = bundle.manifest.dialects
    path = bundle.path_of(bundle.graph("decoder", dialect))
    model = onnx.load(path)
    (hidden,) = {node.input[0] for node in model.graph.node if part_of_head(node.input[-1]) is not None}
    model.graph.output.append(helper.make_tensor_value_info(hidden, TensorProto.FLOAT, None))
    outputs = session_of(model, tmp_path).run(["logits", hidden], feeds_of(bundle))
    logits, tokens = np.asarray(outputs[0]), np.asarray(outputs[1])
    head = load_file(checkpoint_below(folder, "grouped") / "model.safetensors")["lm_head.weight"].T
    whole = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "whole",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, tokens.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, logits.shape)],
        [numpy_helper.from_array(np.ascontiguousarray(head), "w")],
    )
    opset = [helper.make_opsetid("", 20)]
    (expected,) = session_of(helper.make_model(whole, opset_imports=opset, ir_version=10), tmp_path).run(
        None, {"x": tokens}
    )
    np.testing.assert_array_equal(logits, expected)


def session_of(model: onnx.ModelProto, folder: Path) -> onnxruntime.InferenceSession:
    path = folder / "graph.onnx"
    onnx.save(model, path)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_candidates_are_the_largest_logits_in_order(bundle: Bundle) -> None:
    (dialect,) = bundle.manifest.dialects
    session = OrtBackend(bundle, threads=1, dialect=dialect).session("decoder")
    logits, values, ids = session.run(["logits", "top_values", "top_ids"], feeds_of(bundle))
    count = min(64, bundle.spec.decoder.vocab)
    assert values.shape == ids.shape == (2, 2, count)
    np.testing.assert_array_equal(np.take_along_axis(logits, ids, -1), values)
    np.testing.assert_array_equal(values, -np.sort(-logits, axis=-1)[..., :count])


def test_only_the_dialect_with_a_cache_in_place_says_how_long_it_is(bundle: Bundle) -> None:
    (dialect,) = bundle.manifest.dialects
    (port,) = (
        port for port in bundle.graph("decoder", dialect).inputs if port.name == "past_key_values.0.key"
    )
    assert port.shape[2] == (CONTEXT if dialect == "trt" else "capacity")
