"""The residual stream: what every block adds to, and the first thing to outgrow fp16."""

from __future__ import annotations

from torch import Tensor, nn


class Stream(nn.Module):
    """Where the stream begins. Once it is wide it stays so: fp32 plus fp16 is fp32."""

    is_wide = False

    def forward(self, x: Tensor) -> Tensor:
        return x.float() if self.is_wide else x
