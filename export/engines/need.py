"""What building an engine will take, told before it begins, and what the machine has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.onnxfile import OnnxFile

MIB = 1 << 20
MEMINFO = Path("/proc/meminfo")
LINE = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)
CGROUP = Path("/sys/fs/cgroup")  # of a container, seen from inside
# Measured on full-size models with TensorRT-RTX 1.7 (docs/engines, docs/calibration): the compiler holds its floats
# about twice, and integers as if they were half-precision floats twice; 250 MiB are the library itself.
LIBRARY_MIB, COPIES, HALF_BYTES = 250, 2.1, 2
INTEGERS = frozenset(("int4", "uint4", "int8", "uint8"))


@dataclass(frozen=True)
class Need:
    """MiB, as an estimate. `largest_mib` is the largest single weight: a Jetson wants such a piece in one."""

    held_mib: int
    plan_mib: int
    largest_mib: int


@dataclass(frozen=True)
class Room:
    """What the machine can give, in MiB. `contiguous_mib` is what a Jetson has set aside (CMA), None elsewhere."""

    free_mib: int
    contiguous_mib: int | None = None


def need_of(graph: OnnxFile) -> Need:
    sizes = [tensor.nbytes for tensor in graph.tensors]
    held = sum(
        HALF_BYTES * count(tensor.dims) if tensor.dtype in INTEGERS else tensor.nbytes
        for tensor in graph.tensors
    )
    return Need(
        round(LIBRARY_MIB + COPIES * held / MIB), -(-sum(sizes) // MIB), -(-max(sizes, default=0) // MIB)
    )


def count(dims: tuple[int, ...]) -> int:
    found = 1
    for dim in dims:
        found *= dim
    return found


def shortage(need: Need, room: Room) -> str:
    """Why it will not go well, in words; "" where nothing speaks against it."""
    if need.held_mib > room.free_mib:
        return f"it needs about {need.held_mib} MiB of memory, {room.free_mib} MiB are free"
    if room.contiguous_mib is not None and need.largest_mib > room.contiguous_mib:
        return (
            f"its largest weight takes {need.largest_mib} MiB in one piece, "
            f"and this board has set {room.contiguous_mib} MiB aside for such (CMA)"
        )
    return ""


def room_here(meminfo: Path = MEMINFO, cgroup: Path = CGROUP) -> Room:
    fields = {name: int(kib) >> 10 for name, kib in LINE.findall(meminfo.read_text(encoding="ascii"))}
    free = [fields["MemAvailable"], *left_in_container(cgroup)]
    cma = fields.get("CmaTotal", 0)
    return Room(min(free), cma or None)


def left_in_container(cgroup: Path) -> list[int]:
    """Of a container's own limit, if it has one; caches that can be dropped count as left."""
    try:
        limit = (cgroup / "memory.max").read_text(encoding="ascii").strip()
        used = int((cgroup / "memory.current").read_text(encoding="ascii"))
        stat = (cgroup / "memory.stat").read_text(encoding="ascii")
    except OSError:
        return []
    cached = sum(int(line.split()[1]) for line in stat.splitlines() if line.startswith("inactive_file "))
    return [] if limit == "max" else [max(0, int(limit) - max(0, used - cached)) // MIB]
