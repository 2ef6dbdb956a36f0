"""Normalisation over the last dimension.

A wider input (a residual stream in fp32) is normalised as it is; what comes out has the weight's type.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.modules.linear import empty_parameter
from export.modules.spelling import Spelling


class LayerNorm(nn.Module):
    """Mean and variance, then scale and shift."""

    def __init__(self, width: int, eps: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.eps = eps
        self.weight = empty_parameter(width, dtype=dtype)
        self.bias = empty_parameter(width, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return F.layer_norm(x, weight.shape, weight, bias, self.eps).to(self.weight.dtype)


class RmsNorm(nn.Module):
    """Root mean square, then scale; dialects differ on it, so the spelling writes it."""

    def __init__(self, width: int, eps: float, spelling: Spelling, dtype: torch.dtype) -> None:
        super().__init__()
        self.eps = eps
        self.spelling = spelling
        self.weight = empty_parameter(width, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.spelling.rms_norm(x, self.weight.to(x.dtype), self.eps).to(self.weight.dtype)
