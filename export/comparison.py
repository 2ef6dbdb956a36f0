"""A bundle beside its checkpoint: the same inputs to both, role by role, in every dialect."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from edge_runtime.backends.backend import Array, Backend
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect, FloatPrecision
from edge_runtime.embedding import EmbeddedPrompt
from edge_runtime.errors import MachineFault
from edge_runtime.preprocess import Pixels, pixels_from_picture
from edge_runtime.progress import Progress, silent
from edge_runtime.prompt import ImageRef, PromptFormat, PromptTokens, Turn
from edge_runtime.sampling import NONFINITE_CODE, Sampling, rng_from_seed
from edge_runtime.sequence import KVSequence, generate
from edge_runtime.spec import ModelSpec, Role
from edge_runtime.tokenizer import Tokenizer
from export.checkpoint import Checkpoint
from export.difference import Difference
from export.modules.reference import Reference
from export.parity import BARS, GreedyParity, ParityReport, RoleParity, agreed_tokens
from export.reference import reference_from_checkpoint
from export.weight_parity import WeightParity, weight_parity

GREEDY_TOKENS = 32
KEPT_PICTURES = 2  # those that are always compared
QUESTION = "What can be seen in this picture?"


def parity_of(
    bundle: Bundle,
    backends: Mapping[Dialect, Backend],
    checkpoint: Checkpoint,
    pictures: Sequence[Image.Image],
    progress: Progress = silent,
) -> ParityReport:
    """Against the checkpoint in fp32; `pictures` go through the runtime's own preprocessing, one after the other.

    Each backend opens the graphs of its dialect, and is closed when it is no longer needed.
    """
    reference = reference_from_checkpoint(checkpoint, bundle.spec)
    is_same = bundle.tokenizer_path.read_bytes() == checkpoint.tokenizer_path.read_bytes()
    return Comparison(bundle, backends, reference, pictures, progress).report(is_same)


@dataclass(frozen=True)
class Features:
    """What the reference makes of one picture. `high` is None without that tower."""

    high: Tensor | None
    low: Tensor
    embeds: Tensor

    def of(self, role: Role) -> Tensor:
        """What the role gives."""
        found = {"vision_high": self.high, "vision_low": self.low, "adaptor": self.embeds}[role]
        assert found is not None
        return found


class Comparison:
    """One comparison under way. Every role is fed what the reference gives the role before it."""

    def __init__(
        self,
        bundle: Bundle,
        backends: Mapping[Dialect, Backend],
        reference: Reference,
        pictures: Sequence[Image.Image],
        progress: Progress,
    ) -> None:
        self.bundle = bundle
        self.spec: ModelSpec = bundle.spec
        self.backends = backends
        self.reference = reference
        self.pictures = pictures
        self.progress = progress
        self.done = 0
        self.format = PromptFormat(
            Tokenizer.open(bundle.tokenizer_path), self.spec.prompt, self.spec.image_tokens
        )
        self._seen: dict[int, Features] = {}
        self.image = self._features(0, self._pixels(0)).embeds
        self._wanted: dict[tuple[str, tuple[int, ...]], Tensor] = {}

    def report(self, has_same_tokenizer: bool) -> ParityReport:
        roles, greedy, weights = list[RoleParity](), list[GreedyParity](), list[WeightParity]()
        for dialect, backend in self.backends.items():
            roles += self._roles(dialect)
            greedy += [self._greedy("text", None, dialect), self._greedy("image", self.image, dialect)]
            backend.close()
            weights += self._weights(dialect)
        return ParityReport(tuple(roles), tuple(greedy), tuple(weights), has_same_tokenizer)

    def _roles(self, dialect: Dialect) -> list[RoleParity]:
        return [
            *self._vision(dialect),
            *([self._table()] if self._is_first(dialect) else []),
            self._decoder(dialect),
        ]

    def _is_first(self, dialect: Dialect) -> bool:
        """The embedding table lies beside the graphs of all dialects; it is compared once."""
        return dialect == next(iter(self.backends))

    def _step(self, label: str) -> None:
        self.done += 1
        each = len(self._vision_roles()) * len(self.pictures) + 4  # decoder, twice greedy, weights
        self.progress(f"comparing {label}", self.done, 1 + each * len(self.backends))

    def _weights(self, dialect: Dialect) -> list[WeightParity]:
        self._step(f"weights, {dialect}")
        roles = [role for role in self.spec.roles if role != "embed" or self._is_first(dialect)]
        return [weight_parity(self.bundle, self.reference, role, dialect) for role in roles]

    def _vision_roles(self) -> list[Role]:
        return [role for role in self.spec.roles if role not in ("embed", "decoder")]

    def _vision(self, dialect: Dialect) -> list[RoleParity]:
        """Picture by picture: what belongs to one is let go of before the next, however many there are."""
        differences = {role: Difference() for role in self._vision_roles()}
        for index in range(len(self.pictures)):
            self._compare_picture(index, dialect, differences)
        self.backends[dialect].close()  # what a tower worked in is not held beside the decoder
        return [self._parity(role, dialect, each) for role, each in differences.items()]

    def _compare_picture(self, index: int, dialect: Dialect, differences: Mapping[Role, Difference]) -> None:
        pixels = self._pixels(index)
        wanted = self._features(index, pixels)
        for role, difference in differences.items():
            self._step(f"{role}, {dialect}")
            found = self.backends[dialect].graph(role).run(feeds_of(role, pixels, wanted))
            (value,) = found.values()
            difference.add(value, wanted.of(role).numpy())

    def _pixels(self, index: int) -> Pixels:
        return pixels_from_picture(self.pictures[index], self.spec.preprocess)

    def _features(self, index: int, pixels: Pixels) -> Features:
        """What the reference gives. The first few are computed once for all dialects; all of many would be gigabytes."""
        if index in self._seen:
            return self._seen[index]
        high = None if pixels.high is None else self.reference.vision_high(batched(pixels.high))
        low = self.reference.vision_low(batched(pixels.low))
        features = Features(high, low, self.reference.adapt(high, low))
        if index < KEPT_PICTURES:
            self._seen[index] = features
        return features

    def _table(self) -> RoleParity:
        self._step("embed")
        ids = np.unique(np.linspace(0, self.spec.decoder.vocab - 1, 4096).astype(np.int64))
        found = np.asarray(self.bundle.embedding()[ids])
        return self._compared("embed", None, [found], [self.reference.embed(torch.from_numpy(ids))])

    def _decoder(self, dialect: Dialect) -> RoleParity:
        """Every row's logits of one prompt with an image, fed in two unequal pieces."""
        self._step(f"decoder, {dialect}")
        image = self.image
        prompt = self._prompt(image)
        embeds = self._embedded(prompt, image)[:, : self.bundle.manifest.max_context]
        length = embeds.shape[1]
        cut = max(1, length // 3)
        decoder = self.backends[dialect].decoder(batch=1, capacity=length)
        found = []
        for start, stop in ((0, cut), (cut, length)):
            rows = np.arange(stop - start, dtype=np.int64)[None]
            piece = embeds[:, start:stop].numpy()
            found.append(decoder.step(piece, np.array([start], dtype=np.int64), rows).logits)
        wanted = self._kept("decoder", (), lambda: self.reference.logits(embeds))
        return self._compared("decoder", dialect, found, [wanted[:, :cut], wanted[:, cut:]])

    def _kept(self, name: str, ids: tuple[int, ...], compute: Callable[[], Tensor]) -> Tensor:
        """What the reference gives, computed once: dialects that agree ask for the same. Logits are large, and not kept
        where nobody asks again."""
        if len(self.backends) == 1:
            return compute()
        if (name, ids) not in self._wanted:
            self._wanted[name, ids] = compute()
        return self._wanted[name, ids]

    def _greedy(self, name: str, image: Tensor | None, dialect: Dialect) -> GreedyParity:
        """The runtime chooses; then one pass of the reference says what it would have chosen at each step."""
        self._step(f"greedy tokens, {name}, {dialect}")
        prompt = self._prompt(image)
        limit = min(GREEDY_TOKENS, self.bundle.manifest.max_context - len(prompt))
        if limit <= 0:  # nobody can ask this of a bundle with so short a context
            return GreedyParity(name, dialect, 0, 0, None, 0.0)
        try:
            found = list(self._generated(prompt, image, limit, dialect))
        except MachineFault as fault:
            if fault.code != NONFINITE_CODE:
                raise
            return GreedyParity(name, dialect, 0, limit, float("inf"), 0.0)  # that is the answer, not a fault
        if len(found) < limit:
            found.append(self.spec.prompt.eos_id)
        logits = self._kept(name, tuple(found), lambda: self._reference_logits(prompt, image, found))
        agreed = agreed_tokens(logits.argmax(dim=-1).tolist(), found)
        if agreed == len(found):
            return GreedyParity(name, dialect, agreed, agreed, None, 0.0)
        row = logits[agreed]
        gap = float(row.max() - row[found[agreed]])
        allowed = 2 * BARS[self._precision("decoder", dialect)].relative * float(row.abs().max())
        return GreedyParity(name, dialect, agreed, len(found), gap, allowed)

    def _reference_logits(self, prompt: PromptTokens, image: Tensor | None, ids: Sequence[int]) -> Tensor:
        """(N, V): what the reference thinks before each of `ids`."""
        embeds = torch.cat([self._embedded(prompt, image), self.reference.embed(torch.tensor([ids]))], dim=1)
        length = embeds.shape[1]
        rows = torch.arange(len(prompt) - 1, length - 1)[None]
        start = torch.zeros(1, dtype=torch.int64)
        cache = self.reference.empty_cache(1, length)
        return self.reference.decode(embeds, start, rows, cache)[0][0]

    def _generated(
        self, prompt: PromptTokens, image: Tensor | None, limit: int, dialect: Dialect
    ) -> Iterator[int]:
        table = self.bundle.embedding()
        decoder = self.backends[dialect].decoder(batch=1, capacity=len(prompt) + limit)
        images = [] if image is None else [image[0].numpy().astype(table.dtype)]
        embedded = EmbeddedPrompt(prompt, table, images, [b"parity"] * len(images))
        sequence = KVSequence(decoder, table)
        scores, _ = sequence.prefill(embedded)
        eos = self.spec.prompt.eos_id
        return generate(sequence, scores, prompt.ids, Sampling(), rng_from_seed(0), eos, limit)

    def _prompt(self, image: Tensor | None) -> PromptTokens:
        images = () if image is None else (ImageRef(b"parity"),)
        return self.format.chat_prompt_tokens([Turn("user", QUESTION, images)])

    def _embedded(self, prompt: PromptTokens, image: Tensor | None) -> Tensor:
        embeds = self.reference.embed(torch.tensor([prompt.ids])).clone()
        for start, _ in prompt.image_spans:
            assert image is not None
            embeds[:, start : start + prompt.image_tokens] = image
        return embeds

    def _precision(self, role: Role, dialect: Dialect | None) -> FloatPrecision:
        table = self.bundle.manifest.embedding
        precision = table.precision if dialect is None else self.bundle.graph(role, dialect).precision
        assert precision == "fp32" or precision == "fp16", "quantised bundles are refused before"
        return precision

    def _compared(
        self, role: Role, dialect: Dialect | None, found: Sequence[Array], wanted: Sequence[Tensor]
    ) -> RoleParity:
        difference = Difference()
        for left, right in zip(found, wanted, strict=True):
            difference.add(left, right.numpy())
        return self._parity(role, dialect, difference)

    def _parity(self, role: Role, dialect: Dialect | None, difference: Difference) -> RoleParity:
        return RoleParity(
            role=role,
            dialect=dialect,
            cosine=difference.cosine,
            max_difference=difference.largest,
            mean_difference=difference.mean,
            relative=difference.relative,
            bar=BARS[self._precision(role, dialect)],
        )


def feeds_of(role: Role, pixels: Pixels, features: Features) -> dict[str, Array]:
    """What a role on the picture's way reads: pixels, or what the reference gives the adaptor."""
    if role == "adaptor":
        high = {} if features.high is None else {"high": features.high.numpy()}
        return {"low": features.low.numpy(), **high}
    plane = pixels.high if role == "vision_high" else pixels.low
    assert plane is not None
    return {"pixels": plane[None]}


def batched(plane: npt.NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(plane)[None]


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
