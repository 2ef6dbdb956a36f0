"""Whole answers by engines on a GPU that does everything as late as it may: those of ONNX Runtime, to the token."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_runtime.assistant import Assistant
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.request import Request
from edge_runtime.sampling import Sampling
from edge_runtime.stopwatch import Stopwatch
from tests.edge_runtime.cuda.fake_driver import FakeDriver
from tests.edge_runtime.native.board import RTX, Board
from tests.proof.subject import bundle_below, session_folder

TITLES = {
    "trt": (RTX, "tensorrt-10.16.1.11", "tensorrt-11.4.0.106"),
    "trt10": (RTX, "tensorrt-10.3.0", "tensorrt-10.13.3.9"),
}
PAIRS: list[tuple[Dialect, str]] = [("trt", title) for title in TITLES["trt"]]
PAIRS += [("trt10", title) for title in TITLES["trt10"]]
QUESTIONS = ("what is it?", "where is the lamp, and what colour has it?")


def picture(seed: int) -> Image.Image:
    rng = np.random.Generator(np.random.PCG64(seed))
    return Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8))


@pytest.fixture(scope="session")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_folder(tmp_path_factory)


def bundle_in(subjects: Path, dialect: Dialect, name: str = "windowed") -> Bundle:
    return Bundle.open(bundle_below(subjects, name, dialect=dialect), is_trusted=True)


def reference(bundle: Bundle, dialect: Dialect) -> Assistant:
    return Assistant(bundle, OrtBackend(bundle, threads=1, dialect=dialect))


@pytest.mark.parametrize(("dialect", "title"), PAIRS)
def test_a_conversation_about_pictures_has_the_tokens_of_onnx_runtime(
    subjects: Path, tmp_path: Path, dialect: Dialect, title: str
) -> None:
    bundle, board = bundle_in(subjects, dialect), Board(title)
    request = Request(max_tokens=12)
    with reference(bundle, dialect) as wanted, board.assistant(bundle, dialect, tmp_path / "plans") as found:
        for seed in (1, 2):
            ours, theirs = found.chat(), wanted.chat()
            for text in QUESTIONS:
                shown = picture(seed) if text is QUESTIONS[0] else None
                one = ours.stream(text, shown, request).answer
                other = theirs.stream(text, shown, request).answer
                assert one.token_ids == other.token_ids and len(one.token_ids) > 4
                assert one.usage == other.usage
    assert board.driver.leaks() == [] and board.driver.complaints == []


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.9, seed=5),
        Sampling(temperature=1.2, top_k=20, seed=6),
        Sampling(temperature=1.0, top_k=30, top_p=0.8, seed=7),
        Sampling(repetition_penalty=1.3),
    ],
    ids=["all", "top-k", "top-k and top-p", "penalty"],
)
def test_what_is_drawn_is_what_onnx_runtime_draws(subjects: Path, tmp_path: Path, sampling: Sampling) -> None:
    bundle, request = bundle_in(subjects, "trt"), Request(max_tokens=10, sampling=sampling)
    with reference(bundle, "trt") as wanted, Board().assistant(bundle, "trt", tmp_path / "plans") as found:
        one, other = (each.ask(QUESTIONS[0], picture(1), request=request) for each in (found, wanted))
    assert one.token_ids == other.token_ids


def test_greedy_answers_bring_no_logits_across(subjects: Path, tmp_path: Path) -> None:
    bundle, board = bundle_in(subjects, "trt"), Board()
    with board.assistant(bundle, "trt", tmp_path / "plans") as found:
        before = len(board.driver.log)
        answer = found.ask(QUESTIONS[0], request=Request(max_tokens=8))
        calls = [call.name for call in board.driver.log[before:]]
    # The values and ids of the likeliest, of the prompt and of the two steps that are not replayed yet.
    assert len(answer.token_ids) == 8
    assert calls.count("cuMemcpyDtoHAsync_v2") <= 2 * 4


def test_steps_are_replayed_and_allocate_nothing(subjects: Path, tmp_path: Path) -> None:
    bundle, board = bundle_in(subjects, "trt"), Board()
    with board.assistant(bundle, "trt", tmp_path / "plans") as found:
        pieces = found.stream(QUESTIONS[0], request=Request(max_tokens=20))
        for _ in range(4):
            next(pieces)
        before = len(board.driver.log)
        for _ in range(6):
            next(pieces)
        calls = {call.name for call in board.driver.log[before:]}
        pieces.close()
    assert calls == {"cuCtxSetCurrent", "cuGraphLaunch", "cuStreamSynchronize"}


def test_engines_that_cannot_be_recorded_answer_all_the_same(subjects: Path, tmp_path: Path) -> None:
    bundle = bundle_in(subjects, "trt")
    board = Board(settings={"is_capturable": False})
    with reference(bundle, "trt") as wanted, board.assistant(bundle, "trt", tmp_path / "plans") as found:
        one, other = (each.ask(QUESTIONS[0], request=Request(max_tokens=8)) for each in (found, wanted))
    assert one.token_ids == other.token_ids
    assert board.driver.count("cuGraphLaunch") == 0


def test_work_that_is_done_at_once_gives_the_same_answers(subjects: Path, tmp_path: Path) -> None:
    bundle, request = bundle_in(subjects, "trt"), Request(max_tokens=6)
    answers = []
    for when in ("late", "early"):
        board = Board(driver=FakeDriver(when=when))
        with board.assistant(bundle, "trt", tmp_path / when) as found:
            answers.append(found.ask(QUESTIONS[0], picture(3), request=request).token_ids)
    assert answers[0] == answers[1]


def test_two_towers_are_begun_before_either_is_waited_for(subjects: Path, tmp_path: Path) -> None:
    bundle, board = bundle_in(subjects, "trt"), Board()
    assert "vision_high" in bundle.spec.roles
    with board.assistant(bundle, "trt", tmp_path / "plans") as found:
        decoded = found.decoded(picture(4), Stopwatch())
        before = len(board.driver.log)
        found.encoded(decoded, Stopwatch())
        names = [call.name for call in board.driver.log[before:]]
    first_wait = names.index("cuStreamSynchronize")
    assert names[:first_wait].count("cuMemcpyHtoDAsync_v2") == 2
