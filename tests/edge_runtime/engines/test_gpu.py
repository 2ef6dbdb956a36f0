"""Which GPU there is, as a driver tells that may fail, crash, hang or say anything."""

from __future__ import annotations

import ctypes
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.engines.gpu import CHILD, gpu_from_driver, gpu_here
from edge_runtime.engines.place import Gpu
from edge_runtime.errors import MachineFault

CALLS = (
    "cuInit",
    "cuDeviceGetCount",
    "cuDeviceGet",
    "cuDeviceGetName",
    "cuDeviceGetAttribute",
    "cuDeviceTotalMem_v2",
    "cuDriverGetVersion",
)
MIB = 1 << 20
ORIN = Gpu("Orin", "sm87", "12.6", 8, 8)
TOLD = '{"name": "Orin", "architecture": "sm87", "driver": "12.6", "multiprocessors": 8, "shared_gib": 8}'
# What asks, with another driver: it prints, as drivers do.
NOISY = """
import os
from edge_runtime.engines.place import Gpu
from edge_runtime.engines import gpu

def asked():
    print("driver: hello", flush=True)
    os.write(1, b"driver: hello again")
    return {answer}

gpu.gpu_from_driver = asked
gpu.main()
"""


class Driver:
    """A CUDA driver with some devices; one of its calls may fail. Its memory is a board's, unless `is_own`."""

    def __init__(
        self,
        devices: int = 1,
        failing: str = "",
        name: bytes = b"Orin",
        sm: str = "8.7",
        cuda: int = 12060,
        count: int = 8,
        mib: int = 7620,
        is_own: bool = False,
    ) -> None:
        self.devices, self.failing, self.name, self.cuda, self.mib = devices, failing, name, cuda, mib
        major, minor = map(int, sm.split("."))
        self.attributes = {16: count, 18: int(not is_own), 75: major, 76: minor}
        self.is_started = False
        self.calls: list[str] = []

    def answer(self, call: str) -> int:
        self.calls.append(call)
        return 999 if call == self.failing else 0

    def cuInit(self, flags: int) -> int:  # noqa: N802  (the driver's names)
        assert flags == 0
        self.is_started = True
        return self.answer("cuInit")

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        assert self.is_started
        put(count, self.devices)
        return self.answer("cuDeviceGetCount")

    def cuDeviceGet(self, device: Any, number: int) -> int:  # noqa: N802
        assert 0 <= number < self.devices
        put(device, 40 + number)
        return self.answer("cuDeviceGet")

    def cuDeviceGetName(self, name: Any, size: int, device: ctypes.c_int) -> int:  # noqa: N802
        assert device.value == 40
        assert size == ctypes.sizeof(name)
        name.value = self.name[: size - 1]
        return self.answer("cuDeviceGetName")

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: ctypes.c_int) -> int:  # noqa: N802
        assert device.value == 40
        put(value, self.attributes[attribute])
        return self.answer("cuDeviceGetAttribute")

    def cuDeviceTotalMem_v2(self, nbytes: Any, device: ctypes.c_int) -> int:  # noqa: N802
        assert device.value == 40
        ctypes.cast(nbytes, ctypes.POINTER(ctypes.c_size_t))[0] = self.mib * MIB
        return self.answer("cuDeviceTotalMem_v2")

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        put(version, self.cuda)
        return self.answer("cuDriverGetVersion")


def put(place: Any, value: int) -> None:
    ctypes.cast(place, ctypes.POINTER(ctypes.c_int))[0] = value


def told(driver: Driver) -> Gpu | None:
    return gpu_from_driver(lambda name: driver if name == "libcuda.so.1" else None)


def child(*lines: str) -> Sequence[str]:
    return (sys.executable, "-c", "\n".join(lines))


def says(text: str) -> Sequence[str]:
    return child("import sys", f"sys.stdout.write({text!r})")


def is_driven() -> bool:
    return True


def refusal(command: Sequence[str], limit_s: float = 60) -> MachineFault:
    with pytest.raises(MachineFault) as caught:
        gpu_here(command, is_driven, limit_s)
    error = caught.value
    assert (error.code, error.exit_status) == ("EVL-ENGINE-DRIVER", 3)
    assert error.what == "NVIDIA's driver does not answer"
    assert "nvidia-smi" in error.fix
    return error


@pytest.mark.parametrize(
    ("driver", "gpu"),
    [
        (Driver(), ORIN),
        (Driver(devices=2), ORIN),
        (Driver(name=b"NVIDIA Thor", sm="11.0", cuda=13000), Gpu("NVIDIA Thor", "sm110", "13.0", 8, 8)),
        (Driver(sm="12.1", cuda=12080), Gpu("Orin", "sm121", "12.8", 8, 8)),
        (Driver(sm="9.0", cuda=12100), Gpu("Orin", "sm90", "12.10", 8, 8)),
        (Driver(name=b"\xff"), Gpu("\ufffd", "sm87", "12.6", 8, 8)),
        (Driver(name=b"x" * 300), Gpu("x" * 255, "sm87", "12.6", 8, 8)),
        (Driver(name=b"RTX 4090", sm="8.9", count=128, is_own=True), Gpu("RTX 4090", "sm89", "12.6", 128)),
    ],
)
def test_a_gpu_is_as_its_driver_tells(driver: Driver, gpu: Gpu) -> None:
    assert told(driver) == gpu


