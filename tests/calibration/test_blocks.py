from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from calibration import blocks
from calibration.blocks import (
    Quantised,
    covered_from_weight,
    int4_from_packed,
    int4_from_weight,
    int8_from_weight,
    packed_from_int4,
    quantised_from_weight,
    sqnr_db_of,
)
from calibration.decision import BLOCKS, Int4, Int8
from edge_runtime.errors import EdgeVLError
from tests.calibration.restored import weight_from_quantised
from tests.calibration.twin import dequantised_twin, int4_twin, int8_twin, packed_twin

Array = npt.NDArray[Any]
DTYPES = (np.float16, np.float32)
FEW = settings(max_examples=40, deadline=None)


@st.composite
def weights(draw: st.DrawFn, rows: st.SearchStrategy[int]) -> Array:
    """Few columns of everything: constants, zeros, subnormals, and outliers beside small values."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = (draw(rows), draw(st.integers(1, 5)))
    limit = float(np.finfo(np.float16).max)
    values = st.floats(-limit, limit, width=16) | st.floats(-1, 1, width=16) | st.just(0.0)
    scattered = hnp.arrays(dtype, shape, elements=values, fill=st.sampled_from([0.0, 1.0, -0.03125]))
    return np.asarray(draw(scattered))


BLOCKED = weights(st.sampled_from([32, 64]))


@FEW
@given(BLOCKED)
def test_int4_agrees_with_its_twin(weight: Array) -> None:
    found = int4_from_weight("q", weight, 32)
    integers, scales = int4_twin(weight, 32, shares=(1, 0.92, 0.84))
    np.testing.assert_array_equal(found.integers, integers)
    np.testing.assert_array_equal(found.scales, scales)


@FEW
@given(BLOCKED)
def test_int4_that_cuts_nothing_agrees_with_its_twin(weight: Array) -> None:
    found = covered_from_weight("q", weight, Int4(32))
    integers, scales = int4_twin(weight, 32)
    np.testing.assert_array_equal(found.integers, integers)
    np.testing.assert_array_equal(found.scales, scales)


@FEW
@given(weights(st.integers(1, 40)))
def test_8_bits_cut_nothing_either_way(weight: Array) -> None:
    one, other = (quantise("q", weight, Int8()) for quantise in (quantised_from_weight, covered_from_weight))
    np.testing.assert_array_equal(one.integers, other.integers)
    np.testing.assert_array_equal(one.scales, other.scales)


@FEW
@given(weights(st.integers(1, 40)))
def test_int8_agrees_with_its_twin(weight: Array) -> None:
    found = int8_from_weight("q", weight)
    integers, scales = int8_twin(weight)
    np.testing.assert_array_equal(found.integers, integers)
    np.testing.assert_array_equal(found.scales, scales)


def moved_in_steps(weight: Array, quantised: Quantised) -> Array:
    """How far each weight is from what it has become, outwards where that is positive, (B, block, N)."""
    columns = weight.shape[1]
    steps = quantised.scales.astype(np.float64).reshape(-1, 1, columns)
    wide = weight.astype(np.float64).reshape(steps.shape[0], -1, columns) / steps
    integers = quantised.integers.astype(np.float64).reshape(wide.shape)
    return np.asarray((wide - integers) * np.where(wide < 0, -1, 1))


@FEW
@given(BLOCKED, st.sampled_from([Int4(32), Int8()]))
def test_no_weight_moves_by_more_than_half_a_step_where_nothing_is_to_be_cut(
    weight: Array, how: Int4 | Int8
) -> None:
    weight = weight * weight.dtype.type(0.875)  # the largest fp16 itself has no room for wider steps
    moved = moved_in_steps(weight, covered_from_weight("q", weight, how))
    assert (np.abs(moved) <= 0.5 + 1e-6).all()  # the quotient is taken in fp32


@FEW
@given(BLOCKED)
def test_only_a_4_bit_weight_beyond_the_range_moves_by_more_than_half_a_step(weight: Array) -> None:
    weight = weight * weight.dtype.type(0.875)  # the largest fp16 itself has no room for wider steps
    found = int4_from_weight("q", weight, 32)
    moved = moved_in_steps(weight, found)
    ends = ((-8, 8.5 / 0.84 - 8), (7, 7.5 / 0.84 - 7))  # how far the narrowest step leaves a weight outside
    reach = np.full(weight.shape, 0.5)
    for integer, most in ends:
        reach[found.integers == integer] = most
    assert (moved >= -0.5 - 1e-6).all()  # the quotient is taken in fp32
    assert (moved <= reach.reshape(moved.shape) + 1e-6).all()


@FEW
@given(BLOCKED)
def test_no_block_loses_more_than_with_the_step_that_cuts_nothing(weight: Array) -> None:
    found, covering = int4_from_weight("q", weight, 32), Quantised(4, *int4_twin(weight, 32))
    ours, widest = (
        (moved_in_steps(weight, each) ** 2).sum(axis=1) * each.scales.astype(np.float64) ** 2
        for each in (found, covering)
    )
    slack = 1e-9 * covering.scales.astype(np.float64) ** 2  # errors are compared in fp32
    assert (ours <= widest * (1 + 1e-5) + slack).all()


def test_each_of_the_steps_is_the_best_for_some_block() -> None:
    weight = np.random.default_rng(4).standard_normal((128, 200)).astype(np.float32)
    found = int4_from_weight("q", weight, 128).scales
    widest = int4_twin(weight, 128)[1]
    shares, counts = np.unique((found / widest).round(4), return_counts=True)
    np.testing.assert_array_equal(shares, np.array([0.84, 0.92, 1], np.float32))
    assert counts.min() > 10


@FEW
@given(BLOCKED, st.sampled_from([Int4(32), Int8()]))
def test_a_quantised_weight_is_given_back_as_its_twin_gives_it(weight: Array, how: Int4 | Int8) -> None:
    found = quantised_from_weight("q", weight, how)
    again = weight_from_quantised(found)
    assert again.dtype == weight.dtype
    np.testing.assert_array_equal(again, dequantised_twin(found.integers, found.scales))


@pytest.mark.parametrize("how", [Int4(32), Int8()])
@pytest.mark.parametrize("dtype", DTYPES)
def test_zeros_stay_zeros_and_keep_a_positive_scale(how: Int4 | Int8, dtype: type[np.floating[Any]]) -> None:
    found = quantised_from_weight("q", np.zeros((64, 3), dtype), how)
    assert (found.scales > 0).all()
    assert not weight_from_quantised(found).any()


@pytest.mark.parametrize("how", [Int4(32), Int8()])
@pytest.mark.parametrize("value", [1.0, -1.0, 0.0007, -3e-7, 60000.0])
def test_a_constant_is_kept_to_within_half_a_step(how: Int4 | Int8, value: float) -> None:
    weight = np.full((64, 2), value, np.float16)
    found = quantised_from_weight("q", weight, how)
    moved = weight_from_quantised(found).astype(np.float64) - weight
    assert np.abs(moved).max() <= float(found.scales.max()) * 0.501  # and the product is rounded to fp16


def test_an_outlier_costs_its_own_block_alone() -> None:
    weight = np.random.default_rng(0).standard_normal((128, 2)).astype(np.float32)
    calm = int4_from_weight("q", weight, 32)
    weight[40, 1] = 1000
    shaken = int4_from_weight("q", weight, 32)
    is_touched = np.zeros((4, 2), bool)
    is_touched[1, 1] = True
    np.testing.assert_array_equal(shaken.scales != calm.scales, is_touched)


@pytest.mark.parametrize("how", [Int4(32), Int8()])
def test_the_largest_numbers_of_the_type_do_not_become_infinite(how: Int4 | Int8) -> None:
    weight = np.full((32, 2), np.finfo(np.float16).max, np.float16)
    weight[::2] *= -1
    again = weight_from_quantised(quantised_from_weight("q", weight, how)).astype(np.float32)
    assert np.isfinite(again).all()
    assert np.abs(again).min() > 57000


@pytest.mark.parametrize("block", BLOCKS)
def test_the_wider_range_beats_absmax_over_seven(block: int) -> None:
    weight = np.random.default_rng(1).standard_normal((512, 64)).astype(np.float32)
    blocked = weight.reshape(-1, block, 64)
    step = (np.abs(blocked).max(axis=1, keepdims=True) / 7).astype(np.float16).astype(np.float32)
    narrow = (np.rint(blocked / step) * step).reshape(weight.shape)
    found = weight_from_quantised(int4_from_weight("q", weight, block))
    gain_db = 10 * np.log10(((narrow - weight) ** 2).sum() / ((found - weight) ** 2).sum())
    assert gain_db > 0.5


@pytest.mark.parametrize("how", [Int4(32), Int8()])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_finite_number_is_an_error_with_the_tensors_name(how: Int4 | Int8, bad: float) -> None:
    weight = np.zeros((64, 4), np.float16)
    weight[33, 2] = bad
    with pytest.raises(EdgeVLError, match=r"blocks\.3\.q\.weight") as caught:
        quantised_from_weight("blocks.3.q", weight, how)
    assert caught.value.code == "EVL-QUANT-WEIGHT"


@pytest.mark.parametrize("how", [Int4(32), Int8()])
def test_pieces_of_a_weight_come_to_the_same_as_the_whole(
    how: Int4 | Int8, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = np.random.default_rng(2).standard_normal((224, 6)).astype(np.float16)
    whole = quantised_from_weight("q", weight, how)
    monkeypatch.setattr(blocks, "CHUNK_ELEMENTS", 400)
    pieces = quantised_from_weight("q", weight, how)
    np.testing.assert_array_equal(pieces.integers, whole.integers)
    np.testing.assert_array_equal(pieces.scales, whole.scales)


@pytest.mark.parametrize("how", [Int4(32), Int8()])
def test_columns_by_themselves_come_to_the_same_as_together(how: Int4 | Int8) -> None:
    weight = np.random.default_rng(3).standard_normal((64, 6)).astype(np.float16)
    whole = quantised_from_weight("head", weight, how)
    parts = [quantised_from_weight("head", weight[:, part], how) for part in (slice(4), slice(4, 6))]
    np.testing.assert_array_equal(np.concatenate([part.integers for part in parts], axis=1), whole.integers)
    np.testing.assert_array_equal(np.concatenate([part.scales for part in parts], axis=-1), whole.scales)


@FEW
@given(hnp.arrays(np.int8, hnp.array_shapes(max_dims=2, max_side=9), elements=st.integers(-8, 7)))
def test_packed_integers_are_the_twins_bytes_and_come_back(integers: Array) -> None:
    packed = packed_from_int4(integers)
    assert packed.tobytes() == packed_twin(integers)
    np.testing.assert_array_equal(int4_from_packed(packed, integers.size), integers.reshape(-1))


@pytest.mark.parametrize("how", [Int4(32), Int8()])
def test_the_ratio_of_signal_and_loss_is_that_of_the_numbers(how: Int4 | Int8) -> None:
    weight = np.random.default_rng(3).standard_normal((96, 20)).astype(np.float16)
    quantised = quantised_from_weight("layer", weight, how)
    wide = weight.astype(np.float64)
    lost = wide - dequantised_twin(quantised.integers, quantised.scales)
    wanted = 10 * np.log10((wide**2).sum() / (lost**2).sum())
    found = sqnr_db_of(weight, quantised)
    assert found == pytest.approx(wanted, abs=0.01)


def test_where_nothing_is_lost_there_is_no_ratio() -> None:
    weight = np.array([[-127, 0], [127, 0]], np.float32)
    assert sqnr_db_of(weight, quantised_from_weight("layer", weight, Int8())) is None
