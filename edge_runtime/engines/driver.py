"""Whether a CUDA device answers in this process."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

DRIVER = "libcuda.so.1"


def has_driver(load: Callable[[str], Any] = ctypes.CDLL) -> bool:
    """Only that it is installed: where it is not, there is no need to ask it."""
    try:
        load(DRIVER)
    except OSError:
        return False
    return True


def has_cuda_device(load: Callable[[str], Any] = ctypes.CDLL) -> bool:
    """Asks the driver itself. It may crash or hold on to the device: ask in a process that may end so."""
    if not has_driver(load):
        return False
    driver = load(DRIVER)
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return False
    return count.value > 0
