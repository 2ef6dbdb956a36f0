"""The low-resolution tower: SigLIP without its pooling head."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_runtime.spec import Activation, SiglipSpec
from export.modules.conv import Conv
from export.modules.linear import Linear, empty_parameter
from export.modules.norm import LayerNorm
from export.modules.spelling import Spelling
from export.modules.stream import Stream


class SiglipTower(nn.Module):
    """Normalised pixels (B, 3, size, size) -> (B, tokens, width): last block, then the final norm."""

    def __init__(self, spec: SiglipSpec, spelling: Spelling, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        size, width = spec.patch_size, spec.width
        self.patch = Conv(3, width, size, dtype, stride=size, has_bias=True)
        self.position = empty_parameter(spec.tokens, width, dtype=dtype)
        self.blocks = nn.ModuleList(SiglipBlock(spec, spelling, dtype) for _ in range(spec.layers))
        self.norm = LayerNorm(width, spec.norm_eps, dtype)
        self.stream = Stream()
        self.eval()

    def forward(self, pixels: Tensor) -> Tensor:
        x: Tensor = self.patch(pixels).flatten(2).transpose(1, 2) + self.position  # (B, T, W)
        x = self.stream(x)
        for block in self.blocks:
            x = block(x)
        features: Tensor = self.norm(x)
        return features


class SiglipBlock(nn.Module):
    """Pre-norm attention and MLP: (B, T, W) -> (B, T, W)."""

    def __init__(self, spec: SiglipSpec, spelling: Spelling, dtype: torch.dtype) -> None:
        super().__init__()
        self.heads, self.scale = spec.heads, spec.head_dim**-0.5
        self.activation: Activation = spec.activation
        self.spelling = spelling
        self.norm1 = LayerNorm(spec.width, spec.norm_eps, dtype)
        self.qkv = Linear(spec.width, 3 * spec.width, dtype)
        self.proj = Linear(spec.width, spec.width, dtype)
        self.norm2 = LayerNorm(spec.width, spec.norm_eps, dtype)
        self.fc1 = Linear(spec.width, spec.mlp_width, dtype)
        self.fc2 = Linear(spec.mlp_width, spec.width, dtype)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.norm1(x))
        inner: Tensor = self.fc1(self.norm2(x))
        outer: Tensor = self.fc2(gelu(inner, self.activation))
        return x + outer

    def attend(self, x: Tensor) -> Tensor:
        q, k, v = (torch.unflatten(part, -1, (self.heads, -1)) for part in self.qkv(x).chunk(3, dim=-1))
        out: Tensor = self.proj(self.spelling.attention(q, k, v, self.scale))
        return out


def gelu(x: Tensor, activation: Activation) -> Tensor:
    return F.gelu(x, approximate="tanh" if activation == "gelu_tanh" else "none")
