"""Guessing knows the commonest answers, and nothing of the picture."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from demo.data.scene import Question, Task
from demo.guessing import Guesser, known_questions, main, score_of

KNOWN = [
    Question("colour", "what colour is the star?", "red"),
    Question("colour", "what colour is the star?", "red"),
    Question("colour", "what colour is the star?", "blue"),
    Question("price_tag", "how much is the TEA?", "1.35"),
]


def guess(text: str, task: Task = "colour") -> str:
    return Guesser(KNOWN).guess(Question(task, text, "?"))


def test_the_commonest_answer_to_the_question_to_one_alike_and_of_the_task() -> None:
    assert guess("what colour is the star?") == "red"
    assert guess("how much is the HAM?", "price_tag") == "1.35"
    assert guess("what colour is the ring?") == "red"
    assert guess("what time is it?", "clock") == ""


def test_of_two_that_the_question_names_it_is_the_first() -> None:
    assert guess("which is cheaper, the TEA or the HAM?", "price_tag") == "TEA"
    assert guess("which is larger, the red star or the blue ring?", "size") == "red star"


def test_who_knows_the_answers_of_the_very_questions_is_right_where_they_have_one_answer_only() -> None:
    assert score_of(Guesser(KNOWN), KNOWN).tasks == {"colour": 0.666667, "price_tag": 1.0}


def test_pictures_that_answers_are_counted_in_are_others_than_those_asked_about() -> None:
    held_out = [question.text for question in known_questions("held-out", 3)]
    assert held_out and held_out != [question.text for question in known_questions("train", 3)]


def test_the_command_writes_both_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "guess.json"
    monkeypatch.setattr(sys, "argv", ["guessing", "--limit", "60", "--scenes", "4", "--out", str(out)])
    assert main() == 0
    record = json.loads(out.read_text())
    assert record["training"]["n"] == record["held_out"]["n"] == 60
    assert record["training"]["counts"] == record["held_out"]["counts"]
    assert record["command"] == "python -m demo.guessing --limit 60 --scenes 4"
