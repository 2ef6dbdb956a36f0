"""Rotary tables for the dialects that rotate with plain operators."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from export.modules.spelling import Rope


def rope_rows(rope: Rope, write_index: Tensor, steps: int) -> Rope:
    """The rows of both tables at the positions of this call's tokens, each (B, S, 1, hd / 2) in fp32."""
    positions = write_index[:, None] + torch.arange(steps, device=write_index.device)  # (B, S)
    cos, sin = (F.embedding(positions, table)[:, :, None].float() for table in rope)
    return cos, sin
