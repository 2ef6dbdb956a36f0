"""A 2-D convolution whose weights are made empty (torch's own would draw random ones first)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.modules.linear import empty_parameter


class Conv(nn.Module):
    """NCHW in, NCHW out; weight [N, C, side, side]."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        side: int,
        dtype: torch.dtype,
        *,
        stride: int = 1,
        padding: int = 0,
        has_bias: bool = False,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.padding = padding
        self.weight = empty_parameter(outputs, inputs, side, side, dtype=dtype)
        self.bias = empty_parameter(outputs, dtype=dtype) if has_bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x.to(self.weight.dtype), self.weight, self.bias, self.stride, self.padding)
