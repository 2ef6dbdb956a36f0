"""Channels that carry much are made larger before 4-bit rounding, and given smaller (AWQ)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from calibration.blocks import Floats, Weight, covered_from_weight, quantised_from_weight
from calibration.datafiles import array_of
from calibration.decision import Decision, Float, Int4, Int8, decision_for_shape
from calibration.desk import Desk
from calibration.layer import Layer, layers_from_graph
from calibration.migration import balanced, raised
from calibration.moments import Moments
from calibration.pairs import Pair
from calibration.quantgraph import Quantise
from edge_runtime.progress import Progress

EXPONENTS = 20
TRIED_COLUMNS = 512  # of each weight, evenly spaced, while exponents are tried; all of them decide in the end


@dataclass(frozen=True, eq=False)
class Reader:
    """A weight, or a part of one, that is to be rounded."""

    name: str
    weight: Weight  # (K, N)
    how: Int4 | Int8


class AwqSearch:
    """Finds factors for the pairs with readers that become 4-bit weights, and none 8-bit products. What it found is laid on the desk."""

    def __init__(self, path: Path, decisions: Mapping[str, Decision], moments: Moments, desk: Desk) -> None:
        self._layers = layers_from_graph(ir.load(path).graph)
        self._decisions, self._moments, self._desk = decisions, moments, desk

    def factors(self, pairs: Iterable[Pair], progress: Progress) -> dict[Pair, Floats]:
        """Of those alone that are rounded better with some."""
        wanted, found = list(pairs), dict[Pair, Floats]()
        for done, pair in enumerate(wanted):
            progress("scaling weights", done, len(wanted))
            readers = [reader for each in self._layers for reader in self._reader(pair, each)]
            if is_worth_scaling(readers):
                factors = self._kept_factors(pair, readers)
                if (factors != 1).any():
                    found[pair] = factors
        return found

    def _reader(self, pair: Pair, layer: Layer) -> list[Reader]:
        """None for a layer that reads something else, or stays float."""
        asked = self._decisions.get(layer.name, Float()) if layer.name in pair.readers else Float()
        how = decision_for_shape(asked, layer.rows, layer.columns)
        return [] if isinstance(how, Float) else [Reader(layer.name, array_of(layer.tensor), how)]

    def _kept_factors(self, pair: Pair, readers: list[Reader]) -> Floats:
        digest = hashlib.sha256(pair.giver.encode())
        for reader in readers:
            digest.update(f"{reader.name} {reader.how}".encode())
            digest.update(np.ascontiguousarray(reader.weight).data)
        key = f"awq-{digest.hexdigest()}"
        laid = self._desk.take(key)
        if laid is not None:
            return laid["factors"]
        factors = awq_factors(readers, self._moments.of(pair.readers[0]))
        self._desk.lay(key, {"factors": factors})
        return factors


def is_worth_scaling(readers: Iterable[Reader]) -> bool:
    """Where 4 bits are. Steps of 8-bit products were measured on inputs as they are, so these inputs stay so."""
    kinds = [reader.how for reader in readers]
    has_products = any(isinstance(how, Int8) and how.activation_scale is not None for how in kinds)
    return not has_products and any(isinstance(how, Int4) for how in kinds)


def awq_factors(readers: Iterable[Reader], second_moment: Floats) -> Floats:
    """What the readers' rows are multiplied with before they are rounded to nearest, all one where nothing helps.

    rms(x)^a for the best of a few exponents a: the one with which the readers' outputs lose least, over the inputs
    whose x^T x is `second_moment` (K, K).
    """
    every = list(readers)
    rms = raised(np.sqrt(np.maximum(second_moment.diagonal(), 0)))
    tried, plain = [thinned(reader) for reader in every], np.ones_like(rms)
    choices = [balanced(rms ** np.float32(step / EXPONENTS)) for step in range(1, EXPONENTS + 1)]
    best = choices[int(np.argmin([lost_with(tried, each, second_moment) for each in choices]))]
    to_nearest = lost_with(every, plain, second_moment, quantised_from_weight)
    return best if lost_with(every, best, second_moment) < to_nearest else plain


def thinned(reader: Reader) -> Reader:
    """Columns are rounded independently of each other, so some of them speak for all."""
    step = max(1, reader.weight.shape[1] // TRIED_COLUMNS)
    return Reader(reader.name, np.ascontiguousarray(reader.weight[:, ::step]), reader.how)


def lost_with(
    readers: Iterable[Reader],
    factors: Floats,
    second_moment: Floats,
    quantise: Quantise = covered_from_weight,
) -> float:
    """The squared error of all outputs together, over the inputs whose moments these are."""
    return sum(output_error(reader, factors, second_moment, quantise) for reader in readers)


def output_error(reader: Reader, factors: Floats, second_moment: Floats, quantise: Quantise) -> float:
    rows, columns = reader.weight.shape
    wide = reader.weight.astype(np.float32)
    quantised = quantise(reader.name, (wide * factors[:, None]).astype(reader.weight.dtype), reader.how)
    scales = quantised.scales.astype(np.float32).reshape(-1, 1, columns)
    stored = quantised.integers.astype(np.float32).reshape(scales.shape[0], -1, columns) * scales
    wide -= stored.reshape(rows, columns) / factors[:, None]
    return float(np.vdot(second_moment @ wide, wide))
