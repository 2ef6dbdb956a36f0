"""The whole model in eager torch: what every graph of every dialect is measured against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edge_runtime.spec import ModelSpec, Role
from export.modules.lending import ReadOne, lent_module
from export.modules.llama import KeyValue
from export.modules.role import fill, module_from_role
from export.modules.spelling import Eager

Reader = Callable[[Role, torch.dtype], Mapping[str, Tensor]]  # a role's tensors by canonical name


@dataclass(frozen=True)
class Reference:
    """All roles of one model, loaded strictly."""

    spec: ModelSpec
    dtype: torch.dtype
    modules: Mapping[Role, nn.Module]
    read: ReadOne | None = None  # where lent weights come from

    @classmethod
    def load(cls, spec: ModelSpec, read: Reader, dtype: torch.dtype = torch.float32) -> Reference:
        """Asks `read` for each role once; tensors that do not fit are an error that lists them."""
        modules: dict[Role, nn.Module] = {}
        for role in spec.roles:
            modules[role] = module_from_role(role, spec, Eager(), dtype)
            fill(modules[role], role, read(role, dtype))
        return cls(spec, dtype, modules)

    @classmethod
    def lent(cls, spec: ModelSpec, read: ReadOne, dtype: torch.dtype = torch.float32) -> Reference:
        """The same in the memory of one layer: each reads its weights whenever it runs."""
        modules = {role: lent_module(role, spec, read, dtype) for role in spec.roles}
        return cls(spec, dtype, modules, read)

    def parameters(self, role: Role) -> Iterator[tuple[str, Tensor]]:
        """Name and value of each, as loaded, or as the checkpoint has them."""
        if self.read is None:
            yield from self.modules[role].named_parameters()
            return
        names = [name for name, _ in self.modules[role].named_parameters()] or [
            "weight"
        ]  # the lent embedding
        for name in names:
            yield name, self.read(role, name)

    @torch.inference_mode()
    def vision_low(self, pixels: Tensor) -> Tensor:
        """Normalised (B, 3, size, size) -> (B, T, width)."""
        features: Tensor = self.modules["vision_low"](pixels.to(self.dtype))
        return features

    @torch.inference_mode()
    def vision_high(self, pixels: Tensor) -> Tensor:
        """Normalised (B, 3, size, size) -> (B, T, width)."""
        features: Tensor = self.modules["vision_high"](pixels.to(self.dtype))
        return features

    @torch.inference_mode()
    def adapt(self, high: Tensor | None, low: Tensor) -> Tensor:
        """Tower features -> (B, T, D); `high` exactly when the model has that tower."""
        assert (high is None) == (self.spec.high is None), "high features and towers disagree"
        towers = (low,) if high is None else (high, low)
        tokens: Tensor = self.modules["adaptor"](*towers)
        return tokens

    def vision(self, pixels_low: Tensor, pixels_high: Tensor | None = None) -> Tensor:
        """Normalised pixels of one picture per row -> (B, T, D), ready for the decoder."""
        high = None if pixels_high is None else self.vision_high(pixels_high)
        return self.adapt(high, self.vision_low(pixels_low))

    @torch.inference_mode()
    def embed(self, ids: Tensor) -> Tensor:
        """Token ids (B, S) -> (B, S, D)."""
        embeds: Tensor = self.modules["embed"](ids)
        return embeds

    def empty_cache(self, batch: int, capacity: int) -> list[KeyValue]:
        """One zeroed pair (B, kvH, capacity, hd) per layer."""
        decoder = self.spec.decoder
        shape = (batch, decoder.kv_heads, capacity, decoder.head_dim)
        return [
            (torch.zeros(shape, dtype=self.dtype), torch.zeros(shape, dtype=self.dtype))
            for _ in range(decoder.layers)
        ]

    @torch.inference_mode()
    def decode(
        self, embeds: Tensor, write_index: Tensor, logit_index: Tensor, past: list[KeyValue]
    ) -> tuple[Tensor, list[KeyValue]]:
        """One call of the decoder: see `Decoder`."""
        logits, presents = self.modules["decoder"](embeds.to(self.dtype), write_index, logit_index, past)
        return logits, presents

    def logits(self, embeds: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, V): every row's logits, from an empty cache."""
        batch, length = embeds.shape[:2]
        start = torch.zeros(batch, dtype=torch.int64)
        rows = torch.arange(length).expand(batch, -1)
        return self.decode(embeds, start, rows, self.empty_cache(batch, length))[0]

    def greedy(self, embeds: Tensor, eos: int, limit: int) -> list[int]:
        """At most `limit` new ids after a prompt (1, S, D); the end token is left out."""
        assert embeds.shape[0] == 1, "greedy follows one sequence"
        length = embeds.shape[1]
        past, ids = self.empty_cache(1, length + limit), list[int]()
        position, last = 0, length - 1
        while len(ids) < limit:
            logits, past = self.decode(embeds, torch.tensor([position]), torch.tensor([[last]]), past)
            token = int(logits[0, 0].argmax())
            if token == eos:
                break
            ids.append(token)
            position, last = length + len(ids) - 1, 0
            embeds = self.embed(torch.tensor([[token]]))
        return ids
