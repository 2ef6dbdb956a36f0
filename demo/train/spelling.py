"""The training spelling: whole sequences at once, no cache, and questions that do not see each other."""

from __future__ import annotations

import torch
from torch import Tensor

from demo.train.branched import HIDDEN, Span, branched_attention, spans_of
from export.modules.spelling import Cached, Eager, Rope, repeated, rotated


class Training(Eager):
    """As the reference, but keys and values are not kept. `arrange` says who sees whom in what comes next."""

    def __init__(self) -> None:
        self._positions: Tensor | None = None
        self._hidden: Tensor | None = None
        self.asked: list[
            tuple[Tensor, Tensor]
        ] = []  # queries and keys (B, H, S, hd) of every block since `arrange`
        self._spans: tuple[Span, ...] = ()

    def arrange(self, positions: Tensor, branches: Tensor, unseen: Tensor | None = None) -> None:
        """Both (B, S): a token sees those before it that all branches share, and those of its own; but not what is True in `unseen`
        (B, S, S)."""
        own, other = branches[:, :, None], branches[:, None, :]
        order = torch.arange(branches.shape[1])
        is_earlier = order[None, :, None] >= order[None, None, :]
        self._positions = positions
        is_hidden = ~(is_earlier & ((other == 0) | (other == own)))
        if unseen is not None:
            is_hidden |= unseen
        self._hidden, self._spans, self.asked = is_hidden * HIDDEN, spans_of(branches), []

    @property
    def hidden(self) -> Tensor:
        """(B, S, S): what is added to scores."""
        assert self._hidden is not None, "arrange first"
        return self._hidden

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
        assert self._positions is not None, "arrange first"
        cos, sin = (table[self._positions][:, :, None].float() for table in rope)  # (B, S, 1, hd/2)
        q, k = rotated(q, cos, sin), rotated(k, cos, sin)
        groups = q.shape[2] // k.shape[2]
        keys, values = (repeated(each.transpose(1, 2), groups) for each in (k, v))
        q, keys, values = (
            each.to(v.dtype) for each in ((q * q.shape[-1] ** -0.5).transpose(1, 2), keys, values)
        )
        self.asked.append((q, keys))
        out = branched_attention(q, keys, values, self.hidden, self._spans)
        return out.transpose(1, 2).flatten(2), past_key, past_value
