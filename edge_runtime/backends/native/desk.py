"""What goes into a decoder and comes out of it, but for its cache: on our side and on the GPU's, taken once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edge_runtime.backends.backend import Array, Floats
from edge_runtime.backends.native.engine import Engine, EnginePort, Shape, port_fault
from edge_runtime.backends.native.graph import nbytes_of
from edge_runtime.cuda.device import Device, DeviceMemory
from edge_runtime.cuda.stream import Stream
from edge_runtime.manifest import PAST
from edge_runtime.scores import Top

INPUTS = ("inputs_embeds", "write_index", "logit_index")
LOGITS, TOP = "logits", ("top_values", "top_ids")


class Desk:
    """`ports` are all of a decoder's but its cache's; `largest` says how large each becomes."""

    def __init__(self, device: Device, ports: Mapping[str, EnginePort], largest: Mapping[str, Shape]) -> None:
        self._ports = ports
        sizes = {name: nbytes_of(ports[name], shape) for name, shape in largest.items()}
        self.memory: dict[str, DeviceMemory] = {name: device.memory(nbytes) for name, nbytes in sizes.items()}
        self._pinned = {name: device.pinned(nbytes) for name, nbytes in sizes.items()}

    def write(self, arrays: Mapping[str, Array]) -> None:
        """Cast to what the engine takes."""
        for name, array in arrays.items():
            self._view(name, array.shape)[...] = array

    def upload(self, stream: Stream, shapes: Mapping[str, Shape]) -> None:
        for name in INPUTS:
            stream.upload(self.memory[name], self._pinned[name], nbytes_of(self._ports[name], shapes[name]))

    def download_top(self, stream: Stream, shapes: Mapping[str, Shape]) -> None:
        for name in TOP:
            stream.download(self._pinned[name], self.memory[name], self._row_bytes(name, shapes))

    def top(self, rows: Shape) -> Top:
        """Of `rows` (B, K), copied: the next step writes over it."""
        values, ids = (self._view(name, (*rows, self._ports[name].shape[-1])) for name in TOP)
        return Top(values.astype(np.float32), ids.astype(np.int64))

    def logits(self, stream: Stream, rows: Shape) -> Floats:
        shape = (*rows, self._ports[LOGITS].shape[-1])
        stream.download(self._pinned[LOGITS], self.memory[LOGITS], nbytes_of(self._ports[LOGITS], shape))
        stream.wait()
        logits: Floats = self._view(LOGITS, shape).astype(np.float32)
        return logits

    def _row_bytes(self, name: str, shapes: Mapping[str, Shape]) -> int:
        return nbytes_of(self._ports[name], (*shapes["logit_index"], self._ports[name].shape[-1]))

    def _view(self, name: str, shape: Shape) -> Array:
        return self._pinned[name].array(self._ports[name].dtype, shape)


def check_ports(engine: Engine) -> None:
    """EVL-ENGINE-PORTS where something is missing, or nobody would feed it."""
    inputs = {port.name for port in engine.ports.values() if port.is_input}
    strange = {name for name in inputs if not name.startswith(PAST)} - {*INPUTS}
    missing = {*INPUTS, LOGITS, *TOP} - engine.ports.keys()
    for name in sorted(missing | strange):
        raise port_fault(name, "it is not there" if name in missing else "it is no input of ours")


def desk_for(device: Device, engine: Engine, batch: int, longest: int, rows: int) -> Desk:
    check_ports(engine)
    ports = {name: engine.ports[name] for name in (*INPUTS, LOGITS, *TOP)}
    largest: dict[str, Shape] = {
        "inputs_embeds": (batch, longest, ports["inputs_embeds"].shape[-1]),
        "write_index": (batch,),
        "logit_index": (batch, rows),
    }
    largest |= {name: (batch, rows, ports[name].shape[-1]) for name in (LOGITS, *TOP)}
    return Desk(device, ports, largest)
