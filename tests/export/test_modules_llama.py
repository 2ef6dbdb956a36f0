"""The decoder against transformers, its cache against itself, its graph against itself."""

from __future__ import annotations

from itertools import accumulate

import pytest
import torch
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from export.modules.llama import Decoder, KeyValue, rope_tables
from export.modules.reference import Reference
from export.modules.spelling import Eager
from tests.export.modules_graph import BATCH, Args, Graph, graph_from_fakes, graph_from_module
from tests.export.modules_oracle import PLAIN, Oracle, assert_close, decoder_spec, oracle

CHUNK = torch.export.Dim("chunk", min=1, max=512)
ROWS = torch.export.Dim("rows", min=1, max=512)
CAPACITY = torch.export.Dim("capacity", min=2, max=512)
CACHE = {0: BATCH, 2: CAPACITY}


@pytest.fixture(params=PLAIN)
def twin(request: pytest.FixtureRequest) -> Oracle:
    return oracle(PLAIN[request.param], seed=3)


def every_row(start: int, length: int) -> tuple[Tensor, Tensor]:
    return torch.tensor([start]), torch.arange(length)[None]


def test_logits_of_every_row_match_transformers(twin: Oracle) -> None:
    reference = twin.reference()
    ids = twin.ids(1, 40)
    assert_close(reference.logits(reference.embed(ids)), twin.model(input_ids=ids).logits)


@pytest.mark.parametrize("pieces", [(5, 1, 9, 2), (1, 16), (16, 1), (1,) * 17])
def test_prefill_in_pieces_matches_transformers(twin: Oracle, pieces: tuple[int, ...]) -> None:
    reference = twin.reference()
    ids = twin.ids(2, 17)
    embeds, past, parts = reference.embed(ids), reference.empty_cache(1, 30), []
    for stop, length in zip(accumulate(pieces), pieces, strict=True):
        start = stop - length
        logits, past = reference.decode(embeds[:, start:stop], *every_row(start, length), past)
        parts.append(logits)
    assert_close(torch.cat(parts, 1), twin.model(input_ids=ids).logits)
    whole = reference.decode(embeds, *every_row(0, 17), reference.empty_cache(1, 30))[1]
    for (key, value), (whole_key, whole_value) in zip(past, whole, strict=True):
        assert_close(key, whole_key, 1e-5)
        assert_close(value, whole_value, 1e-5)


def test_rows_of_a_batch_go_on_from_their_own_places(twin: Oracle) -> None:
    reference = twin.reference()
    lengths, more = [3, 8, 5], 4
    rows = [twin.ids(10 + i, length + more) for i, length in enumerate(lengths)]
    # Rows are padded on the right: what the padding writes is overwritten by the next call.
    first = torch.cat(
        [torch.nn.functional.pad(ids[:, :n], (0, 8 - n)) for ids, n in zip(rows, lengths, strict=True)]
    )
    after = torch.cat([ids[:, n:] for ids, n in zip(rows, lengths, strict=True)])
    ends = torch.tensor(lengths)
    past = reference.empty_cache(3, 16)
    head, past = reference.decode(reference.embed(first), torch.zeros(3).long(), ends[:, None] - 1, past)
    tail, _ = reference.decode(reference.embed(after), ends, torch.arange(more).expand(3, -1), past)
    for i, (ids, length) in enumerate(zip(rows, lengths, strict=True)):
        theirs = twin.model(input_ids=ids).logits[0]
        assert_close(head[i, 0], theirs[length - 1])
        assert_close(tail[i], theirs[length:])


def test_unwritten_cache_rows_are_not_seen(twin: Oracle) -> None:
    reference = twin.reference()
    embeds = reference.embed(twin.ids(4, 6))
    dirty = [(key + 1e3, value - 1e3) for key, value in reference.empty_cache(1, 12)]
    clean = reference.decode(embeds, *every_row(0, 6), reference.empty_cache(1, 12))[0]
    assert torch.equal(reference.decode(embeds, *every_row(0, 6), dirty)[0], clean)


