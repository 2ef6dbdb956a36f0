"""What a figure was measured on, with what, by which command, and when: the end of every record."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone

from edge_runtime.bench.machine import machine_here, versions_here


def circumstances(command: str) -> dict[str, object]:
    return {
        "machine": asdict(machine_here()),
        "versions": asdict(versions_here()),
        "command": command,
        "date": datetime.now(timezone.utc).date().isoformat(),
    }
