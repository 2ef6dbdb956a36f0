"""Is the bundle the same model as its checkpoint? Every role, and the greedy tokens, against the reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from edge_runtime.backends.backend import Array, Backend
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Precision
from edge_runtime.embedding import EmbeddedPrompt
from edge_runtime.errors import MachineFault
from edge_runtime.preprocess import pixels_from_picture
from edge_runtime.progress import Progress, silent
from edge_runtime.prompt import ImageRef, PromptFormat, PromptTokens, Turn
from edge_runtime.sampling import NONFINITE_CODE, Sampling, rng_from_seed
from edge_runtime.sequence import KVSequence, generate
from edge_runtime.spec import ModelSpec, Role
from edge_runtime.tokenizer import Tokenizer
from export.checkpoint import Checkpoint
from export.difference import Difference
from export.modules.reference import Reference
from export.reference import reference_from_checkpoint
from export.weight_parity import WeightParity, weight_parity

GREEDY_TOKENS = 32
QUESTION = "What can be seen in this picture?"


@dataclass(frozen=True)
class Bar:
    """What a role must reach. The relative difference is the largest one over the largest reference value."""

    cosine: float
    relative: float


BARS: dict[Precision, Bar] = {"fp32": Bar(0.999999, 1e-4), "fp16": Bar(0.9999, 1e-2)}


@dataclass(frozen=True)
class RoleParity:
    """How far one role is from the reference, over all inputs it was given."""

    role: Role
    cosine: float
    max_difference: float
    mean_difference: float
    relative: float
    bar: Bar

    @property
    def is_passed(self) -> bool:
        return self.cosine >= self.bar.cosine and self.relative <= self.bar.relative


@dataclass(frozen=True)
class GreedyParity:
    """How many greedy tokens agree. Where they part, `gap` is how much better the reference likes its own.

    Two different roundings may choose differently only where the reference itself is undecided within `allowed`.
    """

    prompt: str
    agreed: int
    tokens: int
    gap: float | None
    allowed: float

    @property
    def is_passed(self) -> bool:
        return self.gap is None or self.gap <= self.allowed


@dataclass(frozen=True)
class ParityReport:
    roles: tuple[RoleParity, ...]
    greedy: tuple[GreedyParity, ...]
    weights: tuple[WeightParity, ...]
    has_same_tokenizer: bool

    @property
    def is_passed(self) -> bool:
        checks: list[RoleParity | GreedyParity | WeightParity] = [*self.roles, *self.greedy, *self.weights]
        return self.has_same_tokenizer and all(each.is_passed for each in checks)


def parity_of(
    bundle: Bundle,
    backend: Backend,
    checkpoint: Checkpoint,
    pictures: Sequence[Image.Image],
    progress: Progress = silent,
) -> ParityReport:
    """Against the checkpoint in fp32; `pictures` go through the runtime's own preprocessing."""
    reference = reference_from_checkpoint(checkpoint, bundle.spec)
    is_same = bundle.tokenizer_path.read_bytes() == checkpoint.tokenizer_path.read_bytes()
    return Comparison(bundle, backend, reference, pictures, progress).report(is_same)