def test_boards_of_one_family_are_not_one_gpu() -> None:
    boards = {"Nano 4": (4, 3430), "Nano 8": (8, 7620), "NX 16": (8, 15523), "AGX 32": (14, 30697)}
    boards |= {"AGX 64": (16, 62841), "AGX 64 in a mode that switches half off": (8, 62841)}
    assert len({told(Driver(count=count, mib=mib)) for count, mib in boards.values()}) == len(boards)


@pytest.mark.parametrize(
    ("fitted", "left"),
    [(8, (6451, 7373, 7471, 7620)), (16, (15200, 15523)), (32, (30400, 30697, 30720, 30721))],
)
def test_whatever_the_system_keeps_of_a_boards_memory_it_is_the_same_board(
    fitted: int, left: tuple[int, ...]
) -> None:
    assert {told(Driver(mib=mib)) for mib in left} == {Gpu("Orin", "sm87", "12.6", 8, fitted)}


def test_without_a_device_there_is_no_gpu() -> None:
    assert told(Driver(devices=0)) is None


def test_every_call_is_made() -> None:
    # Or a failing one below would change nothing.
    driver = Driver()
    told(driver)
    assert sorted(set(driver.calls)) == sorted(CALLS)


@pytest.mark.parametrize("call", CALLS)
def test_a_driver_that_fails_has_no_gpu(call: str) -> None:
    driver = Driver(failing=call)
    assert told(driver) is None
    assert call in driver.calls


def test_without_a_driver_no_process_is_started(tmp_path: Path) -> None:
    def has_none() -> bool:
        return False

    assert gpu_here((str(tmp_path / "nothing"),), has_none) is None
    with pytest.raises(FileNotFoundError):  # were one started, it would show
        gpu_here((str(tmp_path / "nothing"),), is_driven)


def test_what_the_other_process_says_is_the_answer() -> None:
    assert gpu_here(says(TOLD), is_driven) == ORIN
    assert gpu_here(says("null"), is_driven) is None


@pytest.mark.parametrize("gpu", [ORIN, None])
def test_what_a_driver_prints_is_no_answer(gpu: Gpu | None) -> None:
    assert gpu_here(child(NOISY.format(answer=gpu)), is_driven) == gpu


def test_it_is_asked_where_no_file_of_the_users_is_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise ImportError('the user has a file of this name')")
    monkeypatch.chdir(tmp_path)
    where = child("import json, os", f"print({TOLD!r}.replace('Orin', os.path.basename(os.getcwd())))")
    gpu = gpu_here(where, is_driven)
    assert gpu is not None
    assert gpu.name.startswith("edge-vl-gpu-")


@pytest.mark.parametrize(
    ("last", "status"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
        ("os.abort()", -signal.SIGABRT),
        ("sys.exit(3)", 3),
        ("raise MemoryError", 1),
    ],
)
def test_a_crash_is_a_named_fault_of_the_machine(last: str, status: int) -> None:
    # Even after an answer: it may be half of one.
    command = child("import os, signal, sys", f"print({TOLD!r}, flush=True)", last)
    assert refusal(command).why == f"asking for the GPU ended with status {status}"


def test_a_driver_that_hangs_is_ended(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    lines = ("import os, pathlib, time", f"pathlib.Path({str(pid)!r}).write_text(str(os.getpid()))")
    error = refusal(child(*lines, "time.sleep(600)"), limit_s=2)
    assert error.why == "it said nothing for 2 seconds"
    assert not Path("/proc", pid.read_text()).exists()


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "{",
        "Segmentation fault",
        "NaN",
        "[" * 10**4,
        "[]",
        "7",
        '"Orin"',
        "{}",
        TOLD[:-1] + ', "cores": 8}',
        TOLD.replace('"sm87"', "87"),
        TOLD + TOLD,
        "\udcff",
    ],
)
def test_rubbish_is_a_named_fault_of_the_machine(answer: str) -> None:
    data = answer.encode(errors="surrogateescape")
    command = child("import sys", f"sys.stdout.buffer.write({data!r})")
    assert refusal(command).why.startswith("asking for the GPU gave no answer: ")


def test_a_driver_that_cannot_be_loaded_is_a_fault_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "libcuda.so.1").write_bytes(b"not a library")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    assert refusal(CHILD).why == "asking for the GPU ended with status 1"
