"""What the HTTP app is made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edge_runtime.server.admission import Admission
from edge_runtime.server.engine import Engine
from edge_runtime.server.http.errands import Errands
from edge_runtime.server.http.metrics import Compat
from edge_runtime.server.kiosk import Kiosk
from edge_runtime.server.meter import Meter

KEEP_ALIVE_S = 10.0


class Images(Protocol):
    async def files(self, urls: Sequence[str]) -> tuple[bytes, ...]:
        """Whole files, in the order of the addresses. Raises EdgeVLError EVL-IMAGE-..."""


class Drain(Protocol):
    @property
    def is_draining(self) -> bool: ...


@dataclass(frozen=True)
class AppParts:
    """`clock` tells seconds since 1970. `keep_alive_s` is how long a stream may say nothing."""

    engine: Engine
    meter: Meter
    images: Images
    admission: Admission
    drain: Drain
    errands: Errands = field(default_factory=Errands)
    clock: Callable[[], float] = time.time
    keep_alive_s: float = KEEP_ALIVE_S
    metrics_compat: Compat = "none"
    kiosk: Kiosk | None = None
    stuck_after_s: float = 60.0  # without a token while it works, health says so
