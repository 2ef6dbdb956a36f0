"""The `trt` spelling: opset 24, whose operators TensorRT 10.15 and later take whole."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from export.dialects.trt10 import padded
from export.modules.spelling import Cached, Eager, Rope, positions_from


class TrtSpelling(Eager):
    """Attention, RMSNormalization, RotaryEmbedding, and a cache that is updated in place."""

    def attention(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        wide = padded(v, q.shape[-1])
        # Scaled here: TensorRT's own attention layer knows no scale.
        out = F.scaled_dot_product_attention(
            (q * scale).transpose(1, 2), k.transpose(1, 2), wide.transpose(1, 2), scale=1.0
        )
        return out.transpose(1, 2)[..., : v.shape[-1]].flatten(2)

    def rms_norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        return F.rms_norm(x, weight.shape, weight, eps)

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
        q, k = (turned(x.transpose(1, 2), rope, positions) for x in (q, k))
        key, value = (
            updated(past, new, write_index) for past, new in ((past_key, k), (past_value, v.transpose(1, 2)))
        )
        is_visible = torch.arange(key.shape[2], device=q.device) <= positions[:, None, :, None]
        # Never scaled by one: the parser multiplies the keys by it, and TensorRT then copies their cache at every call.
        out = F.scaled_dot_product_attention(
            q, key, value, attn_mask=is_visible, enable_gqa=q.shape[1] != key.shape[1]
        )
        return out.transpose(1, 2).flatten(2), key, value


def turned(x: Tensor, rope: Rope, positions: Tensor) -> Tensor:
    """Half-split rotary of x (B, H, S, hd) at positions (B, S)."""
    cos, sin = rope
    return torch.onnx.ops.rotary_embedding(x, cos, sin, positions)


def updated(past: Tensor, new: Tensor, write_index: Tensor) -> Tensor:
    out: Tensor = torch.onnx.ops.symbolic(
        "TensorScatter",
        (past, new, write_index),
        {"axis": 2, "mode": "linear"},
        dtype=past.dtype,
        shape=past.shape,
        version=24,
    )
    return out
