"""What the page says about answers."""

from __future__ import annotations

from tests.calibration.paged import answer, bare, full, part, read


def test_agreement_is_drawn_over_positions_where_the_report_tells_it() -> None:
    answers = [
        answer(tokens=2, agreed=1, kl_at=[0.2, 0.0], differs_at=[1]),
        answer(tokens=3, agreed=3, kl_at=[0.4, 0.2, 0.1], differs_at=[]),
    ]
    every = part(full() | {"answers": answers}, "every position")
    assert "1 2 3.00e-01 nats 100.0% 2 2 1.00e-01 nats 50.0% 3 1 1.00e-01 nats 100.0%" in every


def test_answers_that_there_was_no_room_for_are_only_counted() -> None:
    text = read(full() | {"answers": [], "left_out": {"answers": 7}}).text
    assert "7 more, left out" in text and "not compared" not in text and "How long they say" not in text


def test_without_samples_it_says_so() -> None:
    assert "the two models were not compared" in read(bare()).text
