"""What answers cost in joules, where the machine has meters of its own that may be read."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

SYS = Path("/sys")
# What supplies a whole module: of Orin Nano and NX one rail, of AGX Orin three beside each other.
WHOLE: tuple[tuple[str, ...], ...] = (("VDD_IN",), ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"))
SAMPLE_S = 0.02
UNREADABLE = (OSError, ValueError)
MICRO = 1e-6


class EnergyMeter(Protocol):
    """`joules` are since any moment; they only grow."""

    name: str

    def joules(self) -> float: ...


@dataclass
class Counter:
    """One zone of powercap: microjoules that start again from zero at `limit`."""

    path: Path
    limit: int
    last: int = 0
    total: int = 0

    def read(self) -> int:
        now = number_in(self.path)
        self.total += now - self.last if now >= self.last else self.limit - self.last + now
        self.last = now
        return self.total


class Counters:
    """Of processors, as they count themselves (RAPL)."""

    name = "the processors' packages (powercap)"

    def __init__(self, counters: Sequence[Counter]) -> None:
        self._counters = counters

    def joules(self) -> float:
        return MICRO * sum(counter.read() for counter in self._counters)


@dataclass(frozen=True)
class Rail:
    """A channel of an INA3221, in millivolts and milliamperes."""

    label: str
    volts: Path
    amperes: Path

    def watts(self) -> float:
        return MICRO * number_in(self.volts) * number_in(self.amperes)


class Rails:
    """Summed up by a thread, from `start` to `close`."""

    def __init__(self, rails: Sequence[Rail], clock: Callable[[], float] = time.monotonic) -> None:
        self.name = f"{' + '.join(rail.label for rail in rails)} (INA3221)"
        self._rails, self._clock = rails, clock
        self._lock, self._is_over = threading.Lock(), threading.Event()
        self._joules, self._at, self._watts = 0.0, clock(), self._read()
        self._thread = threading.Thread(target=self._sample, name="energy", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._is_over.set()
        self._thread.join()

    def joules(self) -> float:
        with self._lock:
            now, watts = self._clock(), self._read()
            self._joules += (now - self._at) * (watts + self._watts) / 2
            self._at, self._watts = now, watts
            return self._joules

    def _read(self) -> float:
        return sum(rail.watts() for rail in self._rails)

    def _sample(self) -> None:
        with suppress(*UNREADABLE):  # who asks next meets it again
            while not self._is_over.wait(SAMPLE_S):
                self.joules()


class Metered:
    """The meter of this machine while the body runs; `joules` is None where there is none that may be read."""

    def __init__(self, sys: Path = SYS) -> None:
        self.meter = meter_here(sys)

    def __enter__(self) -> Metered:
        if isinstance(self.meter, Rails):
            self.meter.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(self.meter, Rails):
            self.meter.close()

    def joules(self) -> float | None:
        try:
            return None if self.meter is None else self.meter.joules()
        except UNREADABLE:
            return None


def meter_here(sys: Path = SYS) -> EnergyMeter | None:
    """Rails of the whole module before counters of its processors."""
    try:
        rails = rails_of(sys)
        if rails:
            return Rails(rails)
        counters = counters_of(sys)
    except UNREADABLE:  # not for everybody: powercap is root's on most machines
        return None
    return Counters(counters) if counters else None


def rails_of(sys: Path) -> list[Rail]:
    found: dict[str, Rail] = {}
    for label in sorted((sys / "class" / "hwmon").glob("hwmon*/in[123]_label")):
        if text_in(label.parent / "name") == "ina3221":
            channel = label.name[2]
            rail = Rail(
                text_in(label), label.with_name(f"in{channel}_input"), label.with_name(f"curr{channel}_input")
            )
            found.setdefault(rail.label, rail)
    return next(([found[name] for name in names] for names in WHOLE if found.keys() >= set(names)), [])


def counters_of(sys: Path) -> list[Counter]:
    zones = sorted((sys / "class" / "powercap").glob("*-rapl:[0-9]*"))
    packages = [zone for zone in zones if text_in(zone / "name").startswith("package-")]
    return [
        Counter(zone / "energy_uj", number_in(zone / "max_energy_range_uj"), number_in(zone / "energy_uj"))
        for zone in packages
    ]


def text_in(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()


def number_in(path: Path) -> int:
    return int(text_in(path))
