"""Attention one conversation at a time is attention written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from demo.train.branched import HIDDEN, blocks, branched_attention, spans_of

BRANCHES = torch.tensor(
    [
        [0, 0, 0, 1, 1, 2, 2, 2, -1, -1],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],  # one branch only
        [1, 1, 2, 2, 2, 2, 2, -1, -1, -1],  # nothing shared
    ]
)


def bias_of(branches: Tensor) -> Tensor:
    own, other = branches[:, :, None], branches[:, None, :]
    order = torch.arange(branches.shape[1])
    is_earlier = order[None, :, None] >= order[None, None, :]
    return ~(is_earlier & ((other == 0) | (other == own))) * HIDDEN


def inputs(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    q, k, v = (torch.randn(3, 2, 10, 8, generator=generator).to(dtype).requires_grad_() for _ in range(3))
    return q, k, v


def written_out(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    return (q.float() @ k.float().transpose(2, 3) + bias[:, None]).softmax(-1) @ v.float()


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 4e-2)])
def test_values_and_gradients_are_those_of_attention_written_out(dtype: torch.dtype, near: float) -> None:
    bias, is_there = bias_of(BRANCHES), (BRANCHES >= 0)[:, None, :, None]
    weight = torch.randn(3, 2, 10, 8, generator=torch.Generator().manual_seed(4)) * is_there
    found, wanted = list[Tensor](), list[Tensor]()
    for said, is_written_out in ((found, False), (wanted, True)):
        tensors = inputs(dtype)
        out = (
            written_out(*tensors, bias)
            if is_written_out
            else branched_attention(*tensors, bias, spans_of(BRANCHES))
        )
        (out.float() * weight).sum().backward()  # type: ignore[no-untyped-call]
        said += [
            (out.float() * is_there).detach(),
            *(each.grad.float() for each in tensors if each.grad is not None),
        ]
    assert len(found) == len(wanted) == 4
    for one, other in zip(found, wanted, strict=True):
        assert float((one - other).abs().max()) < near * max(1.0, float(other.abs().max()))


def test_autocast_changes_nothing_within() -> None:
    bias, spans = bias_of(BRANCHES), spans_of(BRANCHES)
    plain = branched_attention(*inputs(torch.float32), bias, spans)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(branched_attention(*inputs(torch.float32), bias, spans), plain)


def test_where_no_conversation_is_nothing_comes_out() -> None:
    out = branched_attention(*inputs(torch.float32), bias_of(BRANCHES), spans_of(BRANCHES))
    assert torch.count_nonzero(out[0, :, 8:]) == torch.count_nonzero(out[2, :, 7:]) == 0
    assert torch.count_nonzero(out[0, :, :8]) == out[0, :, :8].numel()


def test_what_is_shared_is_not_asked_about_what_comes_after_it() -> None:
    assert spans_of(BRANCHES) == ((3, 8), (10, 10), (0, 7))
    assert [
        (row, rows.start or 0, rows.stop, seen.stop) for row, rows, seen in blocks(spans_of(BRANCHES))
    ] == [
        (0, 0, 3, 3),
        (0, 3, 8, 8),
        (1, 0, 10, 10),
        (2, 0, 7, 7),
    ]
