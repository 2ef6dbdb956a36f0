"""What the service manager is told: systemd's protocol of datagrams."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge_runtime.errors import MachineFault, one_line
from edge_runtime.server.engine import EngineState, Health

SEND_S = 1.0


class Notifier:
    """Says nothing where nobody listens, which is where `address` is None."""

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        self._address = address
        self.watchdog_s = None if address is None else watchdog_s  # how long we may be silent

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], pid: int) -> Notifier:
        limit_us = environ.get("WATCHDOG_USEC", "")
        is_ours = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        is_watched = is_ours and limit_us.isascii() and limit_us.isdigit() and int(limit_us) > 0
        return cls(environ.get("NOTIFY_SOCKET") or None, int(limit_us) / 1e6 if is_watched else None)

    def ready(self, status: str) -> None:
        self._send("READY=1", f"STATUS={one_line(status)}")

    def status(self, text: str) -> None:
        self._send(f"STATUS={one_line(text)}")

    def reloading(self) -> None:
        """`ready` ends it."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now_us}")

    def stopping(self, status: str) -> None:
        self._send("STOPPING=1", f"STATUS={one_line(status)}")

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if self._address is None:
            return
        # A name of the abstract kind begins with a zero, which no variable can hold.
        place = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as speaker:
                speaker.settimeout(SEND_S)
                speaker.sendto("\n".join(lines).encode(), place)
        except OSError as fault:
            what, why = "the service manager cannot be told how we are", fault.strerror or str(fault)
            fix = "check NOTIFY_SOCKET, or start edge-vl without it"
            raise MachineFault("EVL-SERVE-NOTIFY", what, why, fix) from fault


@dataclass(frozen=True)
class Liveness:
    """Whether answers come, or could: work makes progress, and a worker that went away is back in time."""

    moving_s: float  # without a token for so long, while it works, it does not move
    absent_s: float  # so long a worker may be away

    def is_alive(self, health: Health, state: EngineState, away_s: float) -> bool:
        """`away_s`: for how long it has not been ready."""
        if health.condition == "ready":
            return state.last_token_age_s is None or state.last_token_age_s <= self.moving_s
        return health.condition != "failed" and away_s <= self.absent_s


class Watchdog:
    """Tells the service manager that we are alive, if we are."""

    def __init__(
        self,
        notifier: Notifier,
        liveness: Liveness,
        looked: Callable[[], tuple[Health, EngineState]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._notifier, self._liveness, self._looked, self._clock = notifier, liveness, looked, clock
        self._last_ready = clock()

    def beat(self) -> bool:
        """Whether it was told."""
        health, state = self._looked()
        now = self._clock()
        if health.condition == "ready":
            self._last_ready = now
        is_alive = self._liveness.is_alive(health, state, now - self._last_ready)
        if is_alive:
            self._notifier.alive()
        return is_alive
