"""The embedding table in 8 bits: one scale for each row, that is for each token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from calibration.blocks import CHUNK_ELEMENTS, extremes, rounded_in_place, scales_from_steps
from calibration.decision import INT8_LIMIT
from edge_runtime.bundle import Bundle
from edge_runtime.manifest import ScalesEntry, TableEntry

TABLE_PATH, SCALES_PATH = "embed.int8", "embed.scales"


def write_int8_table(bundle: Bundle, folder: Path) -> TableEntry:
    """Rounds the bundle's float table to nearest, some rows at a time. Scales have the table's type."""
    table = bundle.manifest.embedding
    assert table.dtype != "int8", "a quantised table is not quantised again"
    with (folder / TABLE_PATH).open("xb") as rows, (folder / SCALES_PATH).open("xb") as steps:
        for integers, scales in rounded(bundle):
            rows.write(integers.tobytes())
            steps.write(scales.tobytes())
    scales_entry = ScalesEntry(SCALES_PATH, table.dtype)
    return TableEntry(TABLE_PATH, "int8", table.rows, table.width, scales_entry)


def rounded(bundle: Bundle) -> Iterator[tuple[npt.NDArray[np.int8], npt.NDArray[np.floating]]]:
    table, entry = bundle.embedding(), bundle.manifest.embedding
    count = max(1, CHUNK_ELEMENTS // entry.width)
    for start in range(0, entry.rows, count):
        wide = table[np.arange(start, min(start + count, entry.rows))].astype(np.float32)
        low, high = extremes("embed", wide, axis=1)
        scales = scales_from_steps(np.maximum(high, -low) / INT8_LIMIT, np.dtype(entry.dtype), INT8_LIMIT)
        yield rounded_in_place(wide, scales[:, None], -INT8_LIMIT, INT8_LIMIT), scales