def test_only_the_wanted_rows_get_logits_in_the_order_asked(twin: Oracle) -> None:
    reference = twin.reference()
    embeds = reference.embed(torch.cat([twin.ids(5, 7), twin.ids(6, 7)]))
    picked = torch.tensor([[6, 0, 3], [2, 2, 5]])
    logits, _ = reference.decode(embeds, torch.zeros(2).long(), picked, reference.empty_cache(2, 7))
    whole = reference.logits(embeds)
    assert_close(logits, torch.stack([whole[b, picked[b]] for b in range(2)]), 1e-5)


def test_rope_tables_are_those_of_transformers_at_every_position(twin: Oracle) -> None:
    spec = twin.spec.decoder
    rotary = LlamaRotaryEmbedding(twin.model.config.text_config)
    theirs = rotary(torch.zeros(1), torch.arange(spec.max_positions)[None])
    for ours, wanted in zip(rope_tables(spec, spec.max_positions), theirs, strict=True):
        assert torch.equal(ours, wanted[0, :, : spec.head_dim // 2])


def test_tables_are_no_weights() -> None:
    decoder = Decoder(decoder_spec(PLAIN["square"].text), Eager())
    assert not [name for name in decoder.state_dict() if "rope" in name]


def feed(reference: Reference, batch: int, length: int, rows: int, capacity: int) -> Args:
    """Inputs of one call in the middle of a conversation, every row at its own place."""
    draw = torch.Generator().manual_seed(batch + length)
    spec = reference.spec.decoder
    embeds = torch.randn(batch, length, spec.width, generator=draw)
    write_index = torch.randint(0, capacity - length + 1, (batch,), generator=draw)
    logit_index = torch.randint(0, length, (batch, rows), generator=draw)
    past: list[KeyValue] = [
        (torch.randn(key.shape, generator=draw), torch.randn(value.shape, generator=draw))
        for key, value in reference.empty_cache(batch, capacity)
    ]
    return embeds, write_index, logit_index, past


def shapes(layers: int) -> list[object]:
    return [{0: BATCH, 1: CHUNK}, {0: BATCH}, {0: BATCH, 1: ROWS}, [(CACHE, CACHE)] * layers]


def agrees_in_every_shape(graph: Graph, reference: Reference) -> None:
    for batch, length, rows, capacity in ((1, 1, 1, 20), (1, 12, 1, 20), (3, 1, 1, 33), (3, 7, 7, 20)):
        graph.agrees(reference.modules["decoder"], *feed(reference, batch, length, rows, capacity))


def test_graph_matches_the_module_in_other_shapes(twin: Oracle) -> None:
    reference = twin.reference()
    args = feed(reference, 2, 5, 3, 24)
    graph = graph_from_module(reference.modules["decoder"], args, shapes(twin.spec.decoder.layers))
    agrees_in_every_shape(graph, reference)


def test_graph_traced_without_values_matches_the_module() -> None:
    twin = oracle(PLAIN["one-kv-head"], seed=8)
    reference, spec = twin.reference(), twin.spec.decoder
    cos, sin = rope_tables(spec, spec.max_positions)

    def make() -> tuple[nn.Module, Args]:
        args = feed(reference, 2, 5, 3, 24)
        past = [(torch.empty(key.shape), torch.empty(value.shape)) for key, value in args[3]]
        fakes = torch.empty(2, 5, spec.width), torch.empty(2).long(), torch.empty(2, 3).long()
        return Decoder(spec, Eager()), (*fakes, past)

    weights = {**twin.states["decoder"], "rope_cos": cos, "rope_sin": sin}
    agrees_in_every_shape(graph_from_fakes(make, shapes(spec.layers), weights), reference)


def test_far_positions_turn_as_in_transformers() -> None:
    twin = oracle(PLAIN["square"], seed=9)
    reference = twin.reference()
    ids = twin.ids(7, twin.spec.decoder.max_positions)
    ours = reference.logits(reference.embed(ids))[:, -1]
    assert_close(ours, twin.model(input_ids=ids).logits[:, -1])
