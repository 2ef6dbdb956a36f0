"""Little memory: the work is done, or the machine is said to have none left; no hang, and nothing left over."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from edge_runtime import digest
from tests.faults.forge import Ended, Forge
from tests.faults.state import assert_absent_or_whole, assert_nothing_else

# MiB above what the process holds when its work begins. With nothing at all the interpreter itself cannot
# start a thread, and waits for it for ever; what libraries do while they are loaded is theirs, too.
LITTLE = (1, 16, 48, 64, 96)


def assert_done_or_named(ended: Ended) -> bool:
    """Whether it was done."""
    assert "Traceback" not in ended.err
    if ended.status == 0:
        return True
    assert (ended.status, ended.code()) == (3, "EVL-MEMORY"), ended
    return False


@pytest.mark.parametrize("room_mib", LITTLE)
def test_an_answer_without_memory_is_given_or_refused(room_mib: int, forge: Forge, bundle: Path) -> None:
    arguments = ("run", bundle, "--prompt", "hi", "--max-tokens", "2")
    is_done = assert_done_or_named(forge.ran(*arguments, room_mib=room_mib))
    assert room_mib > 1 or not is_done, "the limit was none"


@pytest.mark.parametrize(
    "room_mib", [1, 48, *(pytest.param(room, marks=pytest.mark.slow) for room in (64, 96, 128))]
)
def test_an_export_without_memory_is_done_or_leaves_nothing(
    room_mib: int, forge: Forge, checkpoint: Path, bundle: Path, tmp_path: Path
) -> None:
    arguments = ("export", checkpoint, tmp_path / "out", "--precision", "fp32")
    is_done = assert_done_or_named(forge.ran(*arguments, room_mib=room_mib))
    assert_absent_or_whole(tmp_path / "out", bundle)
    assert_nothing_else(tmp_path, *(["out"] if is_done else []))
    assert room_mib > 1 or not is_done, "the limit was none"


@pytest.mark.parametrize("room_mib", LITTLE)
def test_a_check_without_memory_passes_or_is_refused(room_mib: int, forge: Forge, bundle: Path) -> None:
    assert_done_or_named(forge.ran("verify", bundle, room_mib=room_mib))


def test_a_thread_that_gets_no_memory_ends_the_hashing(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "CHUNK_BYTES", 1 << 60)
    ended: list[BaseException] = []

    def hashing() -> None:
        try:
            digest.sha256_by_path(bundle, {"embed.bin": 1, "tokenizer.json": 1})
        except MemoryError as error:
            ended.append(error)

    thread = threading.Thread(target=hashing, daemon=True)  # of its own: a failure here is a hang
    thread.start()
    thread.join(timeout=30)
    assert len(ended) == 1
