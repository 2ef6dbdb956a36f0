"""What a real GPU, a real TensorRT and impatient users do to engines: nothing of it may linger."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edge_runtime.backends.backend import Array, DecoderGraph, Floats
from edge_runtime.backends.native.backend import NativeBackend
from edge_runtime.backends.native.context import Context
from edge_runtime.bundle import Bundle
from edge_runtime.choice import Ground, Wish, chosen
from edge_runtime.cuda.device import Device
from edge_runtime.cuda.stream import Stream
from edge_runtime.dialects import Dialect
from edge_runtime.errors import EdgeVLError
from edge_runtime.request import Request
from edge_vl.verbs.build import unfitness
from export.engines.compilation import engine_shapes
from export.engines.serving import Serving
from tests.edge_runtime.cuda.fake_driver import FakeDriver
from tests.edge_runtime.native.board import Board
from tests.edge_runtime.native.fake_tensorrt import write_plan
from tests.proof.subject import bundle_below, session_folder

CONTEXT = 512
OURS = "USER_MANAGED"


@pytest.fixture(scope="session")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_folder(tmp_path_factory)


@pytest.fixture
def bundle(subjects: Path) -> Bundle:
    return Bundle.open(bundle_below(subjects, "windowed", dialect="trt"), is_trusted=True)


def error_of(act: Callable[[], object]) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        act()
    return caught.value


def rows_of(bundle: Bundle, count: int, seed: int = 1) -> Array:
    ids = np.random.Generator(np.random.PCG64(seed)).integers(0, bundle.spec.decoder.vocab, count)
    return bundle.embedding()[ids][None].astype(np.float32)


def fed(decoder: DecoderGraph, rows: Array, start: int) -> Floats:
    last = np.array([[rows.shape[1] - 1]], dtype=np.int64)
    return decoder.step(rows, np.array([start], dtype=np.int64), last).logits


class Watched(Device):
    """Says how many engines of a library are alive when it is closed."""

    def __init__(self, driver: FakeDriver, engines: Callable[[], int]) -> None:
        super().__init__(load=lambda name: driver)
        self.engines = engines
        self.seen: list[int] = []

    def close(self) -> None:
        self.seen.append(self.engines())
        super().close()


def watched(board: Board) -> Watched:
    handed_out: list[weakref.ref[Any]] = []
    runtime = board.module.Runtime
    original = runtime.deserialize_cuda_engine

    def deserialize(self: Any, plan: Any) -> Any:
        handed_out.append(weakref.ref(engine := original(self, plan)))
        return engine

    runtime.deserialize_cuda_engine = deserialize
    return Watched(board.driver, lambda: sum(each() is not None for each in handed_out))


def test_no_engine_outlives_the_gpu_s_context_whoever_still_holds_a_decoder(
    bundle: Bundle, tmp_path: Path
) -> None:
    board = Board(settings={"weight_bytes": 4096})
    device = watched(board)
    plans = board.plans(bundle, "trt", tmp_path / "plans", Serving(CONTEXT))
    backend = NativeBackend(board.library, "trt", plans, lambda: device)
    kept = [backend.decoder(1, CONTEXT), backend.graph("adaptor")]
    assert device.engines() > 0
    backend.close()
    assert len(kept) == 2 and device.seen == [0] and board.driver.leaks() == []


@pytest.mark.parametrize("allocation", [1, 3, 9])
def test_an_opening_that_fails_halfway_leaves_no_engine_behind_its_traceback(
    bundle: Bundle, tmp_path: Path, allocation: int
) -> None:
    board = Board(
        driver=FakeDriver(fails={"cuMemAlloc_v2": (allocation, 2)}), settings={"weight_bytes": 4096}
    )
    device = watched(board)
    plans = board.plans(bundle, "trt", tmp_path / "plans", Serving(CONTEXT))
    backend = NativeBackend(board.library, "trt", plans, lambda: device)
    error = error_of(lambda: backend.decoder(1, CONTEXT))
    backend.close()
    assert error.code == "EVL-GPU-MEMORY" and error.__traceback__ is not None
    assert device.seen == [0] and board.driver.leaks() == []


def test_what_is_closed_is_closed_once_and_not_used_again(bundle: Bundle, tmp_path: Path) -> None:
    board = Board()
    backend = board.backend(bundle, "trt", tmp_path / "plans")
    decoder = backend.decoder(1, CONTEXT)
    scores = decoder.step(rows_of(bundle, 3), np.array([0]), np.array([[2]]))
    backend.close()
    calls = len(board.driver.log)
    backend.close()
    with pytest.raises(AssertionError, match="closed"):
        assert scores.logits.size
    assert len(board.driver.log) == calls, "the driver is not asked with handles that it took back"


def test_a_library_that_does_not_start_is_named_and_gives_the_gpu_back(
    bundle: Bundle, tmp_path: Path
) -> None:
    board = Board("tensorrt-10.3.0")

    def refuse(self: Any, logger: Any) -> None:
        logger.log(board.module.ILogger.Severity.ERROR, "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    board.module.Runtime.__init__ = refuse
    error = error_of(lambda: NativeBackend(board.library, "trt", {}, board.device))
    assert (error.code, error.why) == ("EVL-ENGINE-BROKEN", "CUDA initialization failure with error: 35")
    assert board.driver.leaks() == []


def test_a_driver_without_a_function_that_is_called_is_too_old() -> None:
    driver = FakeDriver(missing={"cuGraphInstantiateWithFlags"})
    error = error_of(lambda: Device(load=lambda name: driver))
    assert (error.code, error.what) == ("EVL-GPU-DRIVER", "NVIDIA's driver is too old")


@pytest.mark.parametrize("dialect", ["trt", "trt10"])
def test_an_answer_that_is_no_number_is_not_in_the_next_one(
    subjects: Path, tmp_path: Path, dialect: Dialect
) -> None:
    bundle = Bundle.open(bundle_below(subjects, "windowed", dialect=dialect), is_trusted=True)
    backend = Board().backend(
        bundle, dialect, tmp_path / "plans", replace(Serving(CONTEXT), prefill_tokens=8)
    )
    decoder = backend.decoder(1, CONTEXT)
    fed(decoder, rows_of(bundle, 5), 0)
    wanted = fed(decoder, rows_of(bundle, 1, seed=2), 5)
    broken = rows_of(bundle, 20, seed=3)
    broken[0, 6] = np.inf
    assert error_of(lambda: fed(decoder, broken, 5)).code == "EVL-LOGITS-NONFINITE"
    assert np.array_equal(fed(decoder, rows_of(bundle, 1, seed=2), 5), wanted)
    backend.close()


@contextmanager
def stopping(monkeypatch: pytest.MonkeyPatch, kind: type, name: str) -> Iterator[None]:
    """The user's Ctrl-C arrives right after this was done, or, of a wait, right before."""
    original = getattr(kind, name)

    def stopped(self: Any) -> None:
        if name != "wait":
            original(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(kind, name, stopped)
        with pytest.raises(KeyboardInterrupt):
            yield


def test_who_stops_a_recording_leaves_neither_a_recording_stream_nor_a_graph(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Board()
    backend = board.backend(bundle, "trt", tmp_path / "plans")
    decoder, row = backend.decoder(1, CONTEXT), rows_of(bundle, 1)
    fed(decoder, row, 0)
    with stopping(monkeypatch, Context, "run"):
        fed(decoder, row, 1)
    assert not [each for each in board.driver.leaks() if each.startswith("graph")]
    assert np.array_equal(fed(decoder, row, 1), fed(decoder, row, 1))
    assert decoder.is_recorded
    backend.close()


def test_a_step_that_was_stopped_halfway_does_not_read_what_the_next_one_is_fed(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Board().backend(bundle, "trt", tmp_path / "plans")
    decoder = backend.decoder(1, CONTEXT)
    wanted = fed(decoder, rows_of(bundle, 20), 0)
    with stopping(monkeypatch, Stream, "wait"):
        fed(decoder, rows_of(bundle, 3), 0)
    # Row 19 of three would be asked for, and the GPU's context be lost.
    assert np.array_equal(fed(decoder, rows_of(bundle, 20), 0), wanted)
    backend.close()


def test_steps_that_cannot_be_made_a_graph_are_asked_for_piece_by_piece(
    bundle: Bundle, tmp_path: Path
) -> None:
    board = Board(driver=FakeDriver(fails={"cuGraphInstantiateWithFlags": (1, 801)}))
    with board.assistant(bundle, "trt", tmp_path / "plans") as assistant:
        answer = assistant.ask("what is it?", request=Request(max_tokens=6))
    assert len(answer.token_ids) == 6 and board.driver.count("cuGraphLaunch") == 0
    assert board.driver.leaks() == []


def test_every_thread_that_opens_a_graph_is_told_which_gpu(bundle: Bundle, tmp_path: Path) -> None:
    backend = Board().backend(bundle, "trt", tmp_path / "plans")
    backend.decoder(1, CONTEXT)
    with ThreadPoolExecutor(1) as other:
        again = other.submit(lambda: fed(backend.decoder(1, CONTEXT), rows_of(bundle, 3), 0))
        assert np.isfinite(again.result()).all()
    backend.close()


def test_what_the_library_complained_of_before_is_no_fault_of_a_context(
    bundle: Bundle, tmp_path: Path
) -> None:
    backend = Board().backend(bundle, "trt", tmp_path / "plans")
    backend.graph("vision_low")
    backend._opener.words.hear("ERROR", "a kernel of another engine was slow to load")
    backend.graph("adaptor")
    backend.close()


def test_prompts_do_not_wait_for_kernels_of_their_own_length(bundle: Bundle, tmp_path: Path) -> None:
    board = Board()
    made: list[Any] = []
    backend = board.backend(bundle, "trt", tmp_path / "plans")
    original = board.module.ICudaEngine.create_runtime_config

    def remembered(self: Any) -> Any:
        made.append(original(self))
        return made[-1]

    board.module.ICudaEngine.create_runtime_config = remembered
    backend.decoder(1, CONTEXT)
    found = [each for each in made if str(each.get_execution_context_allocation_strategy().name) == OURS]
    assert [each.dynamic_shapes_kernel_specialization_strategy.name for each in found] == ["LAZY", "EAGER"]
    backend.close()


def test_a_decoder_that_wants_what_nobody_feeds_is_refused_by_name(bundle: Bundle, tmp_path: Path) -> None:
    entry = bundle.graph("decoder", "trt")
    model = onnx.load(bundle.path_of(entry))
    model.graph.input.append(onnx.helper.make_tensor_value_info("beam_index", onnx.TensorProto.INT64, [1]))
    onnx.save(model, tmp_path / "strange.onnx")
    board = Board()
    plans = board.plans(bundle, "trt", tmp_path / "plans", Serving(CONTEXT))
    profiles = engine_shapes(bundle, entry, Serving(CONTEXT))[0].profiles
    write_plan(tmp_path / "strange.onnx", profiles, plans["decoder.prefill"], built_for=board.title)
    backend = NativeBackend(board.library, "trt", plans, board.device)
    error = error_of(lambda: backend.decoder(1, CONTEXT))
    assert (error.code, error.what) == ("EVL-ENGINE-PORTS", "the engine's beam_index cannot be fed")
    backend.close()


def test_a_plan_that_is_empty_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    board = Board()
    plans = board.plans(bundle, "trt", tmp_path / "plans", Serving(CONTEXT))
    plans["adaptor"].write_bytes(b"")
    backend = NativeBackend(board.library, "trt", plans, board.device)
    assert error_of(lambda: backend.graph("adaptor")).code == "EVL-ENGINE-REFUSED"
    backend.close()


def test_a_folder_of_engines_that_there_is_not_is_named(bundle: Bundle, tmp_path: Path) -> None:
    wish = Wish(engines=tmp_path / "a slip of the pen")
    error = error_of(lambda: chosen(bundle, wish, Ground(gpu=lambda: None)))
    assert (error.code, error.why) == ("EVL-ENGINE-ABSENT", "there is no such folder")


def test_a_bundle_that_nothing_here_can_run_is_not_said_to_be_run_by_onnx_runtime(bundle: Bundle) -> None:
    error = error_of(lambda: chosen(bundle, Wish(), Ground(gpu=lambda: None)))
    assert (error.code, error.why) == ("EVL-BUNDLE-DIALECT", "it was exported for trt")


def test_engines_of_another_checkpoint_do_not_stand_in(bundle: Bundle) -> None:
    manifest = bundle.manifest
    elsewhere = replace(manifest.provenance, checkpoint_sha256="0" * 64)
    other = replace(bundle, manifest=replace(manifest, provenance=elsewhere))
    assert unfitness(other, bundle) == "it was exported from another checkpoint"
    assert unfitness(bundle, bundle) == ""
