"""Engines tried beside ONNX Runtime on this GPU, role by role, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.backends.ort_library import imported_onnxruntime
from edge_runtime.bundle import Bundle
from edge_runtime.child import ending_of, ran_apart
from edge_runtime.dialects import Dialect, Precision
from edge_runtime.engines.collection import Collection, plans_of_role
from edge_runtime.engines.exam import LEAST_DB, Answers, likeness_db
from edge_runtime.engines.exam_child import ANSWERS, Question, answers_in, write_question
from edge_runtime.engines.place import EngineName
from edge_runtime.engines.selection import dialect_for_onnxruntime
from edge_runtime.engines.trial import Candidate, RoleTrial, Subject, Trial
from edge_runtime.errors import MachineFault
from edge_runtime.progress import Progress, silent
from edge_runtime.spec import Role
from edge_runtime.version import VERSION

CHILD = (sys.executable, "-m", "edge_runtime.engines.exam_child")
LIMIT_S = 1800.0  # the full-size towers take minutes on a board's CPU
Ask = Callable[[Question], Answers]


class NoAnswerError(Exception):
    """The process that was asked ended without one; the words say how."""


@dataclass(frozen=True)
class Side:
    """A bundle and its engines: the one that is tried, or the one in floats that stands in."""

    bundle: Bundle
    engines: Collection
    is_fallback: bool = False

    def question(self, role: Role) -> Question:
        engines, plans = self.engines, plans_of_role(self.engines, role)
        return self._asks(role, engines.dialect, engines.place.engine, plans)

    def question_for_reference(self, role: Role) -> Question:
        has = self.bundle.manifest.dialects
        return self._asks(role, dialect_for_onnxruntime(has, self.engines.dialect), None, {})

    def _asks(
        self, role: Role, dialect: Dialect, engine: EngineName | None, plans: dict[str, str]
    ) -> Question:
        return Question(str(self.bundle.folder), role, dialect, self.engines.context, engine, plans)


def asked(question: Question, command: Sequence[str] = CHILD, limit_s: float = LIMIT_S) -> Answers:
    """NoAnswerError where the process crashed, hung or gave up."""
    with tempfile.TemporaryDirectory(prefix="edge-vl-exam-") as name:
        folder = Path(name)
        write_question(folder, question)
        try:
            ended = ran_apart((*command, name), name, limit_s)
        except subprocess.TimeoutExpired as fault:
            raise NoAnswerError(f"it had not answered after {limit_s:.0f} seconds") from fault
        if ended.returncode != 0 or not (folder / ANSWERS).is_file():
            raise NoAnswerError(ending_of(ended))
        return answers_in(folder)


@dataclass(frozen=True)
class Jury:
    subject: Subject
    sides: tuple[Side, ...]
    ask: Ask = asked
    progress: Progress = silent

    def trial(self, date: str) -> Trial:
        """EVL-ENGINE-TRIAL where ONNX Runtime itself, which all are measured by, gives no answer."""
        roles = [role for role in self.sides[0].bundle.spec.roles if role != "embed"]
        tried = tuple(self._tried(role, place, len(roles)) for place, role in enumerate(roles))
        self.progress("trying", len(roles), len(roles))
        reference = f"ONNX Runtime {imported_onnxruntime().__version__} on the CPU"
        return Trial(self.subject, reference, date, VERSION, tried)

    def _tried(self, role: Role, place: int, total: int) -> RoleTrial:
        self.progress(f"trying {role}", place, total)
        references = {side.is_fallback: self._reference(side, role) for side in self._sides_of(role)}
        candidates = tuple(
            self._candidate(side, role, references[side.is_fallback]) for side in self._sides_of(role)
        )
        return RoleTrial(role, references[False].ms, candidates)

    def _sides_of(self, role: Role) -> Iterator[Side]:
        """A role that is the same on both sides is tried once."""
        first = self.sides[0]
        yield first
        for side in self.sides[1:]:
            if plans_of_role(side.engines, role) != plans_of_role(first.engines, role):
                yield side

    def _reference(self, side: Side, role: Role) -> Answers:
        try:
            return finite(self.ask(side.question_for_reference(role)))
        except NoAnswerError as fault:
            what = f"{role} cannot be tried: ONNX Runtime gives no answer to compare with"
            fix = "close other programs if memory is short; the engines stay, and `--engine` still takes them"
            raise MachineFault("EVL-ENGINE-TRIAL", what, str(fault), fix) from fault

    def _candidate(self, side: Side, role: Role, wanted: Answers) -> Candidate:
        question = side.question(role)
        folders = tuple(Path(plan).parent.name for plan in question.plans.values())
        digests = tuple(side.engines.receipts[name].plan_sha256 for name in question.plans)
        precision = side.bundle.graph(role, question.dialect).precision
        try:
            found = finite(self.ask(question))
        except NoAnswerError as fault:
            return Candidate(folders, precision, side.is_fallback, None, None, str(fault), digests)
        likeness = round(likeness_db(wanted, found), 2)
        wrong, ms = fault_of(likeness, precision), round(found.ms, 3)
        return Candidate(folders, precision, side.is_fallback, likeness, ms, wrong, digests)


def finite(answers: Answers) -> Answers:
    if not answers.is_finite:
        raise NoAnswerError("some of what it says is NaN or infinite")
    return answers


def fault_of(likeness: float, precision: Precision) -> str:
    least = LEAST_DB[precision]
    return "" if likeness >= least else f"it is {likeness:g} dB like the reference, {least:g} are wanted"
