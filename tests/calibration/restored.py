"""What engines make of integers and scales."""

from __future__ import annotations

import numpy as np

from calibration.blocks import Quantised, Weight


def weight_from_quantised(quantised: Quantised) -> Weight:
    """The weight as engines see it, (K, N) in the type of the scales."""
    rows, columns = quantised.integers.shape
    wide = quantised.integers.astype(np.float32).reshape(-1, quantised.block or rows, columns)
    scales = quantised.scales.astype(np.float32).reshape(-1, 1, columns)
    weight: Weight = (wide * scales).reshape(rows, columns).astype(quantised.scales.dtype)
    return weight
