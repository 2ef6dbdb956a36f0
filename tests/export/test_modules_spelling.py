"""The eager spelling against the formulas written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from export.dialects.ort import OrtSpelling
from export.dialects.trt import TrtSpelling
from export.dialects.trt10 import Trt10Spelling
from export.modules.spelling import Eager, Spelling
from tests.export.modules_oracle import assert_close


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("key_width", "value_width"), [(8, 8), (20, 8), (8, 20)])
def test_attention_is_softmax_of_scaled_products(key_width: int, value_width: int) -> None:
    q, k, v = (
        drawn(2, 5, 3, key_width),
        drawn(2, 7, 3, key_width, seed=1),
        drawn(2, 7, 3, value_width, seed=2),
    )
    out = Eager().attention(q, k, v, 0.3)
    weights = (0.3 * torch.einsum("bshd,bthd->bhst", q, k)).softmax(-1)
    wanted = torch.einsum("bhst,bthd->bshd", weights, v).reshape(2, 5, 3 * value_width)
    assert_close(out, wanted, 1e-6)


def test_rms_norm_of_halves_survives_squares_that_overflow() -> None:
    x = torch.full((1, 4), 3000.0, dtype=torch.float16)
    out = Eager().rms_norm(x, torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float16), 1e-6)
    assert out.dtype == torch.float16
    assert out.tolist() == [[1.0, 2.0, 3.0, 4.0]]


def test_resize_of_halves_is_computed_in_full() -> None:
    x = drawn(1, 2, 4, 4).half()
    out = Eager().resize(x, 6)
    wide = torch.nn.functional.interpolate(x.float(), size=(6, 6), mode="bilinear", align_corners=False)
    assert torch.equal(out, wide.half())


def rope(positions: int, half: int) -> tuple[Tensor, Tensor]:
    angles = torch.arange(positions)[:, None] / 7.0 ** torch.arange(half)
    return angles.cos(), angles.sin()


def naive_row(
    q: Tensor, keys: Tensor, values: Tensor, last: int
) -> Tensor:  # q (H, hd), keys and values (kvH, capacity, hd)
    outs = []
    for head, query in enumerate(q):
        kv = head // (q.shape[0] // keys.shape[0])
        weights = (keys[kv, : last + 1] @ query / q.shape[1] ** 0.5).softmax(0)
        outs.append(weights @ values[kv, : last + 1])
    return torch.cat(outs)


def turned(x: Tensor, position: int) -> Tensor:  # (..., hd): complex numbers (low + i high) turned
    cos, sin = (table[position] for table in rope(32, x.shape[-1] // 2))
    low, high = x.chunk(2, -1)
    turn = torch.complex(low, high) * torch.complex(cos, sin)
    return torch.cat([turn.real, turn.imag], -1)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_cached_attention_writes_and_sees_each_row_at_its_own_place(kv_heads: int) -> None:
    starts = [0, 4, 9]
    q, k, v = drawn(3, 2, 4, 6), drawn(3, 2, kv_heads, 6, seed=1), drawn(3, 2, kv_heads, 6, seed=2)
    past_key, past_value = drawn(3, kv_heads, 12, 6, seed=3), drawn(3, kv_heads, 12, 6, seed=4)
    out, key, value = Eager().cached_attention(
        q, k, v, past_key, past_value, torch.tensor(starts), rope(32, 3)
    )
    for b, start in enumerate(starts):
        keys, values = past_key[b].clone(), past_value[b].clone()
        for s in range(2):
            keys[:, start + s], values[:, start + s] = turned(k[b, s], start + s), v[b, s]
        assert_close(key[b], keys, 1e-6)
        assert torch.equal(value[b], values)
        for s in range(2):
            wanted = naive_row(turned(q[b, s], start + s), keys, values, start + s)
            assert_close(out[b, s], wanted, 1e-6)


def test_cached_attention_leaves_the_caches_it_was_given() -> None:
    cache = torch.zeros(1, 2, 4, 6)
    token = drawn(1, 1, 2, 6)
    Eager().cached_attention(token, token, token, cache, cache, torch.tensor([1]), rope(4, 3))
    assert not cache.any()


@pytest.mark.parametrize("spelling", [Eager(), OrtSpelling(), TrtSpelling(), Trt10Spelling()])
def test_every_row_of_what_attention_gave_goes_through_the_layer_to_its_own_place(spelling: Spelling) -> None:
    out, weight = drawn(2, 3, 4), drawn(4, 5, seed=1)
    given = spelling.after_attention(out, lambda x: x @ weight)
    assert given.shape == (2, 3, 5)
    for b in range(2):
        for s in range(3):
            assert_close(given[b, s], out[b, s] @ weight, 1e-6)
