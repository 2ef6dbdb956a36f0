"""Towers' scale moved from norms into the layers after them, so that 8 bits hold what those read (SmoothQuant)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from calibration.blocks import Floats, row_chunks
from calibration.datafiles import array_of
from calibration.layer import Layer
from calibration.migration import balanced, raised
from calibration.pairs import Pair


def smoothing_factors(
    pairs: Iterable[Pair], layers: Iterable[Layer], channels: Mapping[str, Floats], strength: float
) -> dict[Pair, Floats]:
    """What each norm's channels are divided by. `channels` is max |x| of layers' input channels.

    max |x|^strength / max |w|^(1 - strength): at 1 all channels reach equally far and weights bear it all. No
    channel comes to reach further than the furthest did, so what fits fp16 goes on fitting it.
    """
    of_layers: dict[str, list[Layer]] = {}
    for layer in layers:
        of_layers.setdefault(layer.name, []).append(layer)
    return {
        pair: factors_from_magnitudes(
            channels[pair.readers[0]],
            np.maximum.reduce([row_maxima(each) for name in pair.readers for each in of_layers[name]]),
            strength,
        )
        for pair in pairs
        if pair.is_norm and channels[pair.readers[0]].any()
    }


def factors_from_magnitudes(inputs: Floats, weights: Floats, strength: float) -> Floats:
    exact = raised(inputs) ** strength / raised(weights) ** (1 - strength)
    found: Floats = np.maximum(balanced(exact), inputs / inputs.max())
    return found


def row_maxima(layer: Layer) -> Floats:
    """max |w| of what each input channel is multiplied with, (K,)."""
    weight = array_of(layer.tensor)
    parts = [np.abs(weight[part].astype(np.float32)).max(axis=1) for part in row_chunks(*weight.shape)]
    found: Floats = np.concatenate(parts)
    return found


def reaches_after(channels: Mapping[str, Floats], factors: Mapping[str, Floats]) -> dict[str, float]:
    """max |x| of every layer's input once its channels are divided by its factors."""
    return {
        name: float((each / factors[name]).max() if name in factors else each.max())
        for name, each in channels.items()
    }
