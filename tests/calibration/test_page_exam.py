"""What the page says about an exam."""

from __future__ import annotations

from tests.calibration.paged import accuracy, bare, part, read


def test_gained_points_have_a_plus_and_no_difference_no_sign() -> None:
    gained = accuracy(after=0.875, lost_points=-12.5, tasks=[], changed=[])
    assert "8 questions: +12.5 points." in read(bare() | {"accuracy": gained}).text
    same = accuracy(after=0.75, lost_points=-1e-15, tasks=[], changed=[])
    assert "8 questions: no difference." in read(bare() | {"accuracy": same}).text


def test_pictures_of_an_exam_that_could_not_be_opened_are_named() -> None:
    report = bare() | {"accuracy": accuracy(broken=["torn.png: no picture"])}
    assert "could not be opened torn.png: no picture" in part(report, "Right answers")


def test_lines_that_say_the_same_twice_are_named() -> None:
    twice = accuracy(repeated=["exam.jsonl, line 3 repeats exam.jsonl, line 1"])
    told = part(bare() | {"accuracy": twice}, "lines that were counted once")
    assert told.startswith(" exam.jsonl, line 3 repeats")
