"""How many questions of an exam a bundle answers exactly right."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from calibration.desk import Desk
from calibration.listing import Entry, entries_from_file
from calibration.prompts import REPAIR, SHORTEN, check_prompts, format_of, named, tokens_of
from calibration.samples import Candidate, Sample, check_share, opened, sample_from_candidate
from calibration.speaker import TOKENS, Speaker
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.errors import EdgeVLError
from edge_runtime.progress import Progress
from edge_runtime.prompt import check_fits
from edge_runtime.tokenizer import Tokenizer

CODE = "EVL-CALIBRATE-EVAL"
KEYS, TASK = {"image", "prompt", "answer"}, "task"  # the last is optional
EXAMPLE = '{"image": "photo.jpg", "prompt": "What is this?", "answer": "A cat."}'
FIX = f"write one {EXAMPLE} a line"


@dataclass(frozen=True)
class Question:
    sample: Sample
    answer: str
    task: str = ""  # what accuracy is told by


@dataclass(frozen=True)
class Exam:
    """In the order of the samples' hashes and of tasks; no task asks the same of a picture twice."""

    questions: tuple[Question, ...]
    broken: tuple[str, ...] = ()  # names of pictures that could not be opened, and why
    repeated: tuple[str, ...] = ()  # lines that say what another says, and which

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

    Paths are relative to the file. The first `limit` by hash that can be opened; pictures that cannot are left out by
    name, as samples are.
    """
    entries = entries_from_file(path, CODE, EXAMPLE)
    if not entries:
        raise EdgeVLError(CODE, f"{path} has no questions", "there is nothing in it", FIX)
    broken, repeated = list[str](), list[str]()
    asked: dict[str, list[Question]] = {}
    for candidate, answer, task in [line_from_entry(each, path.parent) for each in entries]:
        if (sample := sample_from_candidate(candidate, broken)) is not None:
            known = asked.setdefault(sample.sha256, [])
            add_question(known, Question(sample, answer, task), repeated)
    check_share(len(entries), broken, str(path))
    samples = [questions[0].sample for questions in asked.values()]
    found = opened(samples, limit or len(samples), broken, str(path))
    in_order = [sorted(asked[each.sha256], key=lambda question: question.task) for each in found.samples]
    return Exam(tuple(chain.from_iterable(in_order))[:limit], found.broken, tuple(repeated))


def line_from_entry(entry: Entry, folder: Path) -> tuple[Candidate, str, str]:
    """With its answer and its task."""
    value, what = entry.value, f"{entry.where} is no question"
    if not isinstance(value, dict) or value.keys() - {TASK} != KEYS:
        raise EdgeVLError(CODE, what, "its keys are not image, prompt and answer", FIX)
    image, prompt, answer, task = value["image"], value["prompt"], value["answer"], value.get(TASK, "")
    texts = [each for each in (image, prompt, answer, task) if isinstance(each, str)]
    if len(texts) < len(KEYS) + 1 or not image or "\0" in image:
        raise EdgeVLError(CODE, what, "they are not all texts", FIX)
    if not answer.strip():
        raise EdgeVLError(CODE, what, "its answer is empty", FIX)
    return Candidate(image, folder / image, prompt, entry.where), answer, task


def add_question(known: list[Question], new: Question, repeated: list[str]) -> None:
    """`known` asks the same of the same picture, whatever the names of its files are."""
    for each in known:
        if each.answer.strip() != new.answer.strip():
            why = f"{each.sample.where} asks the same of the same picture, with another answer"
            raise EdgeVLError(CODE, f"{new.sample.where} is no question", why, "leave one of the two out")
    if same := [each for each in known if each.task == new.task]:
        repeated.append(f"{new.sample.where} repeats {same[0].sample.where}")
    else:
        known.append(new)


def check_exam(exam: Exam, bundle: Bundle) -> None:
    """What can be known of it without sitting it."""
    check_prompts(bundle, [each.sample for each in exam.questions], CODE)
    check_short_enough(exam, bundle)


def check_short_enough(exam: Exam, bundle: Bundle) -> None:
    """An answer that is longer than what a bundle is let say, or than what it has room for, could never be right."""
    form = format_of(bundle)
    for each in exam.questions:
        where = each.sample.where
        with named(where, CODE, REPAIR):
            count = len(form.tokenizer.encode(each.answer.strip()))
        if count >= TOKENS:
            what = f"{where} cannot be tested: its answer is {each.answer.strip()[:40]!r}"
            why = f"it has {count} tokens, and {TOKENS - 1} are asked for"
            raise EdgeVLError(CODE, what, why, "ask for short answers")
        with named(where, CODE, SHORTEN):
            check_fits(tokens_of(form, each.sample.prompt, b""), count + 1, bundle.manifest.max_context)


def evaluation_of(
    bundle: Bundle, dialect: Dialect, exam: Exam, threads: int, progress: Progress
) -> Evaluation:
    """Greedy answers up to the end token, through the runtime that answers users."""
    tokenizer = Tokenizer.open(bundle.tokenizer_path)
    check_short_enough(exam, bundle)
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
