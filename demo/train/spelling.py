"""The training spelling: whole sequences from position 0, no cache, nothing but a causal mask."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from export.modules.spelling import Cached, Eager, Rope, repeated, rotated


class Training(Eager):
    """As the reference, but every row starts at position 0, and keys and values are not kept."""

    def cached_attention(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        past_key: Tensor,
        past_value: Tensor,
        write_index: Tensor,  # noqa: ARG002  (always 0)
        rope: Rope,
    ) -> Cached:
        cos, sin = (table[: q.shape[1], None].float() for table in rope)  # (S, 1, hd/2)
        q, k = rotated(q, cos, sin), rotated(k, cos, sin)
        groups = q.shape[2] // k.shape[2]
        out = F.scaled_dot_product_attention(
            q.transpose(1, 2),
            repeated(k.transpose(1, 2), groups),
            repeated(v.transpose(1, 2), groups).to(q.dtype),
            is_causal=True,
        )
        return out.transpose(1, 2).flatten(2), past_key, past_value
