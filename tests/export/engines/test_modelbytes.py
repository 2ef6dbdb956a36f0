from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from edge_runtime.errors import EdgeVLError
from export.engines.modelbytes import model_with_fixed_shapes
from tests.export.engines import graphs

FIXED = {"past_k": (-1, 4, 2048, 64), "mask": (-1, 2048)}


@pytest.fixture
def model(tmp_path: Path) -> bytes:
    return graphs.cached_attention(tmp_path / "cache.onnx", capacity="capacity").read_bytes()


def dims_of(model: bytes, name: str) -> list[int | str]:
    ports = {port.name: port for port in onnx.load_from_string(model).graph.input}
    return [dim.dim_param or dim.dim_value for dim in ports[name].type.tensor_type.shape.dim]


def test_sizes_are_fixed_and_minus_one_leaves_them(model: bytes) -> None:
    fixed = model_with_fixed_shapes(model, FIXED, "cache.onnx")
    assert dims_of(fixed, "past_k") == ["B", 4, 2048, 64]
    assert dims_of(fixed, "mask") == ["S", 2048]


def test_nothing_else_changes(model: bytes) -> None:
    before, after = (
        onnx.load_from_string(model),
        onnx.load_from_string(model_with_fixed_shapes(model, FIXED, "")),
    )
    for proto in (before, after):
        kept = [port for port in proto.graph.input if port.name not in FIXED]
        del proto.graph.input[:]
        proto.graph.input.extend(kept)
    assert before == after


def test_without_shapes_the_bytes_are_the_same(model: bytes) -> None:
    assert model_with_fixed_shapes(model, {}, "cache.onnx") == model


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({"past_q": (1,)}, "has no input past_q"),
        ({"past_k": (-1, 4, 2048)}, "rank is not 3"),
        ({"past_k": (-1, 4, 2048, 64, 1)}, "rank is not 5"),
        ({"past_k": (-1, 8, 2048, 64)}, "a size is 4 already and cannot become 8"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    model: bytes, shapes: dict[str, tuple[int, ...]], words: str
) -> None:
    with pytest.raises(EdgeVLError, match=words) as caught:
        model_with_fixed_shapes(model, shapes, "cache.onnx")
    assert caught.value.code == "EVL-BUILD-SHAPES"


def test_what_is_no_onnx_file_is_refused() -> None:
    with pytest.raises(EdgeVLError) as caught:
        model_with_fixed_shapes(b"\x3a\xff\xff\x03", FIXED, "junk.onnx")
    assert caught.value.code == "EVL-BUILD-PARSE"
