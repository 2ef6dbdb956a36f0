"""The decoder on the GPU: prefill and step side by side over one cache, one memory for activations, one desk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_runtime.backends.backend import Array, DecoderGraph, Floats, Ints
from edge_runtime.backends.native.cache import Binding, bindings_for, capacity_of, past_shapes, rows_zeroed
from edge_runtime.backends.native.context import Context
from edge_runtime.backends.native.desk import INPUTS, desk_for
from edge_runtime.backends.native.engine import Engine, Shape
from edge_runtime.backends.native.lane import Lane
from edge_runtime.cuda.device import Device, DeviceMemory
from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.sampling import check_finite
from edge_runtime.scores import Scores, Top


@dataclass(frozen=True)
class Way:
    """An engine and the profile in it that prefills, or that decodes."""

    engine: Engine
    profile: int

    def most(self, name: str) -> Shape:
        return self.engine.profiles[self.profile][name]


class NativeDecoder:
    def __init__(self, device: Device, prefill: Way, decode: Way, batch: int) -> None:
        """EVL-ENGINE-SHAPES where the engines were built for fewer sequences than `batch`."""
        check_batch(prefill, decode, batch)
        self.batch = batch
        self.capacity = capacity_of(prefill.engine)
        self.longest, self.most_rows = prefill.most(INPUTS[0])[1], prefill.most(INPUTS[2])[1]
        self._device = device
        self._stream = device.stream()
        self._desk = desk_for(device, prefill.engine, batch, self.longest, self.most_rows)
        nbytes = max(way.engine.activation_bytes(way.profile) for way in (prefill, decode))
        activations = device.memory(nbytes)
        self._engine = prefill.engine
        self._turns = bindings_for(device, self._stream, prefill.engine, batch)
        self._lanes = [self._lanes_over(each, prefill, decode, activations) for each in self._turns]
        self._turn = 0  # whose past the cache is now
        self._steps = 0
        self._stream.wait()
        self._is_idle = True

    @property
    def is_recorded(self) -> bool:
        """Whether steps are replayed, and not asked for piece by piece."""
        return all(step.is_recorded for _, step in self._lanes)

    def row(self, row: int) -> DecoderGraph:
        assert row == 0 and self.batch == 1, "engines are fed one sequence"
        return self

    def step(self, embeds: Array, write_index: Ints, logit_index: Ints) -> Scores:
        """More tokens than the engines take at once are fed in pieces; the wanted rows must lie in the last.

        EVL-LOGITS-NONFINITE where what comes out is no number; the cache is then as if the piece had not been fed.
        """
        rows, steps = embeds.shape[:2]
        assert rows == self.batch and logit_index.shape[0] == rows, "a step feeds every row"
        assert int(write_index.max()) + steps <= self.capacity, "a step may not leave the cache"
        assert logit_index.shape[1] <= self.most_rows, "the engines give no more rows' logits"
        self._device.enter()
        last = (steps - 1) // self.longest * self.longest
        assert int(logit_index.min()) >= last, "logits are of the last piece"
        ends = np.full((rows, 1), self.longest - 1)  # the rows that a NaN of any other would reach
        for start in range(0, last, self.longest):
            self._fed(embeds[:, start : start + self.longest], write_index + start, ends)
        top = self._fed(embeds[:, last:], write_index + last, logit_index - last)
        taken, shape = self._steps, logit_index.shape
        return Scores(lambda: self._logits(taken, shape), top)

    def _lanes_over(
        self, binding: Binding, prefill: Way, decode: Way, activations: DeviceMemory
    ) -> tuple[Lane, Lane]:
        def lane(way: Way, is_fixed: bool) -> Lane:
            context = Context(way.engine, way.profile, self._stream, activations, is_fixed)
            places = self._desk.memory | binding
            return Lane(bound(context, past_shapes(way.engine, self.batch), places), self._desk, is_fixed)

        return lane(prefill, is_fixed=False), lane(decode, is_fixed=True)

    def _fed(self, embeds: Array, write_index: Ints, logit_index: Ints) -> Top:
        if not self._is_idle:  # whoever stopped the step before left it reading the desk
            self._stream.wait()
        self._is_idle = False
        arrays = dict(zip(INPUTS, (embeds, write_index, logit_index), strict=True))
        self._desk.write(arrays)
        prefill, step = self._lanes[self._turn]
        lane = step if embeds.shape[1] == 1 and logit_index.shape[1] == 1 else prefill
        lane.go({name: array.shape for name, array in arrays.items()})
        self._steps += 1
        self._stream.wait()
        self._is_idle = True
        top = self._desk.top(logit_index.shape)
        try:
            check_finite(top.values)
        except MachineFault:
            self._undo(write_index, embeds.shape[1])
            raise
        self._turn = (self._turn + 1) % len(self._lanes)
        return top

    def _undo(self, write_index: Ints, steps: int) -> None:
        """A NaN in the cache would be in every later answer: rows that are masked weigh 0, and 0 of a NaN is one. Where two
        caches take turns, the one that was read is still as it was, and stays the next one's past."""
        if len(self._turns) == 1:
            rows_zeroed(self._stream, self._engine, self._turns[0], write_index, steps)
            self._stream.wait()

    def _logits(self, step: int, rows: Shape) -> Floats:
        assert step == self._steps, "scores are read before the next step"
        self._device.enter()
        return self._desk.logits(self._stream, rows)


def bound(context: Context, shapes: Mapping[str, Shape], places: Mapping[str, DeviceMemory]) -> Context:
    for name, shape in shapes.items():
        context.shape(name, shape)
    for name, memory in places.items():
        context.address(name, memory)
    return context


def check_batch(prefill: Way, decode: Way, batch: int) -> None:
    most = min(way.most(INPUTS[0])[0] for way in (prefill, decode))
    if batch > most:
        what, why = f"{batch} sequences at once are too many", f"the engines were built for {most}"
        raise EdgeVLError("EVL-ENGINE-SHAPES", what, why, "ask for fewer, or use --engine onnxruntime")
