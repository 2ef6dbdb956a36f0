"""What a machine tells of itself, on a Jetson's files and on those of other machines."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge_runtime.engines.place import Gpu
from edge_runtime.errors import MachineFault
from edge_runtime.record import json_from_record
from jetson.board import Ground, answer_of_tool, board_here
from jetson.clocks import Clock
from jetson.libraries import LibraryHere, LibraryName, library_here

ORIN = Gpu("Orin", "sm87", "12.6")
RELEASE = "# R36 (release), REVISION: 4.7, GCID: 42132812, BOARD: generic, EABI: aarch64"
PACKAGES = "installed\tnvidia-jetpack\t6.2.1+b38\nnot-installed\tlibcudnn9\t\ndpkg-query: no packages found\n"
TOLD = {"dpkg-query": PACKAGES, "nvpmodel": "NV Power Mode: MAXN_SUPER\n2"}


def told(words: Sequence[str]) -> str:
    return TOLD[words[0]]


def untold(words: Sequence[str]) -> str:
    return ""


def works(name: LibraryName) -> LibraryHere:
    return LibraryHere("10.3.0")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Of a plain machine."""
    write(tmp_path / "proc/meminfo", "MemTotal: 7802880 kB\nMemAvailable: 6291456 kB\n")
    write(tmp_path / "proc/cpuinfo", "model name\t: ARMv8 Processor rev 1 (v8l)\n")
    return tmp_path


@pytest.fixture
def jetson(root: Path) -> Path:
    with (root / "proc/meminfo").open("a") as file:
        file.write("CmaTotal: 262144 kB\n")
    write(root / "proc/device-tree/model", "NVIDIA Jetson Orin Nano Developer Kit\0")
    write(root / "etc/nv_tegra_release", f"{RELEASE}\n")
    policy, gpu = root / "sys/devices/system/cpu/cpufreq/policy0", root / "sys/class/devfreq/17000000.gpu"
    write(policy / "scaling_governor", "schedutil\n")
    write(policy / "scaling_cur_freq", "729600\n")
    write(policy / "scaling_max_freq", "1728000\n")
    write(gpu / "governor", "nvhost_podgov\n")
    write(gpu / "max_freq", "1020000000\n")
    return root


def test_a_jetson_is_known_by_its_own_files(jetson: Path) -> None:
    board = board_here(Ground(jetson, told, lambda: ORIN, works))
    assert board.model == "NVIDIA Jetson Orin Nano Developer Kit"
    assert (board.tegra_release, board.power_mode) == (RELEASE, "NV Power Mode: MAXN_SUPER\n2")
    assert (board.machine.memory_mib, board.available_mib, board.cma_mib) == (7620, 6144, 256)
    assert board.packages == {"nvidia-jetpack": "6.2.1+b38"}
    assert board.clocks == (
        Clock("cpu policy0", "schedutil", 729, 1728),
        Clock("17000000.gpu", "nvhost_podgov", None, 1020),
    )
    assert (board.gpu, board.versions["tensorrt"], board.faults) == (ORIN, "10.3.0", ())


def test_on_another_machine_there_is_nothing_of_a_jetson(root: Path) -> None:
    board = board_here(Ground(root, untold, lambda: None, works))
    assert (board.model, board.tegra_release, board.power_mode, board.packages) == ("", "", "", {})
    assert (board.cma_mib, board.clocks, board.gpu, board.faults) == (None, (), None, ())


def test_a_jetson_whose_gpu_does_not_answer_is_at_fault(jetson: Path) -> None:
    (fault,) = board_here(Ground(jetson, told, lambda: None, works)).faults
    assert "--runtime nvidia" in fault


def test_a_driver_that_does_not_answer_is_a_fault(root: Path) -> None:
    def silent() -> Gpu | None:
        raise MachineFault("EVL-ENGINE-DRIVER", "NVIDIA's driver does not answer", "60 seconds", "restart")

    board = board_here(Ground(root, untold, silent, works))
    assert board.faults == ("NVIDIA's driver does not answer: 60 seconds",)


def test_a_library_that_is_broken_is_a_fault_and_one_that_is_absent_is_not(root: Path) -> None:
    def library(name: LibraryName) -> LibraryHere:
        if name == "tensorrt":
            return LibraryHere(fault="libnvdla_compiler.so is not there")
        return LibraryHere(fault="not installed", is_installed=False)

    board = board_here(Ground(root, untold, lambda: None, library))
    assert board.faults == ("tensorrt: libnvdla_compiler.so is not there",)
    assert board.absent == {"onnxruntime": "not installed", "tensorrt-rtx": "not installed"}
    assert "tensorrt" not in board.versions


def test_a_tool_that_is_not_installed_tells_nothing() -> None:
    assert answer_of_tool(["edge-vl-no-such-tool", "-q"]) == ""


def test_a_tool_that_fails_is_quoted() -> None:
    assert "NoSuch" in answer_of_tool([sys.executable, "-c", "raise SystemExit('NoSuch mode')"])


def test_a_tool_that_hangs_is_not_waited_for() -> None:
    said = answer_of_tool([sys.executable, "-c", "import time; time.sleep(600)"], limit_s=0.5)
    assert said.endswith("had not ended after 0 seconds")


def test_a_library_is_opened_and_tells_its_version() -> None:
    assert library_here("onnxruntime").version.count(".") == 2


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os.abort()", "to open it failed: it was ended by SIGABRT"),
        ("raise OSError('no libnvinfer')", "to open it failed: OSError: no libnvinfer"),
        ("print('hello')", "to open it gave no answer"),
    ],
)
def test_a_library_that_takes_its_process_down_is_at_fault(code: str, words: str) -> None:
    found = library_here("tensorrt", (sys.executable, "-c", code))
    assert (found.fault[: len(words)], found.is_installed) == (words, True)


def test_a_library_that_hangs_is_at_fault() -> None:
    command = (sys.executable, "-c", "import time; time.sleep(600)")
    assert library_here("tensorrt", command, limit_s=0.5).fault == "it was not open after 0 seconds"


def test_this_machine_tells_in_one_line_of_json() -> None:
    done = subprocess.run([sys.executable, "-m", "jetson.board"], capture_output=True, check=False, text=True)
    told_here = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert done.returncode == (1 if told_here["faults"] else 0), done.stderr
    assert told_here["machine"] == json_from_record(board_here(Ground(ask=untold, library=works)).machine)
