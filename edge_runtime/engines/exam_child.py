"""`python -m edge_runtime.engines.exam_child FOLDER`: one role asked in a process that an engine may take down with it.

The folder has the question, and gets the answers.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.backends.backend import Backend
from edge_runtime.backends.native.backend import NativeBackend
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.engines.exam import Answers, examination_of
from edge_runtime.engines.library import opened_library
from edge_runtime.engines.place import EngineName
from edge_runtime.errors import EdgeVLError
from edge_runtime.record import bytes_from_json, json_from_bytes, json_from_record, record_from_json
from edge_runtime.spec import Role

QUESTION, ANSWERS = "question.json", "answers.npz"
MS, SAID = "ms", "said"


@dataclass(frozen=True)
class Question:
    """Of a bundle that was looked at already. `engine` None is ONNX Runtime on the CPU; `plans` are by engine. `context`
    is how many tokens the engines hold."""

    bundle: str
    role: Role
    dialect: Dialect
    context: int
    engine: EngineName | None
    plans: dict[str, str]


def write_question(folder: Path, question: Question) -> None:
    (folder / QUESTION).write_bytes(bytes_from_json(json_from_record(question)))


def question_in(folder: Path) -> Question:
    value = json_from_bytes((folder / QUESTION).read_bytes(), QUESTION)
    return record_from_json(Question, value, QUESTION)


def write_answers(folder: Path, answers: Answers) -> None:
    said = {f"{SAID}{place}": each for place, each in enumerate(answers.said)}
    np.savez(folder / ANSWERS, allow_pickle=False, **{MS: np.array(answers.ms)}, **said)


def answers_in(folder: Path) -> Answers:
    with np.load(folder / ANSWERS, allow_pickle=False) as held:
        said = tuple(held[f"{SAID}{place}"] for place in range(len(held.files) - 1))
        return Answers(said, float(held[MS]))


def answered(question: Question) -> Answers:
    bundle = Bundle.open(question.bundle, is_trusted=True)
    backend = backend_for(question, bundle)
    try:
        return examination_of(bundle, question.role, question.context)(backend)
    finally:
        backend.close()


def backend_for(question: Question, bundle: Bundle) -> Backend:
    if question.engine is None:
        return OrtBackend(bundle, dialect=question.dialect)
    plans = {name: Path(path) for name, path in question.plans.items()}
    return NativeBackend(opened_library(question.engine), question.dialect, plans)


def main() -> None:
    folder = Path(sys.argv[1])
    try:
        write_answers(folder, answered(question_in(folder)))
    except EdgeVLError as error:
        sys.exit(f"{error.what}: {error.why}")


if __name__ == "__main__":
    main()
