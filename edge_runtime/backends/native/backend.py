"""Engines of one bundle on one GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from edge_runtime.backends.native.decoder import NativeDecoder, Way
from edge_runtime.backends.native.engine import Engine, Opener
from edge_runtime.backends.native.graph import NativeGraph
from edge_runtime.cuda.device import Device
from edge_runtime.dialects import Dialect
from edge_runtime.engines.library import Library
from edge_runtime.engines.place import EngineName
from edge_runtime.spec import Role

WHOLE, PREFILL, DECODE = "decoder", "decoder.prefill", "decoder.decode"


class NativeBackend:
    """`plans` has a file for every engine, by its name. They are opened when first asked for, and closed together."""

    def __init__(
        self,
        library: Library,
        dialect: Dialect,
        plans: Mapping[str, Path],
        device: Callable[[], Device] = Device,
    ) -> None:
        """EVL-GPU-* where no GPU can be had."""
        self.name: EngineName = library.name
        self.dialect: Dialect = dialect
        self._plans = plans
        self._engines: dict[str, Engine] = {}
        self._graphs: dict[Role, NativeGraph] = {}
        with ExitStack() as held:
            self._device = device()
            held.callback(self._device.close)
            self._opener = Opener(library)
            # Contexts and engines go while the memory and the context of the GPU that they were made in are there.
            held.callback(self._opener.close)
            held.callback(self._device.rest)
            self._held = held.pop_all()

    def graph(self, role: Role) -> NativeGraph:
        """One for all who ask: its memory is taken once, whoever shows pictures."""
        self._device.enter()
        if role not in self._graphs:
            self._graphs[role] = NativeGraph(self._device, self._engine(role))
        return self._graphs[role]

    def decoder(self, batch: int, capacity: int) -> NativeDecoder:
        """Its capacity is the engines' own."""
        self._device.enter()
        if WHOLE in self._plans:
            whole = self._engine(WHOLE)
            prefill, decode = Way(whole, 0), Way(whole, 1)
        else:
            prefill, decode = Way(self._engine(PREFILL), 0), Way(self._engine(DECODE), 0)
        decoder = NativeDecoder(self._device, prefill, decode, batch)
        assert decoder.capacity >= capacity, "the engines' cache is shorter than what was asked for"
        return decoder

    def close(self) -> None:
        """Again does nothing. Whatever still refers to its graphs and decoders, nothing of theirs stays on the GPU."""
        self._graphs.clear()
        self._engines.clear()
        self._held.close()

    def _engine(self, name: str) -> Engine:
        if name not in self._engines:
            self._engines[name] = self._opener.opened(self._plans[name])
        return self._engines[name]
