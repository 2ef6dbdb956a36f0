"""What building an engine will take, told before it begins, and what the machine has."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.engines.library import Platform, this_platform
from edge_runtime.memory import memory_kb
from edge_runtime.onnxfile import OnnxFile, Tensor
from export.engines.failures import OF_A_JETSON

MIB = 1 << 20
PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")  # of a container, seen from inside
# Measured on full-size models with TensorRT-RTX 1.7 (docs/engines, docs/calibration): 250 MiB are the library itself,
# floats are held about twice; an 8-bit weight takes up to 2.1 bytes in all and a 4-bit one 1.7. To integers a fifth
# is added: the peaks of engines with the same ones differ by a tenth.
LIBRARY_MIB, COPIES = 250, 2.1
OF_ROOM = "close other programs, or quantise with `edge-vl calibrate`"
INTEGER_BYTES = {"int4": 1.0, "uint4": 1.0, "int8": 1.2, "uint8": 1.2}  # an element, in each copy


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
    held = COPIES * sum(held_bytes(tensor) for tensor in graph.tensors)
    return Need(round(LIBRARY_MIB + held / MIB), -(-sum(sizes) // MIB), -(-max(sizes, default=0) // MIB))


def held_bytes(tensor: Tensor) -> float:
    """By one copy of it."""
    each = INTEGER_BYTES.get(tensor.dtype)
    return tensor.nbytes if each is None else each * math.prod(tensor.dims)


def shortage(need: Need, room: Room) -> str:
    """Why it will not go well, in words; "" where nothing speaks against it."""
    if need.held_mib > room.free_mib:
        return f"it needs about {need.held_mib} MiB of memory, {room.free_mib} MiB are free"
    if lacks_a_piece(need, room):
        return (
            f"its largest weight takes {need.largest_mib} MiB in one piece, "
            f"and this board has set {room.contiguous_mib} MiB aside for such (CMA)"
        )
    return ""


def lacks_a_piece(need: Need, room: Room) -> bool:
    return room.contiguous_mib is not None and need.largest_mib > room.contiguous_mib


def remedy_of_shortage(need: Need, room: Room) -> str:
    is_piece = need.held_mib <= room.free_mib and lacks_a_piece(need, room)
    way = OF_A_JETSON if is_piece else OF_ROOM
    return f"{way}; where the estimate is wrong, --memory-mib says what a build may take"


def room_here(proc: Path = PROC, cgroup: Path = CGROUP, place: Platform | None = None) -> Room:
    """Many kernels set contiguous memory aside; only a Jetson's allocator takes its GPU's memory from there."""
    memory = memory_kb(proc)
    free = min([memory["MemAvailable"] >> 10, *left_in_container(cgroup)])
    is_jetson = (place or this_platform()).is_jetson
    return Room(free, memory.get("CmaTotal", 0) >> 10 or None if is_jetson else None)


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
