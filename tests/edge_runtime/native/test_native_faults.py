"""What goes wrong with engines and with the GPU is named, and nothing of the GPU's is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.backends.native.backend import NativeBackend
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EdgeVLError
from edge_runtime.request import Request
from export.engines.serving import Serving
from tests.edge_runtime.cuda.fake_driver import FakeDriver
from tests.edge_runtime.native.board import RTX, Board
from tests.proof.subject import bundle_below, session_folder

PROMPT = "a question of several words, longer than one piece of a short engine takes at once"


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = bundle_below(session_folder(tmp_path_factory), "windowed", dialect="trt")
    return Bundle.open(path, is_trusted=True)


def error_of(act: Callable[[], object]) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        act()
    return caught.value


def closed(backend: NativeBackend, board: Board) -> None:
    backend.close()
    assert board.driver.leaks() == []


def test_an_engine_of_another_version_is_refused_in_the_library_s_words(
    bundle: Bundle, tmp_path: Path
) -> None:
    plans = Board("tensorrt-10.16.1.11").plans(bundle, "trt", tmp_path / "plans", Serving(512))
    board = Board("tensorrt-11.4.0.106")
    backend = NativeBackend(board.library, "trt", plans, board.device)
    error = error_of(lambda: backend.graph("adaptor"))
    assert (error.code, error.what) == ("EVL-ENGINE-REFUSED", "TensorRT 11.4.0.106 does not open adaptor")
    assert "not compatible with this version" in error.why and "edge-vl build" in error.fix
    closed(backend, board)


@pytest.mark.parametrize(
    "data", [b"x", b"\x00" * 4096, b"FAKE PLAN 1\n{"], ids=["a byte", "zeros", "cut short"]
)
def test_a_plan_that_is_none_is_refused(bundle: Bundle, tmp_path: Path, data: bytes) -> None:
    board = Board()
    plans = board.plans(bundle, "trt", tmp_path / "plans", Serving(512))
    plans["adaptor"].write_bytes(data)
    backend = NativeBackend(board.library, "trt", plans, board.device)
    assert error_of(lambda: backend.graph("adaptor")).code == "EVL-ENGINE-REFUSED"
    closed(backend, board)


def test_a_gpu_that_is_too_small_says_so_and_keeps_nothing(bundle: Bundle, tmp_path: Path) -> None:
    board = Board(driver=FakeDriver(memory=1 << 16))
    backend = board.backend(bundle, "trt", tmp_path / "plans")
    error = error_of(lambda: backend.decoder(1, 512))
    assert (error.code, error.what) == ("EVL-GPU-MEMORY", "the GPU's memory is full")
    closed(backend, board)


@pytest.mark.parametrize("kernel", [1, 2, 4, 7])
def test_a_gpu_that_breaks_down_ends_the_answer_and_not_the_process(
    bundle: Bundle, tmp_path: Path, kernel: int
) -> None:
    board = Board(driver=FakeDriver(fails={"kernel": (kernel, 700)}))
    with board.assistant(bundle, "trt", tmp_path / "plans") as assistant:
        error = error_of(lambda: assistant.ask(PROMPT, request=Request(max_tokens=12)))
        assert error.code == "EVL-GPU-FAULT" and "CUDA_ERROR_ILLEGAL_ADDRESS" in error.why


def test_prompts_longer_than_the_engine_takes_at_once_are_fed_in_pieces(
    bundle: Bundle, tmp_path: Path
) -> None:
    serving = replace(Serving(512), prefill_tokens=8)
    short = Board().backend(bundle, "trt", tmp_path / "short", serving)
    decoder, reference = short.decoder(1, 512), OrtBackend(bundle, threads=1, dialect="trt").decoder(1, 512)
    ids = np.random.Generator(np.random.PCG64(3)).integers(0, bundle.spec.decoder.vocab, 30)
    rows, start = bundle.embedding()[ids][None], np.zeros(1, dtype=np.int64)
    last = np.array([[29]], dtype=np.int64)
    found, wanted = (each.step(rows, start, last).logits for each in (decoder, reference))
    assert np.abs(found - wanted).max() < 1e-5
    short.close()


def test_more_sequences_than_the_engines_were_built_for_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    board = Board()
    backend = board.backend(bundle, "trt", tmp_path / "plans")
    error = error_of(lambda: backend.decoder(2, 512))
    assert (error.code, error.why) == ("EVL-ENGINE-SHAPES", "the engines were built for 1")
    closed(backend, board)


def test_several_sequences_are_answered_by_engines_that_were_built_for_them(
    bundle: Bundle, tmp_path: Path
) -> None:
    board = Board()
    backend = board.backend(bundle, "trt", tmp_path / "plans", Serving(512, batch=3))
    decoder, reference = backend.decoder(3, 512), OrtBackend(bundle, threads=1, dialect="trt").decoder(3, 512)
    rng = np.random.Generator(np.random.PCG64(4))
    starts = np.zeros(3, dtype=np.int64)
    for steps in (9, 1, 1, 1, 1):
        rows = bundle.embedding()[rng.integers(0, bundle.spec.decoder.vocab, (3, steps))]
        last = np.full((3, 1), steps - 1)
        found, wanted = (each.step(rows, starts, last) for each in (decoder, reference))
        assert np.abs(found.logits - wanted.logits).max() < 1e-5
        assert found.top is not None
        assert np.array_equal(found.top.ids[:, :, 0], wanted.logits.argmax(-1))
        starts = starts + steps
    assert decoder.is_recorded
    closed(backend, board)


def test_scores_are_read_before_the_next_step(bundle: Bundle, tmp_path: Path) -> None:
    backend = Board().backend(bundle, "trt", tmp_path / "plans")
    decoder = backend.decoder(1, 512)
    rows, last = bundle.embedding()[np.array([5])][None], np.zeros((1, 1), dtype=np.int64)
    first = decoder.step(rows, np.array([0]), last)
    decoder.step(rows, np.array([1]), last)
    with pytest.raises(AssertionError, match="before the next step"):
        assert first.logits.size
    backend.close()


def test_a_cache_in_place_is_held_once_and_another_twice(bundle: Bundle, tmp_path: Path) -> None:
    spec = bundle.spec.decoder
    once = 2 * spec.layers * spec.kv_heads * 512 * spec.head_dim * 4
    held = {}
    for dialect in ("trt", "trt10"):
        path = bundle_below(bundle.folder.parent, "windowed", dialect=dialect)
        board = Board()
        backend = board.backend(Bundle.open(path, is_trusted=True), dialect, tmp_path / dialect)
        backend.decoder(1, 512)
        sizes = [call.numbers[1] for call in board.driver.log if call.name == "cuMemAlloc_v2"]
        held[dialect] = sum(size for size in sizes if size == once // (2 * spec.layers))
        backend.close()
    assert held == {"trt": once, "trt10": 2 * once}


def test_a_picture_that_does_not_fit_the_engine_is_named(bundle: Bundle, tmp_path: Path) -> None:
    backend = Board(RTX).backend(bundle, "trt", tmp_path / "plans")
    graph = backend.graph("vision_low")
    error = error_of(lambda: graph.run({"pixels": np.zeros((2, 3, 8, 8), dtype=np.float32)}))
    assert error.code == "EVL-ENGINE-SHAPES" and "[2, 3, 8, 8]" in error.why
    backend.close()


def test_who_asks_again_for_a_graph_takes_no_more_memory(bundle: Bundle, tmp_path: Path) -> None:
    board = Board()
    backend = board.backend(bundle, "trt", tmp_path / "plans")
    backend.graph("vision_low")
    taken = len(board.driver.log)
    assert backend.graph("vision_low") is backend.graph("vision_low")
    assert not [call for call in board.driver.log[taken:] if "Alloc" in call.name or "Stream" in call.name]
    closed(backend, board)
