"""The GPU of this machine, as its driver tells: asked in a process of its own, which may crash or keep hold of it."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from edge_runtime.child import ran_apart
from edge_runtime.engines.driver import DRIVER, has_driver
from edge_runtime.engines.place import Gpu
from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.record import json_from_record, parsed_json, record_from_json

CHILD = (sys.executable, "-m", "edge_runtime.engines.gpu")
MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
MULTIPROCESSORS, IS_INTEGRATED = 16, 18  # CU_DEVICE_ATTRIBUTE_*
NAME_BYTES = 256
GIB = 1 << 30
ASK_S = 60.0  # a driver that hangs is no driver


def gpu_here(
    command: Sequence[str] = CHILD, is_driven: Callable[[], bool] = has_driver, limit_s: float = ASK_S
) -> Gpu | None:
    """None where no driver is installed, or it has no GPU. EVL-ENGINE-DRIVER where it gives no answer."""
    if not is_driven():
        return None
    with tempfile.TemporaryDirectory(prefix="edge-vl-gpu-") as folder:
        try:
            ended = ran_apart(command, folder, limit_s)
        except subprocess.TimeoutExpired as fault:
            raise silent_driver(f"it said nothing for {limit_s:.0f} seconds") from fault
    if ended.returncode != 0:
        raise silent_driver(f"asking for the GPU ended with status {ended.returncode}")
    return gpu_from_answer(ended.stdout)


def gpu_from_answer(answer: bytes) -> Gpu | None:
    try:
        told = parsed_json(answer)
        return None if told is None else record_from_json(Gpu, told, "the answer")
    except (ValueError, EdgeVLError) as fault:
        raise silent_driver(f"asking for the GPU gave no answer: {fault}") from fault


def silent_driver(why: str) -> MachineFault:
    fix = "run nvidia-smi; where it hangs or fails too, install the driver again or restart the machine"
    return MachineFault("EVL-ENGINE-DRIVER", "NVIDIA's driver does not answer", why, fix)


def gpu_from_driver(load: Callable[[str], Any] = ctypes.CDLL) -> Gpu | None:
    """Of the first device; None where there is none."""
    driver = load(DRIVER)
    if driver.cuInit(0) != 0:
        return None
    numbers = [ctypes.c_int(0) for _ in range(7)]
    count, device, major, minor, version, multiprocessors, is_integrated = numbers
    name, memory = ctypes.create_string_buffer(NAME_BYTES), ctypes.c_size_t(0)
    if driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value < 1:
        return None
    calls = (
        driver.cuDeviceGet(ctypes.byref(device), 0),
        driver.cuDeviceGetName(name, NAME_BYTES, device),
        driver.cuDeviceGetAttribute(ctypes.byref(major), MAJOR, device),
        driver.cuDeviceGetAttribute(ctypes.byref(minor), MINOR, device),
        driver.cuDeviceGetAttribute(ctypes.byref(multiprocessors), MULTIPROCESSORS, device),
        driver.cuDeviceGetAttribute(ctypes.byref(is_integrated), IS_INTEGRATED, device),
        driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device),
        driver.cuDriverGetVersion(ctypes.byref(version)),
    )
    if any(calls):
        return None
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
    shared_gib = fitted_gib(memory.value) if is_integrated.value else 0
    architecture = f"sm{major.value}{minor.value}"
    return Gpu(name.value.decode(errors="replace"), architecture, cuda, multiprocessors.value, shared_gib)


def fitted_gib(nbytes: int) -> int:
    """What a board was fitted with, a power of two. The driver tells what the system left: of 8 GiB 6.3 to 7.4, of 32
    a little more or less than 30, as firmware and release have it, so whole GiB would not stay what they were."""
    gib = -(-nbytes // GIB)
    return 1 << (gib - 1).bit_length()


def main() -> None:
    answers = os.dup(1)
    os.dup2(2, 1)  # the driver's own prints are no answer
    found = gpu_from_driver()
    told = json.dumps(None if found is None else json_from_record(found))
    with os.fdopen(answers, "w", encoding="utf-8") as channel:
        channel.write(told)


if __name__ == "__main__":
    main()
