"""One run of each kind: an answer about pictures, and a context filled with text and then decoded at."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_runtime.bench.subject import Subject
from edge_runtime.bench.timed import TimedBackend
from edge_runtime.embedding import EmbeddedPrompt
from edge_runtime.picture_limits import PictureLimits
from edge_runtime.picture_source import ImageSource, picture_from_source
from edge_runtime.prompt import ImageRef, PromptTokens, Turn
from edge_runtime.sampling import Sampling, rng_from_seed
from edge_runtime.scores import Scores
from edge_runtime.sequence import KVSequence, generate
from edge_runtime.stopwatch import STAGES, Stopwatch
from edge_runtime.vision import VisionEncoder

Clock = Callable[[], float]
NO_END = -1  # no token has this id: every answer is as long as asked for
OWN_STAGES = ("vision_high", "vision_low", "adaptor", "tokenize", "sample")
# Of these the time to the first token is made; `vision` is the sum of three of them.
FIRST_TOKEN_STAGES = ("decode_image", "preprocess", *OWN_STAGES, "prefill")


@dataclass(frozen=True)
class Decoded:
    """Milliseconds until the first token was chosen, and from each token to the next."""

    first_ms: float
    steps_ms: tuple[float, ...]

    @property
    def tokens_per_s(self) -> float:
        return 1000 * len(self.steps_ms) / sum(self.steps_ms)


@dataclass(frozen=True)
class AnswerRun:
    """`stages_ms` add up to `first_token_ms`; what belongs to no stage is `other`."""

    stages_ms: Mapping[str, float]
    first_token_ms: float
    decoded: Decoded


@dataclass(frozen=True)
class MeteredRun:
    """What an answer took, whole."""

    joules: float
    seconds: float


@dataclass(frozen=True)
class ContextRun:
    prefill_ms: float
    decoded: Decoded


def answer_run(
    subject: Subject,
    pictures: Sequence[ImageSource],
    text: str,
    max_tokens: int,
    clock: Clock = time.perf_counter,
) -> AnswerRun:
    """As the assistant answers, with nothing remembered from the run before, and never ending early."""
    watch = Stopwatch(clock, (*STAGES, *OWN_STAGES))
    encoder = VisionEncoder(TimedBackend(subject.backend, watch), subject.bundle.spec)
    sequence = KVSequence(subject.decoder, subject.table)
    start, images = clock(), []
    for source in pictures:
        with watch.time("decode_image"):
            picture = picture_from_source(source, PictureLimits())
        images.append(encoder.encode(picture, watch))
    digests = [image.digest for image in images]
    with watch.time("tokenize"):
        prompt = chat_prompt(subject, text, digests)
    with watch.time("prefill"):
        embedded = EmbeddedPrompt(prompt, subject.table, [image.rows for image in images], digests)
        scores, _ = sequence.prefill(embedded)
    prefilled = clock()
    decoded = decoded_after(sequence, scores, prompt, max_tokens, clock)
    first_token_ms = 1000 * (prefilled - start) + decoded.first_ms
    stages = {stage: watch.timings_ms()[stage] for stage in FIRST_TOKEN_STAGES} | {"sample": decoded.first_ms}
    stages["other"] = max(first_token_ms - sum(stages.values()), 0.0)
    return AnswerRun(stages, first_token_ms, decoded)


def chat_prompt(subject: Subject, text: str, digests: Sequence[bytes]) -> PromptTokens:
    turn = Turn("user", text, tuple(ImageRef(digest) for digest in digests))
    return subject.format.chat_prompt_tokens([turn])


def context_run(subject: Subject, context: int, steps: int, clock: Clock = time.perf_counter) -> ContextRun:
    """A prompt of `context` tokens, and then the `steps` tokens that end at this context."""
    assert 0 < steps < context, "the steps lie inside the context"
    prompt = text_prompt(subject, context)
    sequence = KVSequence(subject.decoder, subject.table)
    start = clock()
    scores, _ = sequence.prefill(EmbeddedPrompt(prompt, subject.table, [], []))
    prefill_ms = 1000 * (clock() - start)
    # A step back: the last rows are computed again one by one, so that a full cache can be measured too.
    del sequence.keys[context - steps :]
    return ContextRun(prefill_ms, decoded_after(sequence, scores, prompt, steps + 1, clock))


def text_prompt(subject: Subject, length: int) -> PromptTokens:
    """Any tokens do: the time does not depend on which."""
    spec = subject.bundle.spec
    ids = rng_from_seed(length).integers(0, spec.decoder.vocab, length)
    return PromptTokens(tuple(map(int, ids)), (), spec.image_tokens)


def decoded_after(
    sequence: KVSequence, scores: Scores, prompt: PromptTokens, tokens: int, clock: Clock
) -> Decoded:
    assert tokens > 1, "one token takes no step"
    new = generate(sequence, scores, prompt.ids, Sampling(), rng_from_seed(0), NO_END, tokens)
    times = [clock(), *(clock() for _ in new)]
    first_ms, *steps_ms = map(float, 1000 * np.diff(times))
    return Decoded(first_ms, tuple(steps_ms))
