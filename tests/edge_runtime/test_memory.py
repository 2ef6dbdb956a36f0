"""Memory as the kernel tells it: of the machine, of a whole tree of processes, and of this one."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_runtime import memory
from edge_runtime.memory import MemoryUse, MemoryWatch, memory_kb, memory_of_tree

MIB = 1 << 20
SIZE = 64 * MIB
SLACK_MIB = 8.0  # what else the interpreter takes or gives back meanwhile


def write_process(proc: Path, pid: int, anon_kb: int, shared_kb: int, rss_kb: int, *children: int) -> None:
    """Children hang on threads: every second one on another thread than the first."""
    for thread in (pid, pid + 1000):
        (proc / str(pid) / "task" / str(thread)).mkdir(parents=True)
    for thread, found in ((pid, children[::2]), (pid + 1000, children[1::2])):
        (proc / str(pid) / "task" / str(thread) / "children").write_text(" ".join(map(str, found)))
    status = (
        f"Name:\tx\nVmHWM:\t  999999 kB\nVmRSS:\t {rss_kb} kB\n"
        f"RssAnon:\t {anon_kb} kB\nRssFile:\t 777 kB\nRssShmem:\t {shared_kb} kB\n"
    )
    (proc / str(pid) / "status").write_text(status)


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ("", {}),
        ("CmaTotal:         262144 kB\nCmaFree:          131072 kB\n", {"CmaTotal": 262144}),
        ("CmaTotal:              0 kB\n", {"CmaTotal": 0}),
    ],
)
def test_a_machine_has_what_its_kernel_tells(tmp_path: Path, more: str, found: dict[str, int]) -> None:
    lines = "MemTotal:        7802036 kB\nMemFree:  9 kB\nMemAvailable:    5120000 kB\nHugePages_Total:   0\n"
    (tmp_path / "meminfo").write_text(lines + more)
    assert memory_kb(tmp_path) == {"MemTotal": 7802036, "MemAvailable": 5120000, **found}


def test_held_is_anonymous_and_shared_memory_and_resident_is_all(tmp_path: Path) -> None:
    write_process(tmp_path, 7, 2048, 1024, 10240)
    assert memory_of_tree(7, tmp_path) == MemoryUse(held_mib=3.0, resident_mib=10.0)


def test_children_of_every_thread_and_their_children_count(tmp_path: Path) -> None:
    write_process(tmp_path, 7, 1024, 0, 1024, 8, 9)
    write_process(tmp_path, 8, 1024, 0, 2048, 10)
    write_process(tmp_path, 9, 1024, 0, 1024)
    write_process(tmp_path, 10, 1024, 1024, 3072)
    write_process(tmp_path, 11, 1 << 20, 0, 1 << 20)  # not of this tree
    assert memory_of_tree(7, tmp_path) == MemoryUse(held_mib=5.0, resident_mib=7.0)


def test_a_process_that_has_just_ended_counts_as_nothing(tmp_path: Path) -> None:
    write_process(tmp_path, 7, 1024, 0, 1024, 8)
    assert memory_of_tree(7, tmp_path) == MemoryUse(1.0, 1.0)
    assert memory_of_tree(12, tmp_path) == MemoryUse(0.0, 0.0)


@pytest.mark.parametrize(
    ("call", "found"), [("listdir", MemoryUse(4.0, 8.0)), ("read_bytes", MemoryUse(2.0, 4.0))]
)
def test_a_process_that_ends_while_it_is_looked_at_counts_as_far_as_it_was_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, found: MemoryUse
) -> None:
    write_process(tmp_path, 7, 1024, 1024, 4096, 8)
    write_process(tmp_path, 8, 1024, 1024, 4096)
    owner: object = os if call == "listdir" else Path
    real = getattr(owner, call)

    def gone(path: Path, *more: object) -> object:
        if "8" in Path(path).parts:
            raise ProcessLookupError
        return real(path, *more)

    monkeypatch.setattr(owner, call, gone)
    assert memory_of_tree(7, tmp_path) == found


def test_touched_memory_is_held_and_resident() -> None:
    before = memory_of_tree(os.getpid())
    with mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as block:
        touch(block)
        during = memory_of_tree(os.getpid())
    assert during.held_mib - before.held_mib > SIZE / MIB - SLACK_MIB
    assert during.resident_mib - before.resident_mib > SIZE / MIB - SLACK_MIB


def test_a_mapped_file_is_resident_but_not_held(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(SIZE))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        before = memory_of_tree(os.getpid())
        assert sum(mapped[place] for place in range(0, SIZE, mmap.PAGESIZE)) == 0
        after = memory_of_tree(os.getpid())
    assert after.resident_mib - before.resident_mib > SIZE / MIB - SLACK_MIB
    assert after.held_mib - before.held_mib < SLACK_MIB


def test_a_watch_remembers_a_peak_that_is_gone_at_its_end() -> None:
    with MemoryWatch(seconds=0.005) as watch:
        with mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as block:
            touch(block)
            time.sleep(0.1)
        end = memory_of_tree(os.getpid())
    assert watch.peak.held_mib > end.held_mib + SIZE / MIB - SLACK_MIB


def test_a_watch_sees_children() -> None:
    lines = f"block = b'x' * {SIZE}\nprint('made', flush=True)\ninput()"
    alone = memory_of_tree(os.getpid())
    with (
        MemoryWatch(seconds=0.005) as watch,
        subprocess.Popen(
            [sys.executable, "-c", lines], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child,
    ):
        assert child.stdout is not None
        assert child.stdout.readline() == b"made\n"
        time.sleep(0.1)
        child.communicate(b"\n")
    assert watch.peak.held_mib > alone.held_mib + SIZE / MIB - SLACK_MIB


def test_held_and_resident_may_peak_at_different_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([MemoryUse(1.0, 9.0), MemoryUse(5.0, 6.0)])
    monkeypatch.setattr(memory, "memory_of_tree", lambda pid: next(looks, MemoryUse(2.0, 2.0)))
    with MemoryWatch(seconds=0.001) as watch:
        time.sleep(0.05)
    assert watch.peak == MemoryUse(5.0, 9.0)


def test_a_watch_stops_with_its_body() -> None:
    with pytest.raises(ZeroDivisionError), MemoryWatch(seconds=0.001) as watch:
        raise ZeroDivisionError
    assert not watch._thread.is_alive()


def touch(block: mmap.mmap) -> None:
    for place in range(0, SIZE, mmap.PAGESIZE):
        block[place] = 1


def test_a_process_has_its_own_peak_not_its_parents() -> None:
    held = bytearray(os.urandom(1 << 20) * 300)
    code = "from edge_runtime.memory import peak_resident_mib; print(peak_resident_mib())"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 1 < float(printed) < 200 < len(held) >> 20
