from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from edge_runtime.onnxfile import PAGE_BYTES
from edge_runtime.onnxreader import onnx_file_from_path
from export.graphfile import chunks, ports_of, write_graph, write_table
from export.trace import Signature, Traced, TracePort, trace

SHAPES = {"first": (5, 7), "second": (700, 3), "third": (7,)}
DRAW = torch.Generator().manual_seed(1)
VALUES = {name: torch.randn(shape, generator=DRAW) for name, shape in SHAPES.items()}


class Three(nn.Module):
    first: Tensor
    second: Tensor
    third: Tensor

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        for name, shape in SHAPES.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape, dtype=dtype)))

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = (x @ self.first + self.third).sum() + self.second.sum()
        return x * total


def traced_in(dtype: torch.dtype) -> Traced:
    x, y = TracePort("x", ("batch", 5), dtype), TracePort("y", ("batch", 5), dtype)
    return trace(lambda: Three(dtype), Signature((x,), (y,)), opset=20)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_every_tensor_begins_on_a_page_and_holds_its_values(tmp_path: Path, dtype: torch.dtype) -> None:
    path = tmp_path / "three.onnx"
    ticks: list[int] = []
    write_graph(traced_in(dtype), path, VALUES.__getitem__, ticks.append)
    data = path.with_suffix(".data").read_bytes()
    external = {tensor.name: tensor for tensor in onnx_file_from_path(path, path.name).tensors}
    for name, value in VALUES.items():
        place = external[name].external
        assert place is not None
        assert place.location == "three.data"
        assert place.offset % PAGE_BYTES == 0
        assert external[name].dims == tuple(value.shape)
        wanted = value.to(dtype).numpy()
        found = np.frombuffer(data, wanted.dtype, wanted.size, place.offset)
        assert np.array_equal(found, wanted.ravel())
    assert sum(ticks) == sum(value.numel() for value in VALUES.values()) * dtype.itemsize


def test_data_beyond_the_limit_goes_into_further_files_that_engines_read_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, split = tmp_path / "whole.onnx", tmp_path / "split.onnx"
    write_graph(traced_in(torch.float32), whole, VALUES.__getitem__, lambda _: None)
    monkeypatch.setattr("export.graphfile.DATA_FILE_BYTES", PAGE_BYTES)
    write_graph(traced_in(torch.float32), split, VALUES.__getitem__, lambda _: None)
    assert sorted(path.name for path in tmp_path.glob("split*.data")) == [
        "split.1.data",
        "split.2.data",
        "split.data",
    ]
    feeds = {"x": np.ones((2, 5), np.float32)}
    found, wanted = (onnxruntime.InferenceSession(str(path)).run(None, feeds)[0] for path in (split, whole))
    assert np.array_equal(found, wanted)


def test_the_file_is_an_onnx_model_that_its_own_checker_accepts(tmp_path: Path) -> None:
    path = tmp_path / "three.onnx"
    write_graph(traced_in(torch.float32), path, VALUES.__getitem__, lambda _: None)
    onnx.checker.check_model(str(path), full_check=True)


def test_one_tensor_is_read_at_a_time_and_each_once(tmp_path: Path) -> None:
    asked: list[str] = []

    def read(name: str) -> Tensor:
        asked.append(name)
        return VALUES[name]

    write_graph(traced_in(torch.float32), tmp_path / "three.onnx", read, lambda _: None)
    assert sorted(asked) == sorted(SHAPES)


def test_a_tensor_of_another_size_is_our_own_bug(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="another size"):
        write_graph(
            traced_in(torch.float32), tmp_path / "three.onnx", lambda _: torch.zeros(2), lambda _: None
        )


@pytest.mark.parametrize("source", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_values_are_stored_as_the_reference_takes_them(source: torch.dtype) -> None:
    value = torch.randn(20000, generator=DRAW, dtype=torch.float64).to(source)
    stored = torch.cat([piece for _, piece in chunks(value, torch.float16)])
    assert torch.equal(stored, value.float().half())


def test_a_transposed_view_is_written_row_by_row() -> None:
    value = torch.arange(6, dtype=torch.float32).reshape(2, 3).t()
    stored = torch.cat([piece for _, piece in chunks(value, torch.float32)])
    assert stored.tolist() == [0, 3, 1, 4, 2, 5]


def test_the_table_is_raw_rows_without_a_header(tmp_path: Path) -> None:
    value = torch.randn(4, 3, generator=DRAW)
    with (tmp_path / "embed.bin").open("wb") as file:
        write_table(value, file, torch.float16, lambda _: None)
    found = np.fromfile(tmp_path / "embed.bin", "<f2").reshape(4, 3)
    assert np.array_equal(found, value.half().numpy())


def test_ports_say_types_as_the_manifest_does() -> None:
    x = TracePort("x", ("batch", 5), torch.float16)
    index = TracePort("index", ("batch",), torch.int64)
    inputs, outputs = ports_of(Signature((x, index), (x,)))
    assert [(port.name, port.dtype, port.shape) for port in inputs] == [
        ("x", "float16", ("batch", 5)),
        ("index", "int64", ("batch",)),
    ]
    assert outputs == inputs[:1]
