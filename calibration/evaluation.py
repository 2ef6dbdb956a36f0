"""How many questions of an exam a bundle answers exactly right."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibration.desk import Desk
from calibration.samples import Sample, chosen
from calibration.speaker import TOKENS, Speaker
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.errors import EdgeVLError
from edge_runtime.progress import Progress
from edge_runtime.record import json_from_bytes
from edge_runtime.tokenizer import Tokenizer

CODE = "EVL-CALIBRATE-EVAL"
KEYS, TASK = {"image", "prompt", "answer"}, "task"  # the last is optional
FIX = 'write one {"image": "photo.jpg", "prompt": "What is this?", "answer": "A cat."} a line'


@dataclass(frozen=True)
class Question:
    sample: Sample
    answer: str
    task: str = ""  # what accuracy is told by


@dataclass(frozen=True)
class Exam:
    """In the order of the samples' hashes; no picture is asked the same twice."""

    questions: tuple[Question, ...]
    broken: tuple[str, ...] = ()  # names of pictures that could not be opened, and why

    @property
    def sha256(self) -> str:
        said = [(each.sample.sha256, each.answer) for each in self.questions]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()


@dataclass(frozen=True)
class Verdict:
    sample: str
    prompt: str
    expected: str
    got: str
    task: str = ""

    @property
    def is_right(self) -> bool:
        """Equal but for space around them."""
        return self.expected.strip() == self.got.strip()


@dataclass(frozen=True)
class Evaluation:
    verdicts: tuple[Verdict, ...]

    def __post_init__(self) -> None:
        assert self.verdicts, "nothing was asked"

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return sum(each.is_right for each in self.verdicts) / len(self.verdicts)


def exam_from_file(path: Path, limit: int | None = None) -> Exam:
    """Lines `{"image": path, "prompt": text, "answer": text}`, and `"task": text` where there are several kinds.

    Paths are relative to the file. The first `limit` by hash that can be opened. Pictures that cannot are left out by name, as samples are.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as fault:
        why = fault.strerror or str(fault)
        raise EdgeVLError(CODE, f"cannot read {path}", why, "give a file with one question a line") from fault
    asked = dict[tuple[str, str], tuple[str, str]]()
    for number, line in enumerate(lines, start=1):
        if line.strip():
            add_question(asked, line, f"{path.name}, line {number}")
    if not asked:
        raise EdgeVLError(CODE, f"{path} has no questions", "there is nothing in it", FIX)
    found = chosen(
        [(image, path.parent / image, prompt) for image, prompt in asked], limit or len(asked), str(path)
    )
    questions = [Question(each, *asked[each.name, each.prompt]) for each in found.samples]
    return Exam(tuple(questions), found.broken)


def add_question(asked: dict[tuple[str, str], tuple[str, str]], line: bytes, where: str) -> None:
    value = json_from_bytes(line, where, CODE)
    if not isinstance(value, dict) or value.keys() - {TASK} != KEYS:
        raise EdgeVLError(CODE, f"{where} is no question", "its keys are not image, prompt and answer", FIX)
    image, prompt, answer, task = value["image"], value["prompt"], value["answer"], value.get(TASK, "")
    texts = [each for each in (image, prompt, answer, task) if isinstance(each, str)]
    if len(texts) < len(KEYS) + 1 or not image or "\0" in image:
        raise EdgeVLError(CODE, f"{where} is no question", "they are not all texts", FIX)
    if not answer.strip():
        raise EdgeVLError(CODE, f"{where} is no question", "its answer is empty", FIX)
    if asked.setdefault((image, prompt), (answer, task))[0].strip() != answer.strip():
        why = f"{image} was asked the same before, with another answer"
        raise EdgeVLError(CODE, f"{where} is no question", why, "leave one of the two out")


def check_short_enough(exam: Exam, tokenizer: Tokenizer) -> None:
    """An answer that is longer than what a bundle is let say could never be right."""
    for each in exam.questions:
        count = len(tokenizer.encode(each.answer.strip()))
        if count >= TOKENS:
            what = f"the answer {each.answer.strip()[:40]!r} to {each.sample.name} cannot be tested"
            why = f"it has {count} tokens, and {TOKENS - 1} are asked for"
            raise EdgeVLError(CODE, what, why, "ask for short answers")


def evaluation_of(
    bundle: Bundle, dialect: Dialect, exam: Exam, threads: int, progress: Progress
) -> Evaluation:
    """Greedy answers up to the end token, through the runtime that answers users."""
    tokenizer = Tokenizer.open(bundle.tokenizer_path)
    check_short_enough(exam, tokenizer)
    found = list[Verdict]()
    with Speaker(bundle, dialect, threads) as speaker:
        for done, each in enumerate(exam.questions):
            progress("sitting the exam", done, len(exam.questions))
            ids, _ = speaker.answer(each.sample)
            got = tokenizer.decode([id_ for id_ in ids if id_ != bundle.spec.prompt.eos_id])
            found.append(verdict_of(each, got))
    return Evaluation(tuple(found))


def kept_evaluation(
    bundle: Bundle, dialect: Dialect, exam: Exam, threads: int, desk: Desk, progress: Progress
) -> Evaluation:
    """The same, laid on the desk: for the float bundle, of which a desk knows one."""
    name = f"exam-{exam.sha256}"
    laid = desk.take(name)
    if laid is not None:
        answers = json.loads(laid["got"].tobytes())
        verdicts = [verdict_of(each, got) for each, got in zip(exam.questions, answers, strict=True)]
        return Evaluation(tuple(verdicts))
    found = evaluation_of(bundle, dialect, exam, threads, progress)
    said = json.dumps([each.got for each in found.verdicts]).encode()
    desk.lay(name, {"got": np.frombuffer(said, np.uint8)})
    return found


def verdict_of(question: Question, got: str) -> Verdict:
    return Verdict(question.sample.name, question.sample.prompt, question.answer, got, question.task)


def lost_points(before: Evaluation, after: Evaluation) -> float:
    """Points of accuracy; less than zero where quantising gained some."""
    return 100 * (before.accuracy - after.accuracy)
