"""A bundle that is asked about samples, one decoder step at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from calibration.prompts import format_of, tokens_of
from calibration.samples import Sample
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.embedding import EmbeddedPrompt
from edge_runtime.prompt import check_fits
from edge_runtime.sequence import KVSequence
from edge_runtime.stopwatch import Stopwatch
from edge_runtime.vision import VisionEncoder

TOKENS = 32
Logits = npt.NDArray[np.float32]  # (N, V)
Ids = list[int]


class Speaker:
    """One bundle, opened to be asked about samples."""

    def __init__(self, bundle: Bundle, dialect: Dialect, threads: int) -> None:
        self.spec = bundle.spec
        self.backend = OrtBackend(bundle, threads, dialect)
        self.table = bundle.embedding()
        self.vision = VisionEncoder(self.backend, bundle.spec, remembered=1)
        self.context = bundle.manifest.max_context
        self.format = format_of(bundle)

    def __enter__(self) -> Speaker:
        return self

    def __exit__(self, *_: object) -> None:
        self.backend.close()

    def answer(self, sample: Sample) -> tuple[Ids, Logits]:
        """Greedy tokens, the end token too, and the logits that chose each."""
        prompt = self.prompt(sample)
        limit = min(TOKENS, self.context - len(prompt))
        sequence = self.sequence(len(prompt) + limit)
        logits = sequence.prefill(prompt)[0].logits[0, 0]
        ids, rows = [int(logits.argmax())], [logits]
        while len(ids) < limit and ids[-1] != self.spec.prompt.eos_id:
            logits = sequence.append(ids[-1]).logits[0, 0]
            ids.append(int(logits.argmax()))
            rows.append(logits)
        return ids, np.stack(rows)

    def thoughts(self, sample: Sample, ids: Ids) -> Logits:
        """The logits at the places of `ids`, whatever they would have chosen there."""
        prompt = self.prompt(sample)
        sequence = self.sequence(len(prompt) + len(ids))
        logits = sequence.prefill(prompt)[0].logits[0, 0]
        return np.stack([logits, *(sequence.append(token).logits[0, 0] for token in ids[:-1])])

    def rows(self, sample: Sample, ids: Ids) -> npt.NDArray[np.generic]:
        """What the decoder reads of a sample and of its answer, (1, S, D)."""
        prompt = self.prompt(sample)
        asked = prompt.rows(0, len(prompt))
        return np.concatenate([asked, self.table[np.array(ids, np.int64)][None].astype(asked.dtype)], axis=1)

    def sequence(self, capacity: int) -> KVSequence:
        return KVSequence(self.backend.decoder(batch=1, capacity=capacity), self.table)

    def prompt(self, sample: Sample) -> EmbeddedPrompt:
        image = self.vision.encode(sample.picture(), Stopwatch())
        tokens = tokens_of(self.format, sample.prompt, image.digest)
        check_fits(tokens, 1, self.context)
        return EmbeddedPrompt(tokens, self.table, [image.rows], [image.digest])
