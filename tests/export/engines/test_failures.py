"""Processes that end in every way that a build's process can."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge_runtime.engines.library import Platform
from edge_runtime.errors import EdgeVLError, MachineFault
from export.engines.compiler import build_engine
from export.engines.failures import memory_error
from export.engines.request import BuildRequest

NANO, DESKTOP = Platform("aarch64", is_jetson=True), Platform("x86_64", is_jetson=False)
NVMAP = ("NvMapMemAllocInternalTagged: 1075072515 error 12", "NvMapMemHandleAlloc: error 0")
ROOT = Path(__file__).resolve().parents[3]
REAL_CHILD = "from export.engines.child import main; main()"


def child(*lines: str) -> Sequence[str]:
    """A double of the build's process."""
    return (sys.executable, "-c", "\n".join(lines))


def fault_of(request: BuildRequest, command: Sequence[str], limit_mib: int | None = None) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        build_engine(request, limit_mib, command)
    assert os.listdir(Path(request.plan).parent) == ["product.onnx"]
    return caught.value


def test_a_killed_process_is_a_lack_of_memory(product: BuildRequest) -> None:
    held = "held = bytearray(64 << 20); import time; time.sleep(0.3)"
    error = fault_of(product, child(held, "import os; os.kill(os.getpid(), 9)"))
    assert isinstance(error, MachineFault)
    assert error.code == "EVL-BUILD-MEMORY"
    reached_mib = int(error.why.rpartition("reached ")[2].split()[0])
    assert 64 <= reached_mib <= 160
    assert "add swap" in error.fix
    assert "--max-context" in error.fix


def test_a_crash_is_called_a_crash(product: BuildRequest) -> None:
    said = "import sys; print('CHECK(is_sane) failed', file=sys.stderr, flush=True)"
    error = fault_of(product, child(said, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"))
    assert isinstance(error, MachineFault)
    assert error.code == "EVL-BUILD-CRASH"
    assert "SIGSEGV" in error.why
    assert "CHECK(is_sane) failed" in error.why


def test_an_abort_for_want_of_memory_is_about_memory(product: BuildRequest) -> None:
    said = "import sys; print(\"terminate called: 'std::bad_alloc'\", file=sys.stderr, flush=True)"
    error = fault_of(product, child(said, "import os; os.abort()"))
    assert error.code == "EVL-BUILD-MEMORY"


def test_python_without_memory_is_about_memory(product: BuildRequest) -> None:
    error = fault_of(product, child("bytearray(1 << 60)"))
    assert error.code == "EVL-BUILD-MEMORY"


@pytest.mark.parametrize(
    "why",
    [
        "Error Code 2: OutOfMemory (Requested size was 1075072515 bytes.)",
        "CUDA error 2 for 622329856-byte allocation.",
        "Error Code 1: Cuda Runtime (out of memory)",
        NVMAP[0],
    ],
)
def test_a_jetson_is_told_of_memory_in_one_piece_and_not_of_swap_or_context(why: str) -> None:
    error = memory_error("decoder", why, 900, NANO)
    assert error.code == "EVL-BUILD-MEMORY"
    assert "cma=950M" in error.fix
    assert "--head int8" in error.fix
    assert "swap does not help" in error.fix
    assert "add swap" not in error.fix
    assert "--max-context" not in error.fix


def test_a_desktop_is_told_of_its_gpu_where_that_lacks_memory() -> None:
    error = memory_error("decoder", "Error Code 1: Cuda Runtime (out of memory)", 900, DESKTOP)
    assert "the GPU" in error.fix
    assert "swap" not in error.fix
    assert "cma=" not in error.fix


@pytest.mark.parametrize("place", [NANO, DESKTOP])
def test_memory_of_the_host_is_mended_by_swap_anywhere(place: Platform) -> None:
    error = memory_error("decoder", "its process was killed, as Linux does when memory runs out", 900, place)
    assert "add swap" in error.fix
    assert "cma=" not in error.fix


def test_no_remedy_speaks_of_what_nobody_can_choose(product: BuildRequest) -> None:
    error = fault_of(product, child("import os; os.kill(os.getpid(), 9)"))
    assert "profile" not in error.fix


def test_a_jetsons_allocator_is_heard_behind_a_crash(product: BuildRequest) -> None:
    said = f"import sys; print({NVMAP!r}[0], {NVMAP!r}[1], sep='\\n', file=sys.stderr, flush=True)"
    error = fault_of(product, child(said, "import os; os.abort()"))
    assert error.code == "EVL-BUILD-MEMORY"
    assert NVMAP[0] in error.why
    assert "cma=950M" in error.fix


def test_memory_that_was_refused_long_before_a_crash_is_not_its_cause(product: BuildRequest) -> None:
    lines = (*NVMAP, "another kernel", "timed", "CHECK(is_sane) failed")
    said = f"import sys; print(*{lines!r}, sep='\\n', file=sys.stderr, flush=True)"
    error = fault_of(product, child(said, "import os; os.abort()"))
    assert error.code == "EVL-BUILD-CRASH"
    assert "CHECK(is_sane) failed" in error.why


def test_a_process_that_ends_without_an_answer_has_crashed(product: BuildRequest) -> None:
    error = fault_of(product, child("pass"))
    assert error.code == "EVL-BUILD-CRASH"
    assert "no answer" in error.why


def test_a_real_build_in_too_small_an_address_space_is_about_memory(product: BuildRequest, rtx: None) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (480 << 20, 480 << 20))"
    error = fault_of(product, child(limit, REAL_CHILD))
    assert isinstance(error, MachineFault)
    assert error.code == "EVL-BUILD-MEMORY"


def test_a_real_build_past_its_limit_is_ended(product: BuildRequest, rtx: None) -> None:
    error = fault_of(product, child(REAL_CHILD), limit_mib=30)
    assert isinstance(error, MachineFault)
    assert error.code == "EVL-BUILD-MEMORY"
    assert "may hold 30 MiB" in error.why
    assert error.fix.startswith("raise the limit")
    assert "swap" not in error.fix


def test_a_full_disk_is_called_a_full_disk(product: BuildRequest, rtx: None) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))"
    error = fault_of(product, child(limit, REAL_CHILD))
    assert error.code == "EVL-DISK-FULL"


