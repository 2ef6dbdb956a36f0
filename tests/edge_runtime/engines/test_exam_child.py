"""One role asked in another process, which may crash, hang or say nothing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.engines.exam import Answers, examination_of
from edge_runtime.engines.exam_child import Question, answers_in, question_in, write_answers, write_question
from edge_runtime.engines.jury import NoAnswerError, asked
from edge_runtime.spec import Role
from tests.edge_runtime.engines.engine_samples import CONTEXT
from tests.proof.subject import bundle_below, session_folder

QUESTION = Question("a bundle", "adaptor", "trt10", 64, "tensorrt", {"adaptor": "adaptor.plan"})
# What a child does that answers; more lines may follow.
ANSWERING = (
    "import os, signal, sys, time",
    "from pathlib import Path",
    "import numpy as np",
    "from edge_runtime.engines.exam import Answers",
    "from edge_runtime.engines.exam_child import question_in, write_answers",
    "folder = Path(sys.argv[1])",
    "question = question_in(folder)",
    "write_answers(folder, Answers((np.full(3, question.context, dtype=np.float32),), 1.5))",
)


def child(*lines: str) -> Sequence[str]:
    return (sys.executable, "-c", "\n".join(("import os, signal, sys, time", *lines)))


def silence(command: Sequence[str], limit_s: float = 60) -> str:
    with pytest.raises(NoAnswerError) as caught:
        asked(QUESTION, command, limit_s)
    return str(caught.value)


def test_a_question_reaches_the_other_process_and_its_answer_comes_back() -> None:
    found = asked(replace(QUESTION, context=77), child(*ANSWERING))
    assert (found.said[0].tolist(), found.ms) == ([77, 77, 77], 1.5)


@pytest.mark.parametrize("question", [QUESTION, replace(QUESTION, engine=None, plans={}, role="decoder")])
def test_a_question_is_read_as_it_was_written(tmp_path: Path, question: Question) -> None:
    write_question(tmp_path, question)
    assert question_in(tmp_path) == question


def test_answers_are_read_bit_for_bit_and_in_their_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    said = tuple(
        rng.integers(0, 1 << 32, (size, 2), dtype=np.uint32).view(np.float32) for size in range(1, 14)
    )
    write_answers(tmp_path, Answers(said, 0.1))
    found = answers_in(tmp_path)
    assert found.ms == 0.1
    assert [each.tobytes() for each in found.said] == [each.tobytes() for each in said]
    assert [each.shape for each in found.said] == [each.shape for each in said]


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "it was ended by SIGSEGV"),
        ("os.abort()", "it was ended by SIGABRT"),
        ("sys.exit('the library refuses the plan')", "the library refuses the plan"),
        ("sys.exit(3)", "it ended with status 3 and said nothing"),
        ("raise ValueError('no such engine')", "ValueError: no such engine"),
    ],
)
def test_a_process_that_fails_has_no_answer_even_after_one(last: str, words: str) -> None:
    assert silence(child(*ANSWERING, last)) == words


def test_a_process_that_ends_well_without_an_answer_has_none() -> None:
    assert silence(child("os._exit(0)")) == "it ended with status 0 and said nothing"


def test_a_process_that_hangs_is_ended(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    lines = ("import pathlib", f"pathlib.Path({str(pid)!r}).write_text(str(os.getpid()))", "time.sleep(600)")
    assert silence(child(*lines), limit_s=3) == "it had not answered after 3 seconds"
    assert not Path("/proc", pid.read_text()).exists()


def test_what_is_asked_lies_in_a_folder_that_is_gone_afterwards(tmp_path: Path) -> None:
    note = tmp_path / "note"
    where = f"open({str(note)!r}, 'w').write(os.getcwd() + ' ' + sys.argv[1])"
    asked(QUESTION, child(*ANSWERING, where))
    here, told = note.read_text().split()
    assert here == told
    assert Path(told).name.startswith("edge-vl-exam-")
    assert not Path(told).exists()


def test_what_we_say_of_an_error_is_the_end_that_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoAnswerError) as caught:
        asked(replace(QUESTION, bundle=str(tmp_path / "gone")))
    assert str(caught.value) == f"{tmp_path / 'gone'} is not a bundle: there is no such folder"


@pytest.mark.parametrize("role", ["vision_low", "decoder"])
def test_onnx_runtime_answers_in_another_process_bit_for_bit_as_in_this_one(
    tmp_path_factory: pytest.TempPathFactory, role: Role
) -> None:
    bundle = Bundle.open(bundle_below(session_folder(tmp_path_factory), "plain"), is_trusted=True)
    wanted = examination_of(bundle, role, CONTEXT)(OrtBackend(bundle))
    found = asked(Question(str(bundle.folder), role, "ort", CONTEXT, None, {}))
    assert len(found.said) == len(wanted.said) > 0
    for one, other in zip(found.said, wanted.said, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tobytes() == other.tobytes()
    assert found.ms > 0
