from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.errors import EdgeVLError
from tests.calibration.reaches import absmax_from_samples
from tests.calibration.toy import LAYERS, Toy


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_ranges_are_the_largest_magnitudes_of_all_samples(
    tmp_path: Path, dtype: type[np.floating[Any]]
) -> None:
    toy = Toy(dtype)
    path = toy.write(tmp_path)
    loud = np.zeros_like(toy.x)
    loud[0, 0, 0] = -9
    found = absmax_from_samples(path, LAYERS, [{"x": toy.x}, {"x": loud}, {"x": toy.x}], threads=1)
    wanted = {name: float(np.abs(x).max()) for name, x in toy.inputs().items()}
    wanted |= {"blocks.0.q": 9.0, "blocks.0.k": 9.0}
    assert found == pytest.approx(wanted, rel=1e-5 if dtype == np.float32 else 3e-3)


def test_only_what_is_asked_for_is_watched(tmp_path: Path) -> None:
    toy = Toy()
    found = absmax_from_samples(toy.write(tmp_path), ["blocks.0.o"], [{"x": toy.x}], threads=1)
    assert list(found) == ["blocks.0.o"]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", [(0, 0, 0), (1, 4, 127), (0, 2, 5)])
def test_a_sample_that_is_no_finite_number_is_named(
    tmp_path: Path, bad: float, place: tuple[int, int, int]
) -> None:
    toy = Toy()
    broken = toy.x.copy()
    broken[place] = bad
    with pytest.raises(EdgeVLError, match=r"sample 2 .* input of blocks\.0\.q") as caught:
        absmax_from_samples(toy.write(tmp_path), LAYERS, [{"x": toy.x}, {"x": broken}], threads=1)
    assert caught.value.code == "EVL-QUANT-SAMPLE"


def test_a_layer_that_no_sample_reached_has_no_range(tmp_path: Path) -> None:
    toy = Toy()
    with pytest.raises(EdgeVLError, match=r"blocks\.0\.q has no range: it was zero"):
        absmax_from_samples(toy.write(tmp_path), LAYERS, [{"x": np.zeros_like(toy.x)}], threads=1)


def test_without_samples_there_are_no_ranges(tmp_path: Path) -> None:
    with pytest.raises(EdgeVLError, match="there were no samples"):
        absmax_from_samples(Toy().write(tmp_path), LAYERS, [], threads=1)


def test_a_layer_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EdgeVLError) as caught:
        absmax_from_samples(Toy().write(tmp_path), ["blocks.1.q"], [], threads=1)
    assert caught.value.code == "EVL-QUANT-LAYER"
