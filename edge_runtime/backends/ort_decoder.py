"""ONNX Runtime's decoder: a cache that stays on the device, and steps that move only rows and logits."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from edge_runtime.backends.backend import Array, DecoderGraph, Floats, Ints
from edge_runtime.backends.ort_faults import named_faults
from edge_runtime.backends.ort_library import imported_onnxruntime
from edge_runtime.backends.provider import Device
from edge_runtime.manifest import PAST, PRESENT, GraphEntry
from edge_runtime.scores import Scores
from edge_runtime.spec import DecoderSpec


def zeros_on(device: Device, shape: tuple[int, ...], dtype: str) -> Any:
    """An OrtValue. On the CPU it is numpy's own pages, which cost nothing until a token is written to them.

    Zeroed everywhere: of rows not yet written attention takes none, but none of a NaN is NaN.
    """
    return imported_onnxruntime().OrtValue.ortvalue_from_numpy(np.zeros(shape, dtype=dtype), device, 0)


class OrtDecoder:
    """Past and present are bound to one buffer per layer and kind, so a step of the `ort` dialect copies no cache.

    A graph may say how long its cache is; then that is the capacity, whatever was asked for.
    GroupQueryAttention, of the `ort` dialect, takes several rows only with one token each, or from an empty cache; other
    chunks of several rows are fed row by row.
    """

    def __init__(
        self,
        session: Any,
        entry: GraphEntry,
        spec: DecoderSpec,
        batch: int,
        capacity: int,
        device: Device = "cpu",
    ) -> None:
        length = next(port.shape[2] for port in entry.inputs if port.name == f"{PAST}0.key")
        self.batch = batch
        self.capacity = length if isinstance(length, int) else capacity
        assert self.capacity >= capacity, "the graph's cache is shorter than what was asked for"
        self._has_free_chunks = entry.dialect != "ort"
        self._session = session
        self._device = device
        dtypes = {port.name: port.dtype for port in entry.inputs}
        self._dtype = dtypes["inputs_embeds"]
        self._row_type = np.dtype(dtypes[f"{PAST}0.key"])
        self._row_shape = (spec.kv_heads, self.capacity, spec.head_dim)
        names = [f"{layer}.{kind}" for layer in range(spec.layers) for kind in ("key", "value")]
        shape = (batch, *self._row_shape)
        with named_faults("decoder"):
            self._cache = [(name, zeros_on(device, shape, self._row_type.name)) for name in names]
        self._whole = self._binding()
        self._rows = [self._binding_of_row(row) for row in range(batch)] if batch > 1 else []

    def step(self, embeds: Array, write_index: Ints, logit_index: Ints) -> Scores:
        rows, steps = embeds.shape[:2]
        assert rows == self.batch and logit_index.shape[0] == rows, "a step feeds every row"
        assert int(write_index.max()) + steps <= self.capacity, "a step may not leave the cache"
        if rows == 1 or steps == 1 or self._has_free_chunks or not write_index.any():
            return Scores.of(self._run(self._whole, 0, embeds, write_index, logit_index))
        parts = [
            self._run(
                binding, row, embeds[row : row + 1], write_index[row : row + 1], logit_index[row : row + 1]
            )
            for row, binding in enumerate(self._rows)
        ]
        return Scores.of(np.concatenate(parts))

    def row(self, row: int) -> DecoderGraph:
        return self if self.batch == 1 else OrtRow(self, row)

    def step_row(self, row: int, embeds: Array, write_index: Ints, logit_index: Ints) -> Scores:
        assert int(write_index.max()) + embeds.shape[1] <= self.capacity, "a step may not leave the cache"
        return Scores.of(self._run(self._rows[row], row, embeds, write_index, logit_index))

    def _binding(self) -> Any:
        binding = self._session.io_binding()
        binding.bind_output("logits", "cpu")
        for name, value in self._cache:
            binding.bind_ortvalue_input(PAST + name, value)
            binding.bind_ortvalue_output(PRESENT + name, value)
        return binding

    def _binding_of_row(self, row: int) -> Any:
        """By address, which is what a part of a buffer has on any device."""
        binding = self._session.io_binding()
        binding.bind_output("logits", "cpu")
        kind, shape = self._row_type.type, [1, *self._row_shape]
        offset = row * int(np.prod(self._row_shape)) * self._row_type.itemsize
        for name, value in self._cache:
            place = (self._device, 0, kind, shape, value.data_ptr() + offset)
            binding.bind_input(PAST + name, *place)
            binding.bind_output(PRESENT + name, *place)
        return binding

    def _run(self, binding: Any, first: int, embeds: Array, write_index: Ints, logit_index: Ints) -> Floats:
        """Of the binding's rows, from `first`."""
        # The binding reads these arrays' memory, so they live until the run is over.
        inputs = {
            "inputs_embeds": np.ascontiguousarray(embeds, dtype=self._dtype),
            "write_index": np.ascontiguousarray(write_index, dtype=np.int64),
            "logit_index": np.ascontiguousarray(logit_index, dtype=np.int64),
        }
        with named_faults("decoder"):
            for name, array in inputs.items():
                binding.bind_cpu_input(name, array)
            binding.bind_output("logits", "cpu")  # anew: a bound output keeps the shape of the run before
            self._session.run_with_iobinding(binding)
        logits: Floats = binding.get_outputs()[0].numpy().astype(np.float32)
        if self._has_free_chunks:
            for row in np.flatnonzero(~np.isfinite(logits).all(axis=(1, 2))).tolist():  # others go on
                start = int(write_index[row])
                self._wipe(first + row, start, start + embeds.shape[1])
        return logits

    def _wipe(self, row: int, start: int, stop: int) -> None:
        """These dialects multiply what is hidden by zero: a NaN would be in every later answer of the row, however short."""
        if self._device != "cpu":
            return
        size = self._row_type.itemsize * self.batch * int(np.prod(self._row_shape))
        for _, value in self._cache:
            memory = memoryview((ctypes.c_char * size).from_address(value.data_ptr())).cast("B")
            cache = np.frombuffer(memory, self._row_type).reshape(self.batch, *self._row_shape)
            cache[row, :, start:stop] = 0


class OrtRow:
    """One sequence of several, fed alone."""

    batch = 1

    def __init__(self, whole: OrtDecoder, place: int) -> None:
        self._whole = whole
        self._place = place

    @property
    def capacity(self) -> int:
        return self._whole.capacity

    def row(self, row: int) -> DecoderGraph:
        assert row == 0, "a row has one row"
        return self

    def step(self, embeds: Array, write_index: Ints, logit_index: Ints) -> Scores:
        return self._whole.step_row(self._place, embeds, write_index, logit_index)
