"""Who is let in, and when the others are to come again."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from edge_runtime.server.admission import FIRST_GUESS_S, RETRY_LIMITS_S, Admission, Refusal


def test_slots_and_waiting_places_are_taken_and_then_nobody_is_let_in() -> None:
    admission = Admission(slots=1, waiting=2, tokens=1000)
    with ExitStack() as inside:
        for _ in range(3):
            inside.enter_context(admission.admitted(1, 10))
        with pytest.raises(Refusal, match="3 are being answered or wait"), admission.admitted(1, 10):
            pass
        assert (admission.questions, admission.tokens) == (3, 30)
    assert (admission.questions, admission.tokens) == (0, 0)


def test_room_is_given_back_however_a_request_ends() -> None:
    admission = Admission(slots=1, waiting=0, tokens=10)
    for error in (ValueError, KeyboardInterrupt, Refusal("x", 1.0)):
        with pytest.raises(BaseException), admission.admitted(1, 10):  # noqa: B017, PT011 - every kind of them
            raise error
    with admission.admitted(1, 10):
        assert admission.questions == 1


def test_tokens_of_all_are_bounded() -> None:
    admission = Admission(slots=4, waiting=4, tokens=100)
    with admission.admitted(1, 60):
        with pytest.raises(Refusal, match="about 60 tokens"), admission.admitted(1, 41):
            pass
        with admission.admitted(1, 40):
            assert admission.tokens == 100


def test_an_empty_house_lets_in_what_is_too_large_for_it() -> None:
    admission = Admission(slots=1, waiting=0, tokens=100)
    with admission.admitted(4, 5000):
        assert admission.questions == 4


def test_several_answers_to_one_request_take_as_many_places() -> None:
    admission = Admission(slots=2, waiting=2, tokens=1000)
    with admission.admitted(2, 1), pytest.raises(Refusal), admission.admitted(3, 1):
        pass


def test_an_engine_with_fewer_slots_than_were_asked_for_holds_fewer() -> None:
    admission = Admission(slots=4, waiting=2, tokens=100, slot_tokens=50)
    admission.served(4.0)
    admission.slots_are(1)
    with admission.admitted(3, 150):
        with pytest.raises(Refusal, match="3 are being answered or wait"), admission.admitted(1, 0):
            pass
        assert admission.wait_s == 4.0 * 3
    with admission.admitted(1, 150), pytest.raises(Refusal, match="about 150"), admission.admitted(1, 1):
        pass
    admission.slots_are(4)  # another engine took its place
    with admission.admitted(3, 150), admission.admitted(3, 150):
        assert admission.wait_s == 4.0 * 6 / 4


def test_an_engine_with_more_slots_is_given_no_more_than_was_asked_for() -> None:
    admission = Admission(slots=1, waiting=1, tokens=100)
    admission.slots_are(4)
    with admission.admitted(2, 2), pytest.raises(Refusal), admission.admitted(1, 1):
        pass


def test_when_to_come_again_follows_from_what_answers_took() -> None:
    admission = Admission(slots=2, waiting=0, tokens=1000)
    admission.served(4.0)
    with admission.admitted(2, 1):
        assert admission.retry_after_s == 4.0 * 2 / 2
        admission.served(9.0)
        assert admission.retry_after_s == pytest.approx(5.0)  # the newest counts a fifth
    with admission.admitted(1, 1):
        assert admission.retry_after_s == pytest.approx(2.5)


def test_before_any_answer_a_guess_is_told_and_never_an_absurd_time() -> None:
    admission = Admission(slots=1, waiting=0, tokens=1000)
    assert admission.retry_after_s == FIRST_GUESS_S
    admission.served(1e6)
    assert admission.retry_after_s == RETRY_LIMITS_S[1]
    fast = Admission(slots=1, waiting=0, tokens=1000)
    fast.served(0.0)
    assert fast.retry_after_s == RETRY_LIMITS_S[0]


def test_a_refusal_takes_less_than_a_millisecond() -> None:
    admission = Admission(slots=1, waiting=0, tokens=1000)
    with admission.admitted(1, 1):
        took = []
        for _ in range(50):
            begun = time.perf_counter()
            with pytest.raises(Refusal), admission.admitted(1, 1):
                pass
            took.append(time.perf_counter() - begun)
    assert min(took) < 1e-3


@pytest.mark.parametrize("sizes", [(0, 1, 1), (1, -1, 1), (1, 1, 0)])
def test_a_house_without_room_for_anybody_is_a_bug(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="nobody can be let in"):
        Admission(*sizes)
