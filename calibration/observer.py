"""How far 8-bit activations should reach: where to cut a histogram of their magnitudes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from calibration.decision import INT8_LIMIT
from calibration.histogram import BINS, Histogram

Observer = Literal["minmax", "percentile", "entropy", "mse"]
Floats = npt.NDArray[np.float64]

SHARE = 0.9999  # of the values that percentile leaves inside
LEVELS = INT8_LIMIT + 1  # magnitudes that 8 bits tell apart
STEP = 8  # bins between cuts that are tried


def reach_by_percentile(histogram: Histogram) -> float:
    """The largest magnitude, but for the share of values that is left outside. Zeros count: they cost nothing to hold."""
    wanted = SHARE * histogram.total - (histogram.total - int(histogram.counts.sum()))
    cut = int(np.searchsorted(np.cumsum(histogram.counts), max(wanted, 1.0))) + 1
    return min(cut * histogram.width, histogram.largest)


def reach_by_mse(histogram: Histogram) -> float:
    """Where rounding inside and cutting outside cost the least together, squared."""
    middles, counts = histogram.middles, histogram.counts
    cuts = cuts_of(histogram)
    costs = [float(counts @ squared_errors(middles, cut)) for cut in cuts]
    return cuts[int(np.argmin(costs))]


def squared_errors(values: Floats, cut: float) -> Floats:
    step = cut / INT8_LIMIT
    rounded = np.minimum(np.rint(values / step), INT8_LIMIT) * step
    errors: Floats = (values - rounded) ** 2
    return errors


def reach_by_entropy(histogram: Histogram) -> float:
    """Where the distribution that 8 bits can tell differs least from the one there was (KL divergence)."""
    counts = histogram.counts.astype(np.float64)
    # Half of what GELU gives lies in the first bin: within a step of zero at every cut that is tried, so none holds it
    # better than another. Counted in full it decides alone, for the nearest cut, where its bin is a level of its own.
    # Magnitudes of signed values fall evenly from zero on where there is no such pile: nothing changes for them.
    counts[0] = min(counts[0], counts[1])
    cuts = cuts_of(histogram)
    costs = [divergence(counts, round(cut / histogram.width)) for cut in cuts[:-1]]
    # The last cut is the largest value itself, where nothing is outside.
    costs.append(divergence(counts, int(np.flatnonzero(counts)[-1]) + 1))
    return cuts[int(np.argmin(costs))]


def divergence(counts: Floats, bins: int) -> float:
    """Of the first `bins` bins, with all that lies outside in the last of them, from what is left after rounding."""
    wanted = counts[:bins].copy()
    wanted[-1] += counts[bins:].sum()
    level = (np.arange(bins) * LEVELS) // bins
    mass = np.bincount(level, counts[:bins], minlength=LEVELS)
    held = np.bincount(level, counts[:bins] > 0, minlength=LEVELS)
    spread = np.divide(mass, held, out=np.zeros(LEVELS), where=held > 0)[level] * (counts[:bins] > 0)
    if not spread.sum():
        return float("inf")
    p, q = wanted / wanted.sum(), spread / spread.sum()
    is_there = p > 0
    # Values that are only there because they were cut have no place to go: an infinite cost, in the limit.
    q = np.maximum(q, 1e-12)
    return float((p[is_there] * np.log(p[is_there] / q[is_there])).sum())


def cuts_of(histogram: Histogram) -> list[float]:
    """Magnitudes that are tried, the largest value last."""
    edges = np.arange(LEVELS, BINS, STEP) * histogram.width
    return [float(edge) for edge in edges if edge < histogram.largest] + [histogram.largest]


REACHES: Mapping[Observer, Callable[[Histogram], float]] = {
    "minmax": lambda histogram: histogram.largest,
    "percentile": reach_by_percentile,
    "entropy": reach_by_entropy,
    "mse": reach_by_mse,
}


def reach_of(observer: Observer, histogram: Histogram) -> float:
    return REACHES[observer](histogram)