class Comparison:
    """One comparison under way. Every role is fed what the reference gives the role before it."""

    def __init__(
        self,
        bundle: Bundle,
        backend: Backend,
        reference: Reference,
        pictures: Sequence[Image.Image],
        progress: Progress,
    ) -> None:
        self.bundle = bundle
        self.spec: ModelSpec = bundle.spec
        self.backend = backend
        self.reference = reference
        self.pixels = [pixels_from_picture(picture, self.spec.preprocess) for picture in pictures]
        self.progress = progress
        self.done = 0
        self.format = PromptFormat(
            Tokenizer.open(bundle.tokenizer_path), self.spec.prompt, self.spec.image_tokens
        )

    def report(self, has_same_tokenizer: bool) -> ParityReport:
        low = [self.reference.vision_low(batched(each.low)) for each in self.pixels]
        high = [
            self.reference.vision_high(batched(each.high)) for each in self.pixels if each.high is not None
        ]
        embeds = [
            self.reference.adapt(high[index] if high else None, low[index]) for index in range(len(low))
        ]
        roles = [
            *([self._tower("vision_high", [p.high for p in self.pixels], high)] if high else []),
            self._tower("vision_low", [p.low for p in self.pixels], low),
            self._adaptor(high, low, embeds),
            self._table(),
            self._decoder(embeds[0]),
        ]
        greedy = (self._greedy("text", None), self._greedy("image", embeds[0]))
        return ParityReport(tuple(roles), greedy, self._weights(), has_same_tokenizer)

    def _step(self, label: str) -> None:
        self.done += 1
        self.progress(f"comparing {label}", self.done, len(self.spec.roles) + 3)

    def _weights(self) -> tuple[WeightParity, ...]:
        self._step("weights")
        return tuple(weight_parity(self.bundle, self.reference, role) for role in self.spec.roles)

    def _tower(
        self, role: Role, planes: Sequence[npt.NDArray[np.float32] | None], wanted: Sequence[Tensor]
    ) -> RoleParity:
        self._step(role)
        graph = self.backend.graph(role)
        found = [graph.run({"pixels": plane[None]})["features"] for plane in planes if plane is not None]
        return self._compared(role, found, wanted)

    def _adaptor(self, high: list[Tensor], low: list[Tensor], wanted: list[Tensor]) -> RoleParity:
        self._step("adaptor")
        graph = self.backend.graph("adaptor")
        found = []
        for index, each in enumerate(low):
            feeds: dict[str, Array] = {"low": each.numpy()}
            if high:
                feeds["high"] = high[index].numpy()
            found.append(graph.run(feeds)["embeds"])
        return self._compared("adaptor", found, wanted)

    def _table(self) -> RoleParity:
        self._step("embed")
        ids = np.unique(np.linspace(0, self.spec.decoder.vocab - 1, 4096).astype(np.int64))
        found = np.asarray(self.bundle.embedding()[ids])
        return self._compared("embed", [found], [self.reference.embed(torch.from_numpy(ids))])

    def _decoder(self, image: Tensor) -> RoleParity:
        """Every row's logits of one prompt with an image, fed in two unequal pieces."""
        self._step("decoder")
        prompt = self._prompt(image)
        embeds = self._embedded(prompt, image)
        length = embeds.shape[1]
        cut = max(1, length // 3)
        decoder = self.backend.decoder(batch=1, capacity=length)
        found = []
        for start, stop in ((0, cut), (cut, length)):
            rows = np.arange(stop - start, dtype=np.int64)[None]
            piece = embeds[:, start:stop].numpy()
            found.append(decoder.step(piece, np.array([start], dtype=np.int64), rows))
        wanted = self.reference.logits(embeds)
        return self._compared("decoder", found, [wanted[:, :cut], wanted[:, cut:]])

    def _greedy(self, name: str, image: Tensor | None) -> GreedyParity:
        """The runtime chooses; then one pass of the reference says what it would have chosen at each step."""
        self._step(f"greedy tokens, {name}")
        prompt = self._prompt(image)
        limit = min(GREEDY_TOKENS, self.spec.decoder.max_positions - len(prompt))
        try:
            found = list(self._generated(prompt, image, limit))
        except MachineFault as fault:
            if fault.code != NONFINITE_CODE:
                raise
            return GreedyParity(name, 0, limit, float("inf"), 0.0)  # that is the answer, not a fault
        if len(found) < limit:
            found.append(self.spec.prompt.eos_id)
        logits = self._reference_logits(prompt, image, found)
        agreed = agreed_tokens(logits.argmax(dim=-1).tolist(), found)
        if agreed == len(found):
            return GreedyParity(name, agreed, agreed, None, 0.0)
        row = logits[agreed]
        gap = float(row.max() - row[found[agreed]])
        allowed = 2 * BARS[self._precision("decoder")].relative * float(row.abs().max())
        return GreedyParity(name, agreed, len(found), gap, allowed)

    def _reference_logits(self, prompt: PromptTokens, image: Tensor | None, ids: Sequence[int]) -> Tensor:
        """(N, V): what the reference thinks before each of `ids`."""
        embeds = torch.cat([self._embedded(prompt, image), self.reference.embed(torch.tensor([ids]))], dim=1)
        length = embeds.shape[1]
        rows = torch.arange(len(prompt) - 1, length - 1)[None]
        start = torch.zeros(1, dtype=torch.int64)
        cache = self.reference.empty_cache(1, length)
        return self.reference.decode(embeds, start, rows, cache)[0][0]

    def _generated(self, prompt: PromptTokens, image: Tensor | None, limit: int) -> Iterator[int]:
        table = self.bundle.embedding()
        decoder = self.backend.decoder(batch=1, capacity=len(prompt) + limit)
        images = [] if image is None else [image[0].numpy().astype(table.dtype)]
        embedded = EmbeddedPrompt(prompt, table, images, [b"parity"] * len(images))
        sequence = KVSequence(decoder, table)
        logits, _ = sequence.prefill(embedded)
        eos = self.spec.prompt.eos_id
        return generate(sequence, logits, prompt.ids, Sampling(), rng_from_seed(0), eos, limit)

    def _prompt(self, image: Tensor | None) -> PromptTokens:
        images = () if image is None else (ImageRef(b"parity"),)
        return self.format.chat_prompt_tokens([Turn("user", QUESTION, images)])

    def _embedded(self, prompt: PromptTokens, image: Tensor | None) -> Tensor:
        embeds = self.reference.embed(torch.tensor([prompt.ids])).clone()
        for start, _ in prompt.image_spans:
            assert image is not None
            embeds[:, start : start + prompt.image_tokens] = image
        return embeds

    def _precision(self, role: Role) -> Precision:
        if role == "embed":
            return "fp32" if self.bundle.manifest.embedding.dtype == "float32" else "fp16"
        return self.bundle.graph(role, "ort").precision

    def _compared(self, role: Role, found: Sequence[Array], wanted: Sequence[Tensor]) -> RoleParity:
        difference = Difference()
        for left, right in zip(found, wanted, strict=True):
            difference.add(left, right.numpy())
        return RoleParity(
            role=role,
            cosine=difference.cosine,
            max_difference=difference.largest,
            mean_difference=difference.mean,
            relative=difference.relative,
            bar=BARS[self._precision(role)],
        )


def batched(plane: npt.NDArray[np.float32] | None) -> Tensor:
    assert plane is not None
    return torch.from_numpy(plane)[None]


def agreed_tokens(wanted: Sequence[int], found: Sequence[int]) -> int:
    """How many leading tokens are the same."""
    for index, (left, right) in enumerate(zip(wanted, found, strict=False)):
        if left != right:
            return index
    return min(len(wanted), len(found))


def synthetic_pictures(count: int = 2) -> list[Image.Image]:
    """Pictures with every frequency in them, the same on every machine."""
    rng = np.random.Generator(np.random.PCG64(20))
    sizes = [(640, 480), (301, 811), (1024, 1024), (97, 33)]
    pictures = []
    for index in range(count):
        width, height = sizes[index % len(sizes)]
        coarse = rng.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        noise = rng.integers(-20, 21, (height, width, 3))
        pictures.append(Image.fromarray(np.clip(np.asarray(smooth) + noise, 0, 255).astype(np.uint8)))
    return pictures
