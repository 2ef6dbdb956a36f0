"""The KV cache in the GPU's memory, where it stays."""

from __future__ import annotations

from edge_runtime.backends.backend import Ints
from edge_runtime.backends.native.engine import Engine, EnginePort, Shape
from edge_runtime.backends.native.graph import nbytes_of
from edge_runtime.cuda.device import Device, DeviceMemory
from edge_runtime.cuda.stream import Stream
from edge_runtime.manifest import PAST, PRESENT

Binding = dict[str, DeviceMemory]  # which memory each cache port of one run has


def bindings_for(device: Device, stream: Stream, engine: Engine, batch: int) -> tuple[Binding, ...]:
    """One where the engine writes into the cache that it reads; else two that take turns, each the other's past.

    Zeroed: rows that nobody wrote are masked, and a masked NaN is one still.
    """
    pasts = [port for port in engine.ports.values() if port.name.startswith(PAST)]
    presents = {port.name: present_of(port) for port in pasts}
    count = 1 if all(engine.ports[presents[port.name]].alias == port.name for port in pasts) else 2
    shapes = past_shapes(engine, batch)
    sides = [
        {port.name: zeroed(device, stream, nbytes_of(port, shapes[port.name])) for port in pasts}
        for _ in range(count)
    ]
    return tuple(
        side | {presents[name]: other[name] for name in side}
        for side, other in zip(sides, [*sides[1:], sides[0]], strict=True)
    )


def present_of(past: EnginePort) -> str:
    return PRESENT + past.name.removeprefix(PAST)


def zeroed(device: Device, stream: Stream, nbytes: int) -> DeviceMemory:
    memory = device.memory(nbytes)
    stream.zero(memory)
    return memory


def rows_zeroed(stream: Stream, engine: Engine, binding: Binding, write_index: Ints, count: int) -> None:
    """So many of every sequence, from its index on."""
    for name, (_, heads, capacity, width) in past_shapes(engine, len(write_index)).items():
        nbytes = width * engine.ports[name].dtype.itemsize
        for sequence, first in enumerate(write_index.tolist()):
            for head in range(heads):
                row = (sequence * heads + head) * capacity + first
                stream.zero(binding[name].part(row * nbytes, count * nbytes))


def past_shapes(engine: Engine, batch: int) -> dict[str, Shape]:
    """Of the cache that goes in, for so many sequences."""
    largest = engine.profiles[0]
    return {name: (batch, *shape[1:]) for name, shape in largest.items() if name.startswith(PAST)}


def capacity_of(engine: Engine) -> int:
    return engine.profiles[0][f"{PAST}0.key"][2]
