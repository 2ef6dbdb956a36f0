"""The adaptors: vision features to decoder width."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_runtime.spec import AdaptorSpec
from export.modules.linear import Linear


class MlpAdaptor(nn.Module):
    """low (B, T, low_width) -> (B, T, width): `depth` linears with GELU between."""

    def __init__(self, spec: AdaptorSpec, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        widths = [spec.low_width, *[spec.width] * spec.depth]
        self.fc = nn.ModuleList(Linear(k, n, dtype) for k, n in pairwise(widths))
        self.eval()

    def forward(self, low: Tensor) -> Tensor:
        x: Tensor = self.fc[0](low)
        for linear in self.fc[1:]:
            x = linear(F.gelu(x))
        return x


class HybridAdaptor(nn.Module):
    """high (B, T, high_width), low (B, T, low_width) -> (B, T, width); high fills the first half."""

    def __init__(self, spec: AdaptorSpec, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.high = Linear(spec.high_width, spec.width // 2, dtype)
        self.low = Linear(spec.low_width, spec.width // 2, dtype)
        self.fc = nn.ModuleList(Linear(spec.width, spec.width, dtype) for _ in range(1, spec.depth))
        self.eval()

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        x = torch.cat([self.high(high), self.low(low)], dim=-1)
        for linear in self.fc:
            x = linear(F.gelu(x))
        return x
