"""How likely a token was, as the model has it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.chance import LEAST, score_from_logits
from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.request import Request
from edge_runtime.sampling import Logits


def logits(*values: float) -> Logits:
    return np.array(values, dtype=np.float32)


def test_a_chance_is_the_logarithm_of_a_share_of_the_whole() -> None:
    score = score_from_logits(logits(0, math.log(3), -50), 0, 2)
    assert score.chosen.id == 0 and score.chosen.logprob == pytest.approx(math.log(0.25), abs=1e-7)
    assert [each.id for each in score.likeliest] == [1, 0]
    assert score.likeliest[0].logprob == pytest.approx(math.log(0.75), abs=1e-7)


def test_the_chosen_token_is_told_however_unlikely_and_not_twice_counted() -> None:
    score = score_from_logits(logits(5, 4, 3, 2, 1), 4, 3)
    assert score.chosen.id == 4 and [each.id for each in score.likeliest] == [0, 1, 2]
    assert score_from_logits(logits(5, 4), 1, 0).likeliest == ()


def test_of_equal_ones_the_lowest_ids_are_told_in_order() -> None:
    score = score_from_logits(logits(1, 2, 2, 2, 2), 1, 3)
    assert [each.id for each in score.likeliest] == [1, 2, 3]


def test_more_than_there_are_is_all_of_them() -> None:
    assert [each.id for each in score_from_logits(logits(1, 3, 2), 0, 20).likeliest] == [1, 2, 0]


def test_what_cannot_be_is_told_as_a_number_that_json_has() -> None:
    score = score_from_logits(logits(0, -3e38), 1, 2)
    assert score.chosen.logprob == score.likeliest[1].logprob == LEAST
    assert json.loads(json.dumps(score, allow_nan=False))[0] == [1, LEAST]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_a_fault(value: float) -> None:
    with pytest.raises(MachineFault) as caught:
        score_from_logits(logits(0, value), 0, 1)
    assert caught.value.code == "EVL-LOGITS-NONFINITE"


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=60), st.integers(0, 20))
def test_chances_fall_are_at_most_certain_and_are_those_of_a_sort(values: list[float], count: int) -> None:
    found = logits(*values)
    score = score_from_logits(found, int(found.argmin()), count)
    told = [each.logprob for each in score.likeliest]
    assert told == sorted(told, reverse=True) and all(LEAST <= each <= 0 for each in told)
    assert [each.id for each in score.likeliest] == np.argsort(-found, kind="stable")[:count].tolist()
    if count >= len(values):
        assert math.fsum(map(math.exp, told)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("wrong", [-1, 21, True, 1.0, "3"])
def test_logprobs_out_of_range_are_named(wrong: object) -> None:
    with pytest.raises(EdgeVLError) as caught:
        Request(logprobs=wrong)  # type: ignore[arg-type]
    assert caught.value.code == "EVL-LOGPROBS"
