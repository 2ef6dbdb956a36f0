"""The whole model against transformers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from edge_runtime.errors import EdgeVLError
from edge_runtime.spec import Role
from export.modules.reference import Reference
from tests.export.modules_oracle import EVERY, HYBRID, PLAIN, Oracle, assert_close, oracle

NEVER = -1  # an end token no model gives


@pytest.fixture(params=[(name, seed) for name in EVERY for seed in (0, 1)], ids=lambda p: f"{p[0]}-{p[1]}")
def twin(request: pytest.FixtureRequest) -> Oracle:
    name, seed = request.param
    return oracle(EVERY[name], seed)


def test_image_tokens_match_transformers(twin: Oracle) -> None:
    feed = twin.pixels(1, count=3)
    theirs = twin.model.model.get_image_features(**feed)
    reference = twin.reference()
    assert_close(reference.vision_low(feed["pixel_values"]), theirs.last_hidden_state)
    ours = reference.vision(feed["pixel_values"], feed.get("high_res_pixel_values"))
    assert_close(ours, theirs.pooler_output)


@pytest.mark.parametrize("pictures", [0, 1, 2])
def test_logits_and_greedy_ids_match_transformers(twin: Oracle, pictures: int) -> None:
    ids = twin.ids(2, 6, *(4, 7)[:pictures])
    feed = twin.pixels(3, count=pictures) if pictures else {}
    reference = twin.reference()
    embeds = twin.merged(reference, ids, feed)
    assert_close(reference.logits(embeds), twin.model(input_ids=ids, **feed).logits)
    theirs = twin.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        **feed,
        max_new_tokens=32,
        do_sample=False,
        pad_token_id=0,
    )
    assert reference.greedy(embeds, NEVER, 32) == theirs[0, ids.shape[1] :].tolist()


def test_logits_of_a_batch_of_pictures_match_transformers(twin: Oracle) -> None:
    ids = torch.cat([twin.ids(seed, 3, 5) for seed in (4, 5, 6)])
    feed = twin.pixels(7, count=3)
    reference = twin.reference()
    ours = reference.logits(twin.merged(reference, ids, feed))
    assert_close(ours, twin.model(input_ids=ids, **feed).logits)


def test_greedy_stops_before_the_end_token() -> None:
    reference = oracle(PLAIN["square"], seed=0).reference()
    embeds = reference.embed(torch.tensor([[5, 6, 7]]))
    free = reference.greedy(embeds, NEVER, 12)
    end = next(token for i, token in enumerate(free) if i >= 2 and token not in free[:i])
    assert reference.greedy(embeds, end, 12) == free[: free.index(end)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("sizes", [PLAIN["square"], HYBRID["padded-windows"]], ids=["plain", "hybrid"])
def test_halves_stay_close_to_full(sizes: object, dtype: torch.dtype) -> None:
    twin = oracle(sizes, seed=1)  # type: ignore[arg-type]
    ids, feed = twin.ids(2, 6, 4), twin.pixels(3)
    outs = []
    for reference in (twin.reference(dtype), twin.reference()):
        vision = reference.vision(feed["pixel_values"], feed.get("high_res_pixel_values"))
        outs.append((vision, reference.logits(twin.merged(reference, ids, feed))))
    for half, full in zip(*outs, strict=True):
        assert half.dtype == dtype
        cosine = torch.cosine_similarity(half.double().flatten(), full.double().flatten(), 0)
        assert cosine >= (0.9999 if dtype == torch.float16 else 0.999), float(cosine)


def test_every_role_is_read_once_in_the_wanted_dtype() -> None:
    twin = oracle(HYBRID["padded-windows"])
    asked: list[tuple[Role, torch.dtype]] = []

    def read(role: Role, dtype: torch.dtype) -> dict[str, Tensor]:
        asked.append((role, dtype))
        return twin.read(role, dtype)

    Reference.load(twin.spec, read, torch.bfloat16)
    assert asked == [(role, torch.bfloat16) for role in twin.spec.roles]


def test_a_missing_tensor_is_named_with_its_role() -> None:
    twin = oracle(HYBRID["padded-windows"])

    def read(role: Role, dtype: torch.dtype) -> dict[str, Tensor]:
        return {name: tensor for name, tensor in twin.read(role, dtype).items() if name != "alpha"}

    with pytest.raises(EdgeVLError, match="vision_high: 1 missing: alpha"):
        Reference.load(twin.spec, read)
