"""The dialect seam: the few places where one model is written differently for different engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

Rope = tuple[Tensor, Tensor]  # cos and sin, each (max_positions, head_dim / 2)
Cached = tuple[Tensor, Tensor, Tensor]  # out (B, S, H*hd), present key and value (B, kvH, capacity, hd)


class Spelling(Protocol):
    """What a dialect spells in its own way. Modules call these and never ask which dialect it is."""

    def attention(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        """Every query sees every key.

        q (B, S, H, Dk), k (B, T, H, Dk), v (B, T, H, Dv) -> (B, S, H*Dv); Dv may differ from Dk.
        """

    def rms_norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        """x / rms(x) * weight over the last dimension; the mean of squares is taken in fp32."""

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
        """Rotate, write into the cache, attend to everything written so far.

        q (B, S, H, hd), k and v (B, S, kvH, hd), caches (B, kvH, capacity, hd), write_index (B) int64.
        Token s of row b takes position p = write_index[b] + s: half-split rotary at p, its key and
        value at cache row p, and it sees the cache rows j <= p. Query head h reads KV head
        h // (H / kvH). Cache rows not yet written may hold anything finite.
        """

    def after_attention(self, out: Tensor, layer: Callable[[Tensor], Tensor]) -> Tensor:
        """`layer` of what cached attention gave: (B, S, H*hd) -> (B, S, D)."""

    def resize(self, x: Tensor, side: int) -> Tensor:
        """Bilinear (B, C, h, w) -> (B, C, side, side), half-pixel centres, no antialias, in fp32."""


class Eager:
    """Plain torch: the numerical reference for every dialect. Caches come back as new tensors."""

    def attention(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        # Torch's fused kernel, which never holds the scores whole, wants one head size for q, k and v.
        short = q.shape[-1] - v.shape[-1]
        wide = F.pad(v, (0, short)) if short > 0 else v
        out = F.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), wide.transpose(1, 2), scale=scale
        )
        out = out[..., : v.shape[-1]] if short > 0 else out
        return out.transpose(1, 2).flatten(2)

    def rms_norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        wide = x.float()
        return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)).to(x.dtype) * weight

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
        positions = positions_from(write_index, q.shape[1])
        cos, sin = rope_rows(rope, positions)
        q, k = rotated(q, cos, sin), rotated(k, cos, sin)
        rows = positions[:, None, :, None].expand(-1, k.shape[2], -1, k.shape[3])  # (B, kvH, S, hd)
        key = past_key.scatter(2, rows, k.transpose(1, 2))
        value = past_value.scatter(2, rows, v.transpose(1, 2))
        is_visible = torch.arange(key.shape[2], device=q.device) <= positions[:, None, :, None]
        groups = q.shape[2] // k.shape[2]
        out = F.scaled_dot_product_attention(
            q.transpose(1, 2), repeated(key, groups), repeated(value, groups), attn_mask=is_visible
        )
        return out.transpose(1, 2).flatten(2), key, value

    def after_attention(self, out: Tensor, layer: Callable[[Tensor], Tensor]) -> Tensor:
        return layer(out)

    def resize(self, x: Tensor, side: int) -> Tensor:
        wide = F.interpolate(x.float(), size=(side, side), mode="bilinear", align_corners=False)
        return wide.to(x.dtype)


def positions_from(write_index: Tensor, steps: int) -> Tensor:
    """Of this call's tokens, (B, S)."""
    return write_index[:, None] + torch.arange(steps, device=write_index.device)


def rope_rows(rope: Rope, positions: Tensor) -> Rope:
    """The rows of both tables at positions (B, S), each (B, S, 1, hd / 2) in fp32."""
    cos, sin = (F.embedding(positions, table)[:, :, None].float() for table in rope)
    return cos, sin


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Half-split rotary of x (B, S, H, hd), in fp32."""
    low, high = x.float().chunk(2, dim=-1)
    return torch.cat([low * cos - high * sin, high * cos + low * sin], dim=-1).to(x.dtype)


def repeated(cache: Tensor, groups: int) -> Tensor:
    """Every KV head repeated for the query heads that share it: (B, kvH, T, hd) -> (B, H, T, hd)."""
    if groups == 1:
        return cache
    return cache[:, :, None].expand(-1, -1, groups, -1, -1).flatten(1, 2)
