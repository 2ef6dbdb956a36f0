"""Quantising, one number at a time: slow and obvious."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def scale_at_least(step: Fraction, dtype: np.dtype[Any], largest: int) -> Any:
    """The least positive number of the type that is not below `step`, as far as fp32 tells.

    Where `largest` times it would be beyond the type, the last number with which it is not.
    """
    wanted = np.float32(float(step))
    least = np.finfo(np.float16).smallest_subnormal if dtype == np.float16 else np.finfo(np.float32).tiny
    scale = dtype.type(wanted)
    if np.float32(scale) < wanted:
        scale = np.nextafter(scale, dtype.type(math.inf))
    scale = max(scale, dtype.type(least))
    while Fraction(float(scale)) * largest > Fraction(float(np.finfo(dtype).max)):
        scale = np.nextafter(scale, dtype.type(0))
    return scale


def int4_twin(weight: Array, block: int, shares: Sequence[float] = (1,)) -> tuple[Array, Array]:
    """Of the step that cuts nothing, every share is tried; the first of those with the least error is taken."""
    rows, columns = weight.shape
    integers = np.zeros((rows, columns), np.int8)
    scales = np.zeros((rows // block, columns), weight.dtype)
    for column in range(columns):
        for start in range(0, rows, block):
            values = [weight[row, column] for row in range(start, start + block)]
            above = np.float32(max(values)) / np.float32(7.5)
            below = np.float32(min(values)) / np.float32(-8.5)
            step = max(above, below, np.float32(0))
            tried = [
                scale_at_least(Fraction(float(step * np.float32(share))), weight.dtype, 8) for share in shares
            ]
            lost = [lost_in_steps(values, scale) * squared_ratio(scale, tried[0]) for scale in tried]
            scale = tried[lost.index(min(lost))]
            scales[start // block, column] = scale
            for row, value in enumerate(values, start):
                integers[row, column] = nearest(value, scale, -8, 7)
    return integers, scales


def squared_ratio(scale: np.floating[Any], widest: np.floating[Any]) -> np.float32:
    ratio = np.float32(scale) / np.float32(widest)
    return np.float32(ratio * ratio)


def lost_in_steps(values: Sequence[np.floating[Any]], scale: np.floating[Any]) -> np.float32:
    """The squared error of 4 bits, in squared steps, added up as in a tournament: the first half with the second."""
    errors = [
        np.float32(value) / np.float32(scale) - np.float32(nearest(value, scale, -8, 7)) for value in values
    ]
    squares = [error * error for error in errors]
    while len(squares) > 1:
        half = len(squares) // 2
        squares = [one + other for one, other in zip(squares[:half], squares[half:], strict=True)]
    return np.float32(squares[0])


def int8_twin(weight: Array) -> tuple[Array, Array]:
    rows, columns = weight.shape
    integers = np.zeros((rows, columns), np.int8)
    scales = np.zeros(columns, weight.dtype)
    for column in range(columns):
        largest = np.float32(max(abs(value) for value in weight[:, column])) / np.float32(127)
        scales[column] = scale_at_least(Fraction(float(largest)), weight.dtype, 127)
        for row in range(rows):
            integers[row, column] = nearest(weight[row, column], scales[column], -127, 127)
    return integers, scales


def nearest(value: np.floating[Any], scale: np.floating[Any], lowest: int, highest: int) -> int:
    quotient = float(np.float32(value) / np.float32(scale))
    return min(max(round(quotient), lowest), highest)  # halves go to the even neighbour


def entropy_twin(counts: Sequence[int], width: float, largest: float) -> float:
    """Every 8th bin from the 128th on is tried as the end, and the largest value; the first that costs least is taken."""
    seen = [min(counts[0], counts[1]), *counts[1:]]  # what lies about zero is no reason to cut
    last = max(place for place, count in enumerate(seen) if count)
    ends = [end for end in range(128, len(seen), 8) if end * width < largest]
    reaches = [end * width for end in ends] + [largest]
    costs = [divergence_twin(seen, end) for end in [*ends, last + 1]]
    return reaches[costs.index(min(costs))]


def divergence_twin(counts: Sequence[int], end: int) -> float:
    """In nats, from counts with all beyond `end` in the last bin, to 128 levels, each spread over its bins that are not empty."""
    levels: dict[int, list[int]] = {}
    for place in range(end):
        if counts[place]:
            levels.setdefault(place * 128 // end, []).append(place)
    held = {
        place: sum(counts[each] for each in places) / len(places)
        for places in levels.values()
        for place in places
    }
    wanted = {place: float(counts[place]) for place in held}
    wanted[end - 1] = float(sum(counts[end - 1 :]))
    total_wanted, total_held = sum(wanted.values()), sum(held.values())
    cost = 0.0
    for place, count in wanted.items():
        if count:
            p, q = count / total_wanted, held.get(place, 0.0) / total_held if total_held else 0.0
            cost += p * math.log(p / max(q, 1e-12))
    return cost


def dequantised_twin(integers: Array, scales: Array) -> Array:
    rows, columns = integers.shape
    weight = np.zeros((rows, columns), scales.dtype)
    for row in range(rows):
        for column in range(columns):
            scale = scales[column] if scales.ndim == 1 else scales[row * scales.shape[0] // rows, column]
            weight[row, column] = np.float32(integers[row, column]) * np.float32(scale)
    return weight


def packed_twin(integers: Array) -> bytes:
    halves = [int(value) % 16 for value in integers.reshape(-1)]
    halves += [0] * (len(halves) % 2)
    return bytes(low + 16 * high for low, high in zip(halves[::2], halves[1::2], strict=True))
