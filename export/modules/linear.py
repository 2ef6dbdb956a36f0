"""Matrix products with weights stored [K, N], so that a traced graph holds no transposes."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def empty_parameter(*shape: int, dtype: torch.dtype) -> nn.Parameter:
    """A frozen parameter without values: a checkpoint fills it, or an exporter names it."""
    return nn.Parameter(torch.empty(shape, dtype=dtype), requires_grad=False)


class Linear(nn.Module):
    """`x @ weight + bias`, weight [K, N], in the weight's own type."""

    def __init__(self, inputs: int, outputs: int, dtype: torch.dtype, has_bias: bool = True) -> None:
        super().__init__()
        self.weight = empty_parameter(inputs, outputs, dtype=dtype)
        self.bias = empty_parameter(outputs, dtype=dtype) if has_bias else None

    def forward(self, x: Tensor) -> Tensor:
        product = x.to(self.weight.dtype) @ self.weight
        return product if self.bias is None else product + self.bias