def test_an_interrupt_ends_the_build_and_leaves_nothing(product: BuildRequest, tmp_path: Path) -> None:
    parent, pid = started(product, tmp_path, "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)")
    parent.send_signal(signal.SIGINT)
    assert parent.wait(20) != 0
    assert is_gone(pid)
    assert sorted(os.listdir(tmp_path)) == ["pid", "product.onnx"]


def test_a_build_does_not_outlive_a_parent_that_was_killed(product: BuildRequest, tmp_path: Path) -> None:
    parent, pid = started(
        product, tmp_path, "from export.engines.child import become_expendable; become_expendable()"
    )
    parent.kill()
    parent.wait(20)
    assert is_gone(pid)


def started(request: BuildRequest, folder: Path, first: str) -> tuple[subprocess.Popen[bytes], int]:
    """A process that waits for a build that never ends, and the build's process."""
    mark = folder / "pid"
    build = [first, "import os, pathlib, time", f"place = pathlib.Path({str(mark)!r})"]
    build += [
        "place.with_suffix('.new').write_text(str(os.getpid()))",
        "place.with_suffix('.new').rename(place)",
    ]
    build += ["time.sleep(60)"]
    script = [
        "from export.engines.compiler import build_engine",
        "from export.engines.request import BuildRequest",
        f"request = BuildRequest('decoder', 'tensorrt-rtx', {request.onnx!r}, {request.plan!r})",
        f"build_engine(request, None, {list(child(*build))!r})",
    ]
    command = [sys.executable, "-c", "\n".join(script)]
    parent = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not mark.exists():
        assert time.monotonic() < deadline, "the build's process never started"
        time.sleep(0.01)
    return parent, int(mark.read_text())


def is_gone(pid: int) -> bool:
    """Within seconds; a process that is dead and not yet collected is gone."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/stat")
        try:
            if status.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False
