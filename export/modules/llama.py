"""The decoder: LLaMA on embeddings, with a KV cache of fixed capacity."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_runtime.spec import DecoderSpec
from export.modules.form import PLAIN, DecoderForm
from export.modules.head import head_from_form
from export.modules.linear import Linear, empty_parameter
from export.modules.norm import RmsNorm
from export.modules.spelling import Cached, Rope, Spelling
from export.modules.stream import Stream

KeyValue = tuple[Tensor, Tensor]  # (B, kvH, capacity, hd) each


class Decoder(nn.Module):
    """Embeddings in, logits of chosen rows out; the IO of every dialect.

    `inputs_embeds` (B, S, D) take the cache rows from `write_index` (B) on; `logit_index` (B, K) names
    the rows of S whose logits are wanted. `past` holds one pair per layer. Returns logits (B, K, V), where the
    form has candidates the largest logits and their ids (B, K, candidates), and the caches after this call. `rope_cos` and `rope_sin` are tables, not weights: whoever builds
    this under fake tensors fills them from `rope_tables`.
    """

    rope_cos: Tensor
    rope_sin: Tensor

    def __init__(
        self,
        spec: DecoderSpec,
        spelling: Spelling,
        dtype: torch.dtype = torch.float32,
        form: DecoderForm = PLAIN,
    ) -> None:
        super().__init__()
        self.candidates = min(form.candidates, spec.vocab)
        self.blocks = nn.ModuleList(DecoderBlock(spec, spelling, dtype) for _ in range(spec.layers))
        self.stream = Stream()
        self.norm = RmsNorm(spec.width, spec.norm_eps, spelling, dtype)
        self.head = head_from_form(spec, form, dtype)
        cos, sin = rope_tables(spec, spec.max_positions)
        self.register_buffer("rope_cos", cos.to(dtype), persistent=False)
        self.register_buffer("rope_sin", sin.to(dtype), persistent=False)
        self.eval()

    def fill_rope(self, spec: DecoderSpec) -> None:
        """Makes the tables anew, for a decoder that was built where tensors have no values."""
        cos, sin = rope_tables(spec, spec.max_positions)
        self.rope_cos, self.rope_sin = cos.to(self.rope_cos.dtype), sin.to(self.rope_sin.dtype)

    def forward(
        self, inputs_embeds: Tensor, write_index: Tensor, logit_index: Tensor, past: Sequence[KeyValue]
    ) -> tuple[Tensor | list[KeyValue], ...]:
        x, rope = self.stream(inputs_embeds), (self.rope_cos, self.rope_sin)
        presents: list[KeyValue] = []
        for block, (key, value) in zip(self.blocks, past, strict=True):
            x, key, value = block(x, key, value, write_index, rope)
            presents.append((key, value))
        # Only the wanted rows pay for the norm and the head.
        wanted = x.gather(1, logit_index[:, :, None].expand(-1, -1, x.shape[2]))  # (B, K, D)
        logits: Tensor = self.head(self.norm(wanted))
        if not self.candidates:
            return logits, presents
        # In fp32: ONNX Runtime sorts nothing narrower.
        values, ids = logits.float().topk(self.candidates)
        return logits, values, ids, presents


class DecoderBlock(nn.Module):
    """Pre-norm cached attention and gated MLP: (B, S, D) -> (B, S, D), and the caches."""

    def __init__(self, spec: DecoderSpec, spelling: Spelling, dtype: torch.dtype) -> None:
        super().__init__()
        self.head_dim = spec.head_dim
        self.spelling = spelling
        width, inner = spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim
        self.norm1 = RmsNorm(spec.width, spec.norm_eps, spelling, dtype)
        self.q = Linear(spec.width, width, dtype, has_bias=False)
        self.k = Linear(spec.width, inner, dtype, has_bias=False)
        self.v = Linear(spec.width, inner, dtype, has_bias=False)
        self.o = Linear(width, spec.width, dtype, has_bias=False)
        self.norm2 = RmsNorm(spec.width, spec.norm_eps, spelling, dtype)
        self.gate = Linear(spec.width, spec.mlp_width, dtype, has_bias=False)
        self.up = Linear(spec.width, spec.mlp_width, dtype, has_bias=False)
        self.down = Linear(spec.mlp_width, spec.width, dtype, has_bias=False)

    def forward(
        self, x: Tensor, past_key: Tensor, past_value: Tensor, write_index: Tensor, rope: Rope
    ) -> Cached:
        normed: Tensor = self.norm1(x)
        q, k, v = (
            torch.unflatten(linear(normed), -1, (-1, self.head_dim)) for linear in (self.q, self.k, self.v)
        )
        out, key, value = self.spelling.cached_attention(q, k, v, past_key, past_value, write_index, rope)
        x = x + self.spelling.after_attention(out, self.o)
        normed = self.norm2(x)
        x = x + self.down(F.silu(self.gate(normed)) * self.up(normed))
        return x, key, value


class Embedding(nn.Module):
    """Token ids (...) -> (..., D)."""

    def __init__(self, spec: DecoderSpec, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weight = empty_parameter(spec.vocab, spec.width, dtype=dtype)
        self.eval()

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.weight)


def rope_tables(spec: DecoderSpec, rows: int) -> Rope:
    """cos and sin for positions 0..rows-1, each (rows, head_dim / 2), computed and kept in fp32."""
    powers = torch.arange(0, spec.head_dim, 2, dtype=torch.float32) / spec.head_dim
    frequencies = 1.0 / (spec.rope_theta**powers)
    angles = torch.arange(rows, dtype=torch.float32)[:, None] * frequencies[None, :]
    return angles.cos(), angles.sin()
