"""How near a quantised bundle's words are to those of the float bundle it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calibration.samples import Sample
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.embedding import EmbeddedPrompt
from edge_runtime.progress import Progress
from edge_runtime.prompt import ImageRef, PromptFormat, Turn, check_fits
from edge_runtime.sequence import KVSequence
from edge_runtime.stopwatch import Stopwatch
from edge_runtime.tokenizer import Tokenizer
from edge_runtime.vision import VisionEncoder

TOKENS = 32
Logits = npt.NDArray[np.float32]  # (N, V)
Ids = list[int]


@dataclass(frozen=True)
class Likeness:
    """Of one answer: the float model's greedy tokens, and what the quantised model thinks at each of their places."""

    sample: str
    tokens: int
    kl: float  # mean of KL(float || quantised) in nats
    top1: float  # share of places where the likeliest token is the same
    agreed: int  # greedy tokens until the first that differs


@dataclass(frozen=True)
class Agreement:
    answers: tuple[Likeness, ...]

    @property
    def kl(self) -> float:
        return self._mean([each.kl for each in self.answers])

    @property
    def top1(self) -> float:
        return self._mean([each.top1 for each in self.answers])

    @property
    def agreed(self) -> float:
        """Share of the float model's greedy tokens that come before the first difference."""
        return sum(each.agreed for each in self.answers) / sum(each.tokens for each in self.answers)

    def _mean(self, values: Sequence[float]) -> float:
        weights = [each.tokens for each in self.answers]
        return float(np.average(values, weights=weights))


def agreement_of(
    before: Bundle,
    after: Bundle,
    dialect: Dialect,
    samples: Sequence[Sample],
    threads: int,
    progress: Progress,
) -> Agreement:
    """The two models are never in memory together."""
    answers = list[tuple[Ids, Logits]]()
    with Speaker(before, dialect, threads) as speaker:
        for done, sample in enumerate(samples):
            progress("answering in float", done, len(samples))
            answers.append(speaker.answer(sample))
    found = list[Likeness]()
    with Speaker(after, dialect, threads) as speaker:
        for done, (sample, (ids, wanted)) in enumerate(zip(samples, answers, strict=True)):
            progress("answering quantised", done, len(samples))
            found.append(likeness_of(sample.name, ids, wanted, speaker.thoughts(sample, ids)))
    return Agreement(tuple(found))


def likeness_of(name: str, ids: Ids, wanted: Logits, found: Logits) -> Likeness:
    is_same = found.argmax(axis=-1) == wanted.argmax(axis=-1)
    parted = np.flatnonzero(~is_same)
    expected = log_softmax(wanted)
    divergence = (np.exp(expected) * (expected - log_softmax(found))).sum(axis=-1)
    agreed = int(parted[0]) if parted.size else len(ids)
    return Likeness(name, len(ids), float(divergence.mean()), float(is_same.mean()), agreed)


def log_softmax(logits: Logits) -> npt.NDArray[np.float64]:
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=-1, keepdims=True)
    normal: npt.NDArray[np.float64] = wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True))
    return normal


class Speaker:
    """One bundle, opened to be asked about samples."""

    def __init__(self, bundle: Bundle, dialect: Dialect, threads: int) -> None:
        self.spec = bundle.spec
        self.backend = OrtBackend(bundle, threads, dialect)
        self.table = bundle.embedding()
        self.vision = VisionEncoder(self.backend, bundle.spec, remembered=1)
        self.context = bundle.manifest.max_context
        self.format = PromptFormat(
            Tokenizer.open(bundle.tokenizer_path), self.spec.prompt, self.spec.image_tokens
        )

    def __enter__(self) -> Speaker:
        return self

    def __exit__(self, *_: object) -> None:
        self.backend.close()

    def answer(self, sample: Sample) -> tuple[Ids, Logits]:
        """Greedy tokens, the end token too, and the logits that chose each."""
        prompt = self.prompt(sample)
        limit = min(TOKENS, self.context - len(prompt))
        sequence = self.sequence(len(prompt) + limit)
        logits, _ = sequence.prefill(prompt)
        ids, rows = [int(logits.argmax())], [logits]
        while len(ids) < limit and ids[-1] != self.spec.prompt.eos_id:
            logits = sequence.append(ids[-1])
            ids.append(int(logits.argmax()))
            rows.append(logits)
        return ids, np.stack(rows)

    def thoughts(self, sample: Sample, ids: Ids) -> Logits:
        """The logits at the places of `ids`, whatever they would have chosen there."""
        prompt = self.prompt(sample)
        sequence = self.sequence(len(prompt) + len(ids))
        logits, _ = sequence.prefill(prompt)
        return np.stack([logits, *(sequence.append(token) for token in ids[:-1])])

    def rows(self, sample: Sample, ids: Ids) -> npt.NDArray[np.generic]:
        """What the decoder reads of a sample and of its answer, (1, S, D)."""
        prompt = self.prompt(sample)
        asked = prompt.rows(0, len(prompt))
        return np.concatenate([asked, self.table[ids][None].astype(asked.dtype)], axis=1)

    def sequence(self, capacity: int) -> KVSequence:
        return KVSequence(self.backend.decoder(batch=1, capacity=capacity), self.table)

    def prompt(self, sample: Sample) -> EmbeddedPrompt:
        image = self.vision.encode(sample.picture(), Stopwatch())
        turns = [Turn("user", sample.prompt, (ImageRef(image.digest),))]
        tokens = self.format.chat_prompt_tokens(turns)
        check_fits(tokens, 1, self.context)
        return EmbeddedPrompt(tokens, self.table, [image.rows], [image.digest])
