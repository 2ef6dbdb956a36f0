"""What the front end itself takes, where the kernel tells."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from edge_runtime.memory import status_of
from edge_runtime.version import VERSION


class ProcessMetrics(Collector):
    """Without a `proc` only the version is known."""

    def __init__(self, proc: Path = Path("/proc"), pid: int | None = None) -> None:
        self._proc = proc
        self._pid = pid or os.getpid()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        info = GaugeMetricFamily("edgevl_build_info", "What this is; always 1.", labels=["version"])
        info.add_metric([VERSION], 1)
        yield info
        resident_kib = status_of(self._pid, self._proc).get(b"VmRSS")
        if resident_kib is not None:
            yield GaugeMetricFamily(
                "edgevl_process_resident_memory_bytes", "Of the front end alone.", resident_kib * 1024
            )
        try:
            opened = len(os.listdir(self._proc / str(self._pid) / "fd"))
        except FileNotFoundError:
            return  # a kernel that does not tell
        yield GaugeMetricFamily("edgevl_process_open_descriptors", "Of the front end alone.", opened)
