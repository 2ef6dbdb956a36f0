"""The training spelling: whole sequences at once, no cache, and questions that do not see each other."""

from __future__ import annotations

import torch
from torch import Tensor

from export.modules.spelling import Cached, Eager, Rope, repeated, rotated

HIDDEN = -1e4  # a score that bf16 can hold and that softmax makes nothing of


class Training(Eager):
    """As the reference, but keys and values are not kept. `arrange` says who sees whom in what comes next."""

    def __init__(self) -> None:
        self._positions: Tensor | None = None
        self._is_hidden: Tensor | None = None

    def arrange(self, positions: Tensor, branches: Tensor) -> None:
        """Both (B, S): a token sees those before it that all branches share, and those of its own."""
        own, other = branches[:, :, None], branches[:, None, :]
        order = torch.arange(branches.shape[1])
        is_earlier = order[None, :, None] >= order[None, None, :]
        self._positions = positions
        self._is_hidden = ~(is_earlier & ((other == 0) | (other == own)))[:, None]  # (B, 1, S, S)

    def cached_attention(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        past_key: Tensor,
        past_value: Tensor,
        write_index: Tensor,  # noqa: ARG002  (every row starts at position 0)
        rope: Rope,
    ) -> Cached:
        assert self._positions is not None and self._is_hidden is not None, "arrange first"
        cos, sin = (table[self._positions][:, :, None].float() for table in rope)  # (B, S, 1, hd/2)
        q, k = rotated(q, cos, sin), rotated(k, cos, sin)
        groups = q.shape[2] // k.shape[2]
        keys, values = (repeated(each.transpose(1, 2), groups) for each in (k, v))
        # Written out: for heads this small torch's fused kernel is half as fast in bf16.
        scores = (q * q.shape[-1] ** -0.5).transpose(1, 2) @ keys.transpose(2, 3)
        out = scores.masked_fill(self._is_hidden, HIDDEN).softmax(-1) @ values
        return out.transpose(1, 2).flatten(2), past_key, past_value
