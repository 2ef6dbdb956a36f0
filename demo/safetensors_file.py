"""A safetensors file written tensor by tensor, for checkpoints larger than memory."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

Shape = tuple[int, ...]
Chunks = Callable[[str, Shape], Iterable[bytes]]


def write_safetensors(
    path: Path, shapes: Mapping[str, Shape], dtype: str, item_bytes: int, chunks: Chunks
) -> None:
    """`chunks` gives each tensor's bytes in order; the header comes first, so shapes must be known."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + math.prod(shape) * item_bytes
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            for chunk in chunks(name, shape):
                file.write(chunk)
        assert file.tell() == 8 + len(text) + end, "the chunks do not add up to the shapes"
