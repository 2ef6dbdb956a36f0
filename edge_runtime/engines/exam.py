"""One role asked the same things of two engines: what each answered, how alike, and how fast."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from statistics import median

import numpy as np
from PIL import Image

from edge_runtime.backends.backend import Array, Backend, DecoderGraph, Floats, Graph
from edge_runtime.bench.sample import sample_jpeg
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Precision
from edge_runtime.preprocess import pixels_from_picture
from edge_runtime.spec import Role

# Decibels under which an engine is wrong rather than rounded. The errors of engines known to be wrong are as large as
# what they should have said (0 dB); two right ones in half precision are 50 dB and more apart from their difference.
LEAST_DB: Mapping[Precision, float] = {"fp32": 60.0, "fp16": 35.0, "int8": 20.0, "int4": 20.0}
MOST_DB = 200.0
RUNS, TOKENS = 3, 80
USUAL_STEPS = 32  # of an answer, for the time of one


@dataclass(frozen=True)
class Answers:
    """What a role said, in order, and the milliseconds that it takes of one answer."""

    said: tuple[Floats, ...]
    ms: float

    @property
    def is_finite(self) -> bool:
        return all(np.isfinite(each).all() for each in self.said)


Clock = Callable[[], float]
Examination = Callable[[Backend], Answers]


def examination_of(bundle: Bundle, role: Role, context: int, clock: Clock = time.perf_counter) -> Examination:
    """The same questions for whatever backend is asked; of a decoder for no more than `context` tokens."""
    if role == "decoder":
        capacity = min(TOKENS, context)
        return lambda backend: decoder_answers(backend.decoder(1, capacity), bundle, capacity, clock)
    feeds = feeds_for(bundle, role)
    return lambda backend: graph_answers(backend.graph(role), feeds, clock)


def feeds_for(bundle: Bundle, role: Role) -> dict[str, Array]:
    spec = bundle.spec
    if role == "adaptor":
        rng = np.random.Generator(np.random.PCG64(11))
        widths = {"high": spec.adaptor.high_width, "low": spec.adaptor.low_width}
        shapes = {name: (1, spec.image_tokens, width) for name, width in widths.items() if width}
        return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    pixels = pixels_from_picture(Image.open(BytesIO(sample_jpeg())), spec.preprocess)
    plane = pixels.low if role == "vision_low" else pixels.high
    assert plane is not None, "a model without this tower is not asked for it"
    return {"pixels": plane[None]}


def graph_answers(graph: Graph, feeds: Mapping[str, Array], clock: Clock) -> Answers:
    found, spent = graph.run(feeds), []
    for _ in range(RUNS):
        begun = clock()
        found = graph.run(feeds)
        spent.append(1000 * (clock() - begun))
    return Answers(tuple(each.astype(np.float32) for each in found.values()), median(spent))


def decoder_answers(decoder: DecoderGraph, bundle: Bundle, tokens: int, clock: Clock) -> Answers:
    """Any tokens do, but the same ones: each engine is shown what would follow, whatever it would have said."""
    length = max(1, tokens * 4 // 5)
    ids = np.random.Generator(np.random.PCG64(13)).integers(0, bundle.spec.decoder.vocab, tokens)
    rows = bundle.embedding()[ids][None]
    said, spent = [], []
    for start, stop in [(0, length), (0, length), *((at, at + 1) for at in range(length, tokens))]:
        begun = clock()
        last = np.array([[stop - start - 1]], dtype=np.int64)
        scores = decoder.step(rows[:, start:stop], np.array([start], dtype=np.int64), last)
        spent.append(1000 * (clock() - begun))
        said.append(scores.logits[0, 0])
    # The first prefill and the first two steps set up what those after them use.
    return Answers(tuple(said), spent[1] + USUAL_STEPS * median(spent[4:] or spent[1:]))


def likeness_db(wanted: Answers, found: Answers) -> float:
    """The energy of what was wanted over that of the difference, at the worst place."""
    if len(wanted.said) != len(found.said):
        return -MOST_DB
    return min(sqnr_db(one, other) for one, other in zip(wanted.said, found.said, strict=True))


def sqnr_db(wanted: Floats, found: Floats) -> float:
    if wanted.shape != found.shape or not np.isfinite(found).all():
        return -MOST_DB
    difference = np.subtract(found, wanted, dtype=np.float64)
    signal, noise = (float(np.square(each, dtype=np.float64).sum()) for each in (wanted, difference))
    if noise == 0 or signal == 0:
        return MOST_DB if noise == 0 else -MOST_DB
    return min(10 * math.log10(signal / noise), MOST_DB)
