"""Exams: how they are read, and how many of their questions a bundle answers right."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from calibration.desk import Desk
from calibration.evaluation import (
    Evaluation,
    Exam,
    Question,
    Verdict,
    check_exam,
    evaluation_of,
    exam_from_file,
    kept_evaluation,
    lost_points,
)
from calibration.prompts import format_of, tokens_of
from calibration.speaker import TOKENS
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EdgeVLError
from edge_runtime.progress import silent
from edge_runtime.tokenizer import Tokenizer
from tests.calibration.rehearsed import Rehearsed
from tests.proof.subject import session_folder


def line(image: str = "a.png", prompt: str = "what?", answer: str = "a cat") -> dict[str, object]:
    return {"image": image, "prompt": prompt, "answer": answer}


def written(folder: Path, *lines: object) -> Path:
    for index, name in enumerate("ab"):
        Image.new("RGB", (8, 8 + index)).save(folder / f"{name}.png")
    path = folder / "exam.jsonl"
    path.write_text("\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines))
    return path


def test_every_line_is_a_question_with_its_answer(tmp_path: Path) -> None:
    path = written(tmp_path, line(), "", line("b.png", answer="a dog"), line(prompt="where?", answer="here"))
    found = {(each.sample.name, each.sample.prompt): each.answer for each in exam_from_file(path).questions}
    assert found == {("a.png", "what?"): "a cat", ("b.png", "what?"): "a dog", ("a.png", "where?"): "here"}


def test_the_first_by_hash_are_taken_whatever_the_order_of_lines(tmp_path: Path) -> None:
    lines = [line(), line("b.png"), line(prompt="where?")]
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    one = exam_from_file(written(tmp_path / "one", *lines), 2)
    other = exam_from_file(written(tmp_path / "other", *reversed(lines)), 2)
    assert [each.sample.sha256 for each in one.questions] == [each.sample.sha256 for each in other.questions]
    assert len(one.questions) == 2 and one.sha256 == other.sha256


def test_another_answer_makes_another_exam(tmp_path: Path) -> None:
    first = exam_from_file(written(tmp_path, line())).sha256
    assert exam_from_file(written(tmp_path, line(answer="a dog"))).sha256 != first


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"image": "a.png", "prompt": "what?"}, "its keys are not image, prompt and answer"),
        (line() | {"kind": "colour"}, "its keys are not"),
        (line() | {"task": 3}, "not all texts"),
        (line() | {"answer": 3}, "not all texts"),
        (line(image=""), "not all texts"),
        (line(image="a\0.png"), "not all texts"),
        (line(answer=" \n"), "its answer is empty"),
        (["a.png"], "its keys are not"),
        ("{", "is no JSON"),
    ],
)
def test_a_line_that_is_no_question_is_named(tmp_path: Path, wrong: object, why: str) -> None:
    with pytest.raises(EdgeVLError, match=why) as caught:
        exam_from_file(written(tmp_path, line(), wrong))
    assert caught.value.code == "EVL-CALIBRATE-EVAL" and "exam.jsonl, line 2" in caught.value.what


def test_one_question_with_two_answers_is_an_error_that_names_both_lines(tmp_path: Path) -> None:
    with pytest.raises(EdgeVLError, match=r"line 3 is no question: exam\.jsonl, line 1 asks the same"):
        exam_from_file(written(tmp_path, line(), line("b.png"), line(answer="a dog")))


def test_a_copy_of_a_picture_is_that_picture(tmp_path: Path) -> None:
    path = written(tmp_path, line(), line("copy.png", answer="a dog"))
    (tmp_path / "copy.png").write_bytes((tmp_path / "a.png").read_bytes())
    with pytest.raises(EdgeVLError, match="with another answer"):
        exam_from_file(path)
    path = written(tmp_path, line(), line("copy.png"))
    assert exam_from_file(path).repeated == ("exam.jsonl, line 2 repeats exam.jsonl, line 1",)


def test_a_line_that_says_the_same_again_counts_once_and_is_named(tmp_path: Path) -> None:
    exam = exam_from_file(written(tmp_path, line(), line("b.png"), line(answer=" a cat ")))
    assert len(exam.questions) == 2
    assert exam.repeated == ("exam.jsonl, line 3 repeats exam.jsonl, line 1",)


def test_a_question_of_two_tasks_counts_for_both_whatever_the_order(tmp_path: Path) -> None:
    lines = [line() | {"task": "read"}, line(), line() | {"task": "count"}, line("b.png")]
    exams = [exam_from_file(written(tmp_path, *every)) for every in (lines, lines[::-1])]
    for exam in exams:
        assert exam.repeated == () and len(exam.questions) == 4
        assert {each.task for each in exam.questions if each.sample.name == "a.png"} == {"", "count", "read"}
    assert [each.task for each in exams[0].questions] == [each.task for each in exams[1].questions]
    assert len(exam_from_file(written(tmp_path, *lines), 1).questions) == 1


def test_a_file_that_is_not_there_or_empty_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", written(tmp_path, "", " ")):
        with pytest.raises(EdgeVLError) as caught:
            exam_from_file(path)
        assert caught.value.code == "EVL-CALIBRATE-EVAL"


def test_pictures_that_cannot_be_opened_are_named_up_to_a_share(tmp_path: Path) -> None:
    lines = [line(prompt=f"{number}?") for number in range(9)]
    exam = exam_from_file(written(tmp_path, line("none.png"), *lines))
    assert len(exam.questions) == 9 and exam.broken[0].startswith("none.png")
    with pytest.raises(EdgeVLError, match=r"none\.png"):
        exam_from_file(written(tmp_path, line("none.png"), *lines[:5]))


def verdict(expected: str, got: str) -> Verdict:
    return Verdict("a.png", "what?", expected, got)


def test_space_around_an_answer_does_not_count_and_all_else_does() -> None:
    assert verdict("a cat", " a cat\n").is_right
    assert not verdict("a cat", "A cat").is_right
    assert not verdict("a cat", "a cat.").is_right


def test_accuracy_is_a_share_and_what_is_lost_of_it_is_told_in_points() -> None:
    found = Evaluation(
        (verdict("red", "red"), verdict("red ", "blue"), verdict("blue", "blue"), verdict("x", ""))
    )
    assert found.accuracy == 0.5
    better = Evaluation((verdict("red", "red"),))
    assert lost_points(better, found) == 50 and lost_points(found, better) == -50


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Rehearsed:
    return Rehearsed.below(session_folder(tmp_path_factory), tmp_path_factory.mktemp("evaluation"))


def exam_of(subject: Rehearsed, *answers: str) -> Exam:
    asked = zip(subject.samples.samples, answers, strict=False)
    return Exam(tuple(Question(sample, answer) for sample, answer in asked))


def said_by(subject: Rehearsed) -> list[str]:
    tokenizer = Tokenizer.open(subject.bundle.tokenizer_path)
    return [tokenizer.decode(each.ids) for each in subject.answers.every]


def test_what_a_bundle_says_is_set_against_what_was_expected(subject: Rehearsed) -> None:
    got = said_by(subject)
    heard = list[tuple[str, int, int]]()
    exam = exam_of(subject, "no", "no")
    found = evaluation_of(subject.bundle, "ort", exam, 1, lambda *said: heard.append(said))
    assert [each.got for each in found.verdicts] == got and found.accuracy == 0
    assert heard == [("sitting the exam", 0, 2), ("sitting the exam", 1, 2)]


def test_an_answer_that_nobody_lets_the_bundle_say_is_refused(subject: Rehearsed) -> None:
    with pytest.raises(EdgeVLError, match=f"{TOKENS - 1} are asked for") as caught:
        evaluation_of(subject.bundle, "ort", exam_of(subject, "x" * 2 * TOKENS), 1, silent)
    assert caught.value.code == "EVL-CALIBRATE-EVAL"


@pytest.mark.parametrize(
    ("prompt", "answer"), [("word " * 9000, "a cat"), ("what?", "\ud800"), ("?", "x" * 999)]
)
def test_a_question_that_cannot_be_put_is_refused_before_the_exam(
    subject: Rehearsed, tmp_path: Path, prompt: str, answer: str
) -> None:
    exam = exam_from_file(written(tmp_path, line(), line("b.png", prompt, answer)))
    with pytest.raises(EdgeVLError, match=r"^exam\.jsonl, line 2 cannot be ") as caught:
        check_exam(exam, subject.bundle)
    assert caught.value.code == "EVL-CALIBRATE-EVAL"


def test_an_answer_without_room_for_it_is_refused(subject: Rehearsed) -> None:
    exam = exam_of(subject, "a cat")
    form = format_of(subject.bundle)
    length = len(tokens_of(form, exam.questions[0].sample.prompt, b""))
    count = len(form.tokenizer.encode("a cat"))
    for room, is_refused in ((count, True), (count + 1, False)):  # the end token needs room too
        manifest = replace(subject.bundle.manifest, max_context=length + room)
        bundle = Bundle(subject.bundle.folder, manifest)
        with pytest.raises(EdgeVLError, match="cannot be asked") if is_refused else nullcontext():
            check_exam(exam, bundle)


def test_what_the_float_bundle_made_of_an_exam_is_found_again(subject: Rehearsed, tmp_path: Path) -> None:
    exam, desk = exam_of(subject, "no"), Desk(tmp_path / "out", "key")
    first = kept_evaluation(subject.bundle, "ort", exam, 1, desk, silent)

    def deaf(*said: object) -> None:
        raise AssertionError("the bundle was asked again")

    assert kept_evaluation(subject.bundle, "ort", exam, 1, desk, deaf) == first
