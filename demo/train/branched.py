"""Attention over conversations whose questions do not see each other, forwards and backwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

HIDDEN = -1e4  # a score that bf16 can hold and that softmax makes nothing of
Span = tuple[int, int]  # of one conversation: where its first branch begins, and where it ends


class BranchedAttention(torch.autograd.Function):
    """As written-out attention, but one conversation at a time, no wider than it is, and in one precision throughout: whole batches of
    scores in fp32 are passed through memory a dozen times, which took a third of a step."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, spans: Sequence[Span]
    ) -> Tensor:
        """q (already scaled), k and v (B, H, S, hd), bias (B, S, S) -> (B, H, S, hd); nothing where no conversation is."""
        out = torch.zeros_like(q)
        shares: list[Tensor] = []
        with torch.autocast("cpu", enabled=False):
            for row, rows, seen in blocks(spans):
                hidden = bias[row, rows, seen].to(q.dtype).expand(q.shape[1], -1, -1)
                scores = torch.baddbmm(hidden, q[row, :, rows], k[row, :, seen].transpose(1, 2))
                shares.append(scores.softmax(-1))
                out[row, :, rows] = shares[-1] @ v[row, :, seen]
        ctx.save_for_backward(q, k, v, *shares)
        ctx.spans = spans  # type: ignore[attr-defined]
        return out

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        q, k, v, *shares = ctx.saved_tensors  # type: ignore[attr-defined]
        of_q, of_k, of_v = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for share, (row, rows, seen) in zip(shares, blocks(ctx.spans), strict=True):  # type: ignore[attr-defined]
            given = grad[row, :, rows]
            of_v[row, :, seen] += share.transpose(1, 2) @ given
            of_shares = given @ v[row, :, seen].transpose(1, 2)
            of_scores = torch._softmax_backward_data(of_shares, share, -1, share.dtype)
            of_q[row, :, rows] = of_scores @ k[row, :, seen]
            of_k[row, :, seen] += of_scores.transpose(1, 2) @ q[row, :, rows]
        return of_q, of_k, of_v, None, None


def branched_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, spans: Sequence[Span]) -> Tensor:
    out: Tensor = BranchedAttention.apply(q, k, v, bias, spans)  # type: ignore[no-untyped-call]
    return out


def blocks(spans: Sequence[Span]) -> Iterator[tuple[int, slice, slice]]:
    """Row of the batch, its queries, and the keys that any of them may see: what all share does not look ahead."""
    for row, (first, stop) in enumerate(spans):
        if first:
            yield row, slice(first), slice(first)
        if first < stop:
            yield row, slice(first, stop), slice(stop)


def spans_of(branches: Tensor) -> tuple[Span, ...]:
    """Of branches (B, S), -1 where nothing is."""
    is_there, is_shared = branches >= 0, (branches == 0).long().cumprod(1)
    stops = (is_there * torch.arange(1, branches.shape[1] + 1)).amax(1)
    return tuple(zip(is_shared.sum(1).tolist(), stops.tolist(), strict=True))
