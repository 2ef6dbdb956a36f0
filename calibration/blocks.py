"""Weights as integers and scales, rounded to nearest; everything symmetric, so there are no zero points."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from calibration.decision import INT8_LIMIT, Int4, Int8
from edge_runtime.errors import EdgeVLError

Weight = npt.NDArray[np.floating[Any]]  # (K, N), fp16 or fp32
Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int8]

# With these a step is as narrow as it can be while no weight is further than half a step from an integer:
# 0.65 to 0.95 dB better than absmax/7 on normal, Laplace and t(5) weights, in blocks of 32 and of 128.
INT4_LOWEST, INT4_HIGHEST = -8, 7
INT4_REACH_BELOW, INT4_REACH_ABOVE = 8.5, 7.5

CHUNK_ELEMENTS = 1 << 20  # what is held as fp32 at a time

# Engines refuse a scale of zero; all-zero blocks get the least one that survives where subnormals do not.
LEAST_SCALES = {
    np.dtype(np.float16): np.finfo(np.float16).smallest_subnormal,  # products of fp16 keep subnormals
    np.dtype(np.float32): np.finfo(np.float32).tiny,
}


@dataclass(frozen=True, eq=False)
class Quantised:
    """weight[k, n] = integers[k, n] * scale, where the scale is scales[k // block, n], or scales[n] for all of K."""

    bits: int
    integers: Integers  # (K, N)
    scales: Weight  # (K / block, N) or (N,), in the type of the weight

    def __post_init__(self) -> None:
        rows, columns = self.integers.shape
        is_blocked = self.scales.ndim == 2
        assert self.scales.shape[-1] == columns and self.bits in (4, 8)
        assert not is_blocked or rows % self.scales.shape[0] == 0

    @property
    def block(self) -> int | None:
        """Rows that share a scale; None where a whole column does."""
        return self.integers.shape[0] // self.scales.shape[0] if self.scales.ndim == 2 else None


def quantised_from_weight(name: str, weight: Weight, how: Int4 | Int8) -> Quantised:
    """`weight` (K, N) rounded to nearest; K must be a multiple of the block. Scales have the weight's type.

    `name` is the layer's; a value that is no finite number is an EdgeVLError with it. No copy of the weight is made.
    """
    if isinstance(how, Int4):
        return int4_from_weight(name, weight, how.block)
    return int8_from_weight(name, weight)


def int4_from_weight(name: str, weight: Weight, block: int) -> Quantised:
    rows, columns = weight.shape
    assert rows % block == 0, f"{name}: {rows} rows in blocks of {block}"
    integers = np.empty((rows, columns), np.int8)
    scales = np.empty((rows // block, columns), weight.dtype)
    for part in row_chunks(rows, columns, block):
        blocks = weight[part].astype(np.float32).reshape(-1, block, columns)
        low, high = extremes(name, blocks, axis=1)
        steps = np.maximum(high / INT4_REACH_ABOVE, low / -INT4_REACH_BELOW)
        found = scales_from_steps(steps, weight.dtype, -INT4_LOWEST)
        scales[part.start // block : part.stop // block] = found
        rounded = rounded_in_place(blocks, found[:, None], INT4_LOWEST, INT4_HIGHEST)
        integers[part] = rounded.reshape(-1, columns)
    return Quantised(4, integers, scales)


def int8_from_weight(name: str, weight: Weight) -> Quantised:
    rows, columns = weight.shape
    largest = np.zeros(columns, np.float32)
    for part in row_chunks(rows, columns):
        low, high = extremes(name, weight[part].astype(np.float32), axis=0)
        largest = np.maximum(largest, np.maximum(high, -low))
    scales = scales_from_steps(largest / np.float32(INT8_LIMIT), weight.dtype, INT8_LIMIT)
    integers = np.empty((rows, columns), np.int8)
    for part in row_chunks(rows, columns):
        values = weight[part].astype(np.float32)
        integers[part] = rounded_in_place(values, scales, -INT8_LIMIT, INT8_LIMIT)
    return Quantised(8, integers, scales)


def row_chunks(rows: int, columns: int, block: int = 1) -> Iterator[slice]:
    """Whole blocks of rows, as many as fit the chunk."""
    step = max(1, CHUNK_ELEMENTS // (columns * block)) * block
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def extremes(name: str, values: Floats, axis: int) -> tuple[Floats, Floats]:
    low, high = values.min(axis=axis), values.max(axis=axis)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):  # NaN passes through both
        count = int(np.count_nonzero(~np.isfinite(values)))
        what, why = (
            f"the tensor {name}.weight cannot be quantised",
            f"{count} or more of its values are no finite numbers",
        )
        raise EdgeVLError("EVL-QUANT-WEIGHT", what, why, "export the bundle again from a sound checkpoint")
    return low, high


def scales_from_steps(steps: npt.ArrayLike, dtype: np.dtype[Any], largest: int) -> Weight:
    """Rounded up to `dtype`, so that what the steps cover stays covered, and never zero.

    Nor is a scale so wide that the integer `largest` times it overflows the type.
    """
    exact = np.asarray(steps, np.float32)
    limit = float(np.finfo(dtype).max) / largest
    most = dtype.type(limit)
    if float(most) > limit:
        most = np.nextafter(most, dtype.type(0))
    with np.errstate(under="ignore", over="ignore"):
        scales = exact.astype(dtype)
    is_short = scales.astype(np.float32) < exact
    above = np.nextafter(scales, dtype.type(np.inf))
    least = dtype.type(LEAST_SCALES[dtype])
    enough: Weight = np.clip(np.where(is_short, above, scales), least, most)
    return enough


def rounded_in_place(values: Floats, scales: Weight, lowest: int, highest: int) -> Integers:
    """`values` is used up. The scales are those that engines multiply with, already rounded to their type."""
    np.divide(values, scales.astype(np.float32), out=values)
    np.rint(values, out=values)
    np.clip(values, lowest, highest, out=values)
    return values.astype(np.int8)


def weight_from_quantised(quantised: Quantised) -> Weight:
    """The weight as engines see it, (K, N) in the type of the scales."""
    rows, columns = quantised.integers.shape
    wide = quantised.integers.astype(np.float32).reshape(-1, quantised.block or rows, columns)
    scales = quantised.scales.astype(np.float32).reshape(-1, 1, columns)
    weight: Weight = (wide * scales).reshape(rows, columns).astype(quantised.scales.dtype)
    return weight


def sqnr_db_of(weight: Weight, quantised: Quantised) -> float | None:
    """The power of the weight over that of what rounding lost, in decibels; None where nothing was lost."""
    rows, columns = weight.shape
    block = quantised.block or rows
    scales, power, lost = quantised.scales.reshape(-1, columns), 0.0, 0.0
    for part in row_chunks(rows, columns):
        wide = weight[part].astype(np.float32)
        power += float(np.vdot(wide, wide))
        steps = scales[np.arange(part.start, part.stop) // block].astype(np.float32)
        wide -= quantised.integers[part] * steps
        lost += float(np.vdot(wide, wide))
    return 10 * math.log10(power / lost) if power and lost else None


def packed_from_int4(integers: Integers) -> npt.NDArray[np.uint8]:
    """Two to a byte in row-major order, the first in the low half, as ONNX stores INT4."""
    flat: npt.NDArray[np.uint8] = integers.reshape(-1).view(np.uint8)
    packed = flat[0::2] & np.uint8(0x0F)
    packed[: flat.size // 2] |= flat[1::2] << np.uint8(4)
    return packed


def int4_from_packed(packed: npt.NDArray[np.uint8], count: int) -> Integers:
    """The first `count` integers of what `packed_from_int4` made."""
    flat = np.empty(packed.size * 2, np.int8)
    flat[0::2] = packed.view(np.int8) << 4
    flat[1::2] = packed.view(np.int8)
    integers: Integers = (flat >> 4)[:count]  # the shift of signed bytes carries the sign down
    return integers
