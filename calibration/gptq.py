"""4-bit weights whose rounding errors make up for each other (GPTQ)."""

from __future__ import annotations

import numpy as np

from calibration.blocks import (
    INT4_HIGHEST,
    INT4_LOWEST,
    INT4_SHARES,
    Floats,
    Integers,
    Quantised,
    Weight,
    extremes,
    int4_scales,
    rounded_in_place,
)
from edge_runtime.errors import EdgeVLError

DAMPING = 0.01  # of the mean of the diagonal: keeps what samples never reached from deciding anything


def gptq_from_weight(name: str, weight: Weight, block: int, second_moment: Floats) -> Quantised:
    """`weight` (K, N) in 4 bits; `second_moment` (K, K) is x^T x over the layer's inputs.

    Rows are rounded one after the other; what is lost of one is spread over those that are still to come, as far as
    inputs go together. Scales are those that lose least of what a block has become by then.
    """
    rows, columns = weight.shape
    assert rows % block == 0 and second_moment.shape == (rows, rows), name
    wide = weight.astype(np.float32)
    extremes(name, wide, axis=0)  # refuses what is no finite number
    spread = spreading_from(name, second_moment)
    integers = np.empty((rows, columns), np.int8)
    scales = np.empty((rows // block, columns), weight.dtype)
    for start in range(0, rows, block):
        stop = start + block
        scale = int4_scales(name, wide[None, start:stop], weight.dtype, INT4_SHARES)[0]
        scales[start // block] = scale
        errors = round_block(wide[start:stop], integers[start:stop], scale, spread[start:stop, start:stop])
        # Within the block they were spread at once; beyond it, all of the block's rows together.
        wide[stop:] -= spread[start:stop, stop:].T @ errors
    return Quantised(4, integers, scales)


def round_block(wide: Floats, integers: Integers, scale: Weight, spread: Floats) -> Floats:
    """Fills `integers` (block, N) from `wide`, which is used up; gives the errors that are to be spread further."""
    errors = np.empty_like(wide)
    for row in range(len(wide)):
        integers[row] = rounded_in_place(wide[row].copy(), scale, INT4_LOWEST, INT4_HIGHEST)
        lost = wide[row] - integers[row] * scale.astype(np.float32)
        errors[row] = lost / spread[row, row]
        wide[row + 1 :] -= spread[row, row + 1 :, None] * errors[row]
    return errors


def spreading_from(name: str, second_moment: Floats) -> Floats:
    """The upper Cholesky factor of the inverse: row k says how an error in k is spread over the rows after it."""
    damped = second_moment.astype(np.float64)
    diagonal = damped.diagonal().copy()
    mean = float(diagonal.mean())
    if not np.isfinite(mean) or mean <= 0:
        what, why = (
            f"{name} cannot be rounded with GPTQ",
            "its inputs were zero, or no finite numbers, in every sample",
        )
        raise EdgeVLError("EVL-QUANT-SAMPLE", what, why, "calibrate with other samples, or with --method rtn")
    damped[np.diag_indices_from(damped)] += DAMPING * mean
    factor: Floats = np.ascontiguousarray(np.linalg.cholesky(np.linalg.inv(damped)).T, np.float32)
    return factor
