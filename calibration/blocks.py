"""Weights as integers and scales, rounded to nearest; everything symmetric, so there are no zero points."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from calibration.decision import INT8_LIMIT, Int4, Int8
from edge_runtime.errors import EdgeVLError

Weight = npt.NDArray[np.floating[Any]]  # (K, N), fp16 or fp32
Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int8]

# With these the widest step is as narrow as it can be while no weight is further than half a step from an integer:
# 0.65 to 0.95 dB better than absmax/7 on normal, Laplace and t(5) weights, in blocks of 32 and of 128.
INT4_LOWEST, INT4_HIGHEST = -8, 7
INT4_REACH_BELOW, INT4_REACH_ABOVE = 8.5, 7.5

# A narrower step cuts what lies furthest out and rounds all else more finely. Where each block takes the best of
# these, normal weights gain another 0.3 dB in blocks of 128 and 0.04 dB in blocks of 32. Whole columns in 8 bits
# would gain nothing: they have steps enough, and one value cut costs more than all others gain.
INT4_SHARES = (0.92, 0.84)  # of the widest step

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


def covered_from_weight(name: str, weight: Weight, how: Int4 | Int8) -> Quantised:
    """As `quantised_from_weight`, but that no weight is cut.

    For weights of which some matter more than others, as rows do that AWQ made larger: what is cut is the largest.
    """
    if isinstance(how, Int4):
        return int4_from_weight(name, weight, how.block, shares=())
    return int8_from_weight(name, weight)


def int4_from_weight(
    name: str, weight: Weight, block: int, shares: Sequence[float] = INT4_SHARES
) -> Quantised:
    rows, columns = weight.shape
    assert rows % block == 0, f"{name}: {rows} rows in blocks of {block}"
    integers = np.empty((rows, columns), np.int8)
    scales = np.empty((rows // block, columns), weight.dtype)
    for part in row_chunks(rows, columns, block):
        blocks = weight[part].astype(np.float32).reshape(-1, block, columns)
        found = int4_scales(name, blocks, weight.dtype, shares)
        scales[part.start // block : part.stop // block] = found
        rounded = rounded_in_place(blocks, found[:, None], INT4_LOWEST, INT4_HIGHEST)
        integers[part] = rounded.reshape(-1, columns)
    return Quantised(4, integers, scales)


def int4_scales(name: str, blocks: Floats, dtype: np.dtype[Any], shares: Sequence[float]) -> Weight:
    """Of (B, block, N), for each block and column the scale that loses least, (B, N); the widest of those that lose the same.

    `shares` of the widest step, below one and falling, are tried besides it; with none of them nothing is cut. `name`
    is the layer's, as above. Each column is looked at by itself, in sums whose order is fixed: neighbours and the size
    of a chunk change nothing.
    """
    low, high = extremes(name, blocks, axis=1)
    steps = np.maximum(high / INT4_REACH_ABOVE, low / -INT4_REACH_BELOW)
    widest = found = scales_from_steps(steps, dtype, -INT4_LOWEST)
    if not shares:
        return widest
    least = squared_errors(blocks, widest)
    for share in shares:
        tried = scales_from_steps(steps * np.float32(share), dtype, -INT4_LOWEST)
        # Errors are counted in steps: so weights of any size can be squared in fp32.
        ratio = tried.astype(np.float32) / widest.astype(np.float32)
        lost = squared_errors(blocks, tried) * (ratio * ratio)
        found, least = np.where(lost < least, tried, found), np.minimum(lost, least)
    return found


def squared_errors(blocks: Floats, scales: Weight) -> Floats:
    """Of (B, block, N) rounded with the scales (B, N), the sums over the block, (B, N), in squared steps."""
    errors = blocks / scales.astype(np.float32)[:, None]
    nearest = np.rint(errors)
    np.clip(nearest, INT4_LOWEST, INT4_HIGHEST, out=nearest)
    errors -= nearest
    errors *= errors
    left = errors.shape[1]
    assert left.bit_count() == 1, "blocks can be halved down to one row"
    # Numpy's own sum goes by the array's layout, so it is not the same for a part of the columns.
    while left > 1:
        left //= 2
        errors[:, :left] += errors[:, left : 2 * left]
    found: Floats = errors[:, 0].copy()
    return found


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
