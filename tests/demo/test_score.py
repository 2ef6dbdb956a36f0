"""An answer is right or wrong by one rule, and shares are of what was asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.data.scene import box_text
from demo.score import Corners, box_from_text, iou_of, outcome_of, score_from_outcomes

SQUARE = "[100,100,300,300]"


@st.composite
def boxes(draw: st.DrawFn) -> Corners:
    left, right = sorted(draw(st.lists(st.integers(0, 999), min_size=2, max_size=2, unique=True)))
    top, bottom = sorted(draw(st.lists(st.integers(0, 999), min_size=2, max_size=2, unique=True)))
    return left, top, right, bottom


def test_an_answer_is_right_when_it_is_equal_but_for_space_around_it() -> None:
    assert outcome_of("code", "?", "K7P", " K7P\n").is_right
    assert not outcome_of("code", "?", "K7P", "K7P.").is_right
    assert not outcome_of("code", "?", "K7P", "k7p").is_right
    assert not outcome_of("code", "?", "K7P", "").is_right


def test_only_boxes_have_an_iou() -> None:
    assert outcome_of("code", "?", SQUARE, SQUARE).iou is None
    assert outcome_of("box", "?", SQUARE, SQUARE).iou == 1.0


@pytest.mark.parametrize(
    ("got", "iou", "is_right"),
    [
        ("[100,100,300,200]", 0.5, True),
        ("[100,100,300,199]", 0.495, False),
        ("[100,100,500,300]", 0.5, True),
        ("[200,200,400,400]", 1 / 7, False),
        ("[300,100,500,300]", 0.0, False),
        ("[600,600,700,700]", 0.0, False),
    ],
)
def test_a_box_is_right_from_half_the_shared_area_on(got: str, iou: float, is_right: bool) -> None:
    outcome = outcome_of("box", "?", SQUARE, got)
    assert outcome.iou == pytest.approx(iou)
    assert outcome.is_right == is_right


@pytest.mark.parametrize(
    "got",
    ["", "100,100,300,300", "[100,100,300]", "[100,100,300,300", "[100,100,300,300,1]", "[1000,0,1001,9]",
     "[300,100,100,300]", "[100,100,100,300]", "[100,100,300,-300]", "the box [100,100,300,300]", "[a,b,c,d]",
     "[١٠٠,١٠٠,٣٠٠,٣٠٠]"],
)  # fmt: skip
def test_what_is_no_box_is_wrong_and_covers_nothing(got: str) -> None:
    outcome = outcome_of("box", "?", SQUARE, got)
    assert (outcome.is_right, outcome.iou) == (False, 0.0)


def test_spaces_in_a_box_and_leading_zeros_change_nothing() -> None:
    assert box_from_text(" [ 007, 50,100 ,999] ") == (7, 50, 100, 999)


def test_the_boxes_of_scenes_are_boxes() -> None:
    assert box_from_text(box_text((0.0, 19.2, 96.0, 192.0))) == (0, 100, 500, 999)


@given(one=boxes(), other=boxes())
def test_iou_is_the_share_of_cells_on_a_grid(one: Corners, other: Corners) -> None:
    def shared(axis: int) -> int:
        cells = set(range(one[axis], one[axis + 2])) & set(range(other[axis], other[axis + 2]))
        return len(cells)

    both = shared(0) * shared(1)
    either = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - both
    assert iou_of(one, other) == iou_of(other, one) == pytest.approx(both / either)


def test_shares_are_by_task_and_over_all_questions() -> None:
    outcomes = [
        outcome_of("mine", "a", "x", "x"),
        outcome_of("box", "b", SQUARE, SQUARE),
        outcome_of("box", "c", SQUARE, "[100,100,300,150]"),
        outcome_of("box", "d", SQUARE, "nowhere"),
        outcome_of("colour", "e", "red", "blue"),
    ]
    score = score_from_outcomes(outcomes)
    assert list(score.tasks.items()) == [
        ("colour", 0.0),
        ("box", pytest.approx(1 / 3, abs=1e-6)),
        ("mine", 1.0),
    ]
    assert score.counts == {"colour": 1, "box": 3, "mine": 1}
    assert (score.n, score.overall) == (5, 0.4)
    assert score.box_iou == pytest.approx((1 + 0.25 + 0) / 3, abs=1e-6)


def test_without_boxes_there_is_no_mean_iou() -> None:
    assert score_from_outcomes([outcome_of("colour", "?", "red", "red")]).box_iou is None
