"""Who sets this machine's clocks, and how high they may go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Clock:
    """Of some processor cores that share it, or of a device such as the GPU. MHz; None where it is not told."""

    name: str
    governor: str
    now_mhz: int | None
    highest_mhz: int | None


def clocks_below(sys: Path) -> tuple[Clock, ...]:
    """`sys` is where the kernel tells of devices: /sys."""
    return (*processor_clocks(sys), *device_clocks(sys))


def processor_clocks(sys: Path) -> Iterator[Clock]:
    for policy in sorted((sys / "devices/system/cpu/cpufreq").glob("policy*")):
        now, highest = (mhz_in(policy / f"scaling_{which}_freq", 1000) for which in ("cur", "max"))
        yield Clock(f"cpu {policy.name}", text_in(policy / "scaling_governor"), now, highest)


def device_clocks(sys: Path) -> Iterator[Clock]:
    for device in sorted((sys / "class/devfreq").glob("*")):
        now, highest = (mhz_in(device / f"{which}_freq", 1_000_000) for which in ("cur", "max"))
        yield Clock(device.name, text_in(device / "governor"), now, highest)


def text_in(path: Path) -> str:
    """Not every driver tells everything, and some only the administrator."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""


def mhz_in(path: Path, units: int) -> int | None:
    text = text_in(path)
    return int(text) // units if text.isdecimal() else None
