"""The decoder on the GPU: prefill and step side by side over one cache, one memory for activations, one desk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_runtime.backends.backend import Array, DecoderGraph, Floats, Ints
from edge_runtime.backends.native.cache import bindings_for, capacity_of, past_shapes
from edge_runtime.backends.native.context import Context
from edge_runtime.backends.native.desk import INPUTS, desk_for
from edge_runtime.backends.native.engine import Engine, Shape
from edge_runtime.backends.native.lane import Lane
from edge_runtime.cuda.device import Device, DeviceMemory
from edge_runtime.errors import EdgeVLError
from edge_runtime.scores import Scores


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
        ways = (prefill, decode)
        activations = device.memory(max(way.engine.activation_bytes(way.profile) for way in ways))
        turns = bindings_for(device, self._stream, prefill.engine, batch)
        shapes = past_shapes(prefill.engine, batch)
        contexts = [
            [
                bound(
                    Context(way.engine, way.profile, self._stream, activations),
                    shapes,
                    self._desk.memory | each,
                )
                for way in ways
            ]
            for each in turns
        ]
        self._lanes = [
            (Lane(prefilling, self._desk, is_fixed=False), Lane(stepping, self._desk, is_fixed=True))
            for prefilling, stepping in contexts
        ]
        self._turn = 0  # whose past the cache is now
        self._steps = 0
        self._stream.wait()

    @property
    def is_recorded(self) -> bool:
        """Whether steps are replayed, and not asked for piece by piece."""
        return all(step.is_recorded for _, step in self._lanes)

    def row(self, row: int) -> DecoderGraph:
        assert row == 0 and self.batch == 1, "engines are fed one sequence"
        return self

    def step(self, embeds: Array, write_index: Ints, logit_index: Ints) -> Scores:
        """More tokens than the engines take at once are fed in pieces; the wanted rows must lie in the last."""
        rows, steps = embeds.shape[:2]
        assert rows == self.batch and logit_index.shape[0] == rows, "a step feeds every row"
        assert int(write_index.max()) + steps <= self.capacity, "a step may not leave the cache"
        assert logit_index.shape[1] <= self.most_rows, "the engines give no more rows' logits"
        self._device.enter()
        last = (steps - 1) // self.longest * self.longest
        assert int(logit_index.min()) >= last, "logits are of the last piece"
        for start in range(0, last, self.longest):
            self._fed(embeds[:, start : start + self.longest], write_index + start, logit_index[:, :1] * 0)
        self._fed(embeds[:, last:], write_index + last, logit_index - last)
        taken, shape = self._steps, logit_index.shape
        return Scores(lambda: self._logits(taken, shape), self._desk.top(shape))

    def _fed(self, embeds: Array, write_index: Ints, logit_index: Ints) -> None:
        arrays = dict(zip(INPUTS, (embeds, write_index, logit_index), strict=True))
        self._desk.write(arrays)
        prefill, step = self._lanes[self._turn]
        lane = step if embeds.shape[1] == 1 and logit_index.shape[1] == 1 else prefill
        lane.go({name: array.shape for name, array in arrays.items()})
        self._stream.wait()
        self._turn = (self._turn + 1) % len(self._lanes)
        self._steps += 1

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
