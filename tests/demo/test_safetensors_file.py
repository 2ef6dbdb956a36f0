from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

from demo.safetensors_file import Shape, write_safetensors

SHAPES: dict[str, Shape] = {"a": (2, 3), "scalar": (), "empty": (0, 4), "b": (5,)}


def chunks(name: str, shape: Shape) -> Iterable[bytes]:
    values = np.arange(int(np.prod(shape)), dtype="<f4") + len(name)
    yield values[:1].tobytes()
    yield values[1:].tobytes()


def test_the_library_reads_what_is_written_piece_by_piece(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_safetensors(path, SHAPES, "F32", 4, chunks)
    found = load_file(path)
    assert {name: tensor.shape for name, tensor in found.items()} == SHAPES
    assert found["a"].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert found["b"].tolist() == [1, 2, 3, 4, 5]
    assert found["scalar"] == 6


def test_weights_begin_at_a_multiple_of_eight_and_say_where_they_come_from(tmp_path: Path) -> None:
    for name in ("a", "ab", "abc", "abcd", "abcde", "abcdef", "abcdefg", "abcdefgh"):
        path = tmp_path / name
        write_safetensors(path, {name: (1,)}, "F32", 4, chunks)
        assert int.from_bytes(path.read_bytes()[:8], "little") % 8 == 0
    with safe_open(path, "np") as file:
        assert file.metadata() == {"format": "pt"}
