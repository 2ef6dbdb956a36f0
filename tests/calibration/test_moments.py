"""What goes together, gathered by running the graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.moments import Moments
from edge_runtime.errors import EdgeVLError
from tests.calibration.test_shrinkage import drawn_twin
from tests.calibration.toy import LAYERS, Toy


@pytest.mark.parametrize("group_bytes", [1, 1 << 30])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_moments_are_those_of_the_inputs_as_far_as_so_few_tell(
    tmp_path: Path, dtype: type[np.floating], group_bytes: int
) -> None:
    toy = Toy(dtype)
    moments = Moments(toy.write(tmp_path), LAYERS, [{"x": toy.x}, {"x": toy.x}], 1, group_bytes)
    for name, x in toy.inputs().items():
        flat = x.reshape(-1, x.shape[-1]).astype(np.float64)
        wanted = drawn_twin(2 * flat.T @ flat, 2 * len(flat))
        found = moments.of(name)
        assert found.dtype == np.float32
        tolerance = (1e-2 if dtype == np.float16 else 1e-4) * np.abs(wanted).max()
        assert np.abs(found - wanted).max() < tolerance, name


def test_a_sample_that_is_no_finite_number_is_named(tmp_path: Path) -> None:
    toy = Toy()
    broken = toy.x.copy()
    broken[0, 1, 1] = np.nan
    moments = Moments(toy.write(tmp_path), LAYERS, [{"x": toy.x}, {"x": broken}], 1)
    with pytest.raises(EdgeVLError, match=r"sample 2 .* blocks\.0\.q"):
        moments.of("blocks.0.q")
