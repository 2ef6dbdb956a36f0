import pytest

from calibration.decision import Float, Int4, Int8, decision_for_shape
from edge_runtime.errors import EdgeVLError


@pytest.mark.parametrize(
    ("asked", "rows", "given"),
    [(128, 2048, 128), (128, 192, 64), (128, 96, 32), (64, 128, 64), (32, 128, 32), (64, 96, 32)],
)
def test_a_layer_gets_the_largest_block_that_divides_it_and_is_no_larger_than_asked(
    asked: int, rows: int, given: int
) -> None:
    assert decision_for_shape(Int4(asked), rows, 8) == Int4(given)


def test_a_layer_that_no_block_divides_stays_float_and_says_why() -> None:
    decision = decision_for_shape(Int4(128), 48, 8)
    assert isinstance(decision, Float)
    assert decision.reason == "48 rows do not part into blocks of 32"


def test_a_layer_whose_rows_would_share_a_byte_stays_float() -> None:
    decision = decision_for_shape(Int4(32), 64, 7)
    assert isinstance(decision, Float)
    assert "has 7" in decision.reason


@pytest.mark.parametrize("asked", [Float(), Int8(), Int8(0.5)])
def test_other_decisions_fit_every_shape(asked: Float | Int8) -> None:
    assert decision_for_shape(asked, 7, 5) == asked


def test_other_blocks_are_refused() -> None:
    with pytest.raises(EdgeVLError, match="no blocks of 16") as caught:
        Int4(16)
    assert caught.value.code == "EVL-QUANT-BLOCK"


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_scale_is_refused(scale: float) -> None:
    with pytest.raises(EdgeVLError) as caught:
        Int8(scale)
    assert caught.value.code == "EVL-QUANT-SCALE"
