"""The `trt10` spelling: plain operators, opset 20, for TensorRT 10.3 and later.

Which of its shapes are fused was seen with TensorRT-RTX 1.7; on 10.3 it is for a board to say.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from export.modules.spelling import Cached, Eager, Rope, positions_from, repeated, rope_rows, rotated


class Trt10Spelling(Eager):
    """Products and softmax apart; the cache is one selection between old rows and new ones."""

    def attention(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        out = attended(q * scale, k.transpose(1, 2), padded(v, q.shape[-1]).transpose(1, 2), None)
        return out[..., : v.shape[-1]].flatten(2)

    def cached_attention(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        past_key: Tensor,
        past_value: Tensor,
        write_index: Tensor,
        rope: Rope,
    ) -> Cached:
        steps, capacity = q.shape[1], past_key.shape[2]
        cos, sin = rope_rows(rope, positions_from(write_index, steps))
        q, k = rotated(q, cos, sin), rotated(k, cos, sin)
        # (B, C): which of this call's tokens a row takes, if any.
        age = torch.arange(capacity, device=q.device) - write_index[:, None]
        key, value = (written(past, new, age, steps) for past, new in ((past_key, k), (past_value, v)))
        is_visible = age[:, None, None, :] <= torch.arange(steps, device=q.device)[:, None]  # (B, 1, S, C)
        groups = q.shape[2] // k.shape[2]
        out = attended(q * q.shape[3] ** -0.5, repeated(key, groups), repeated(value, groups), is_visible)
        return out.flatten(2), key, value

    def after_attention(self, out: Tensor, layer: Callable[[Tensor], Tensor]) -> Tensor:
        # As one matrix: of (B, S) rows TensorRT-RTX fuses the product with the residual sum and leaves 4-bit weights
        # to be unpacked by a kernel of its own.
        rows = layer(out.flatten(0, 1))  # (B * S, D)
        return torch.unflatten(rows, 0, out.shape[:2])


def attended(q: Tensor, k: Tensor, v: Tensor, is_visible: Tensor | None) -> Tensor:
    """q (B, S, H, D) already scaled, k and v (B, H, T, D) -> (B, S, H, D); the softmax is taken in fp32."""
    scores = (q.transpose(1, 2) @ k.transpose(2, 3)).float()
    if is_visible is not None:
        scores = torch.where(is_visible, scores, torch.finfo(q.dtype).min)
    return (scores.softmax(-1).to(q.dtype) @ v).transpose(1, 2)


def padded(v: Tensor, width: int) -> Tensor:
    """The fused kernel wants one head size for all three."""
    return F.pad(v, (0, width - v.shape[-1])) if width > v.shape[-1] else v


def written(past: Tensor, new: Tensor, age: Tensor, steps: int) -> Tensor:
    """`past` (B, H, C, D) with `new` (B, S, H, D) in the rows whose age (B, C) is 0 to S-1.

    A scatter would be several transposes of the whole cache, and with a reduction 10.3 refuses it. Rows are looked up
    whole: an index for each element would be as large as four caches.
    """
    batch, heads = past.shape[:2]
    is_new = (age >= 0) & (age < steps)
    rows = age.clamp(0, steps - 1) + torch.arange(batch, device=age.device)[:, None] * steps  # (B, C)
    found = F.embedding(rows, new.flatten(2).flatten(0, 1))  # (B, C, H * D)
    wide = torch.unflatten(found, -1, (heads, -1)).transpose(1, 2)
    return torch.where(is_new[:, None, :, None], wide, past)
