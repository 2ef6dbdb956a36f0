"""What a worker is told when it begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Speculation = Literal["auto", "on", "off"]


@dataclass(frozen=True)
class Orders:
    """`bundle` and `engines` are paths. `slots` are answered at once where the engine can; the rest waits."""

    bundle: str
    engine: str = "auto"
    engines: str | None = None
    max_context: int | None = None
    is_trusted: bool = False
    slots: int = 4
    waiting: int = 64
    waiting_tokens: int = 1 << 16
    speculation: Speculation = "auto"
    most_pixels: int = 25_000_000  # of one picture

    def body(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def of_body(cls, body: Mapping[str, Any]) -> Orders:
        return cls(**body)
