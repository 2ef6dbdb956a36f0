"""What is said when a server begins to answer: for people, and for programs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from edge_runtime.errors import one_line
from edge_runtime.server.engine import EngineFacts
from edge_runtime.server.settings import Settings


@dataclass(frozen=True)
class Banner:
    """`left_mib` is what the machine can still give."""

    url: str
    settings: Settings
    facts: EngineFacts
    left_mib: float

    def lines(self) -> Sequence[str]:
        facts = self.facts
        why = f" ({facts.engine_reason})" if facts.engine_reason else ""
        precision = ", ".join(f"{role} {kind}" for role, kind in facts.precision.items())
        lines = (
            f"{facts.model} answers at {self.url}",
            f"keys: {auth_words(self.settings)}",
            f"engine: {facts.engine}{why}",
            f"precision: {precision}",
            f"context: {facts.max_context} tokens, {facts.slots} at once",
            f"memory: {facts.memory_mib:.0f} MiB held, {self.left_mib:.0f} MiB left",
        )
        return [one_line(line) for line in lines]

    def record(self) -> Mapping[str, object]:
        facts = self.facts
        return {
            "url": self.url,
            "pid": os.getpid(),
            "auth": auth_of(self.settings),
            "model": facts.model,
            "engine": facts.engine,
            "engine_reason": facts.engine_reason,
            "precision": dict(facts.precision),
            "max_context": facts.max_context,
            "slots": facts.slots,
            "memory_mib": facts.memory_mib,
            "memory_left_mib": round(self.left_mib, 1),
        }


def auth_of(settings: Settings) -> str:
    return "none" if settings.api_key_file is None else "keys"


def auth_words(settings: Settings) -> str:
    if settings.api_key_file is not None:
        return "needed"
    return "none, FOR ANYBODY" if settings.insecure_no_auth else "none, for this machine only"


def url_of(settings: Settings, port: int) -> str:
    """As a client on this machine would write it."""
    if settings.uds is not None:
        return f"http+unix://{quote(str(settings.uds.absolute()), safe='')}"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
