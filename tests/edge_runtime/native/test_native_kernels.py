"""What TensorRT-RTX compiled is kept beside the plan, and counts for nothing where it is damaged or of another machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.backends.native.kernels import SUFFIX
from edge_runtime.bundle import Bundle
from edge_runtime.request import Request
from export.engines.serving import Serving
from tests.edge_runtime.native.board import RTX, Board
from tests.proof.subject import bundle_below, session_folder

REQUEST = Request(max_tokens=4)
NAME = f"adaptor{SUFFIX}"


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = bundle_below(session_folder(tmp_path_factory), "windowed", dialect="trt")
    return Bundle.open(path, is_trusted=True)


def answered(bundle: Bundle, folder: Path, title: str = RTX) -> tuple[int, ...]:
    with Board(title).assistant(bundle, "trt", folder) as assistant:
        return assistant.ask("what is it?", request=REQUEST).token_ids


def test_kernels_are_kept_for_the_next_time(bundle: Bundle, tmp_path: Path) -> None:
    first = answered(bundle, tmp_path)
    kept = (tmp_path / NAME).read_bytes()
    assert b"1.7.1.116" in kept
    assert answered(bundle, tmp_path) == first
    assert (tmp_path / NAME).read_bytes() == kept


@pytest.mark.parametrize("harm", [b"", b"x" * 100, b"\x00"], ids=["empty", "other bytes", "a byte"])
def test_damaged_kernels_are_compiled_anew(bundle: Bundle, tmp_path: Path, harm: bytes) -> None:
    first = answered(bundle, tmp_path)
    kept = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(harm)
    assert answered(bundle, tmp_path) == first
    assert (tmp_path / NAME).read_bytes() == kept


def test_one_flipped_bit_never_reaches_the_library(bundle: Bundle, tmp_path: Path) -> None:
    answered(bundle, tmp_path)
    kept = bytearray((tmp_path / NAME).read_bytes())
    (tmp_path / NAME).write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    answered(bundle, tmp_path)
    assert (tmp_path / NAME).read_bytes() == kept


def test_tensorrt_itself_keeps_none(bundle: Bundle, tmp_path: Path) -> None:
    answered(bundle, tmp_path, "tensorrt-11.4.0.106")
    assert not (tmp_path / NAME).exists()


def test_a_folder_that_is_gone_keeps_nothing_and_nothing_fails(bundle: Bundle, tmp_path: Path) -> None:
    folder, board = tmp_path / "plans", Board()
    assistant = board.assistant(bundle, "trt", folder)
    assistant.ask("what is it?", request=REQUEST)
    folder.rename(tmp_path / "elsewhere")
    assistant.close()
    assert board.driver.leaks() == [] and not folder.exists()


def test_every_engine_has_its_own(bundle: Bundle, tmp_path: Path) -> None:
    board = Board()
    plans = board.plans(bundle, "trt", tmp_path, Serving(512))
    backend = board.opened(plans, "trt")
    backend.decoder(1, 512)
    backend.close()
    assert sorted(path.name for path in tmp_path.glob(f"*{SUFFIX}")) == [
        f"decoder.decode{SUFFIX}",
        f"decoder.prefill{SUFFIX}",
    ]
