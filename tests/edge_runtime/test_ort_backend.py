from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_runtime.backends.backend import Floats, Ints
from edge_runtime.backends.ort import OrtBackend, session_from_file
from edge_runtime.backends.ort_decoder import OrtDecoder
from edge_runtime.bundle import Bundle
from edge_runtime.errors import MachineFault
from tests.proof.subject import bundle_below, session_folder

CAPACITY = 32
IDS = np.random.Generator(np.random.PCG64(5)).integers(0, 250, (3, CAPACITY))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(bundle_below(session_folder(tmp_path_factory), "plain"))


@pytest.fixture
def backend(bundle: Bundle) -> OrtBackend:
    return OrtBackend(bundle, threads=1)


def cache_of(decoder: OrtDecoder) -> dict[str, Floats]:
    return {name: cache.numpy().astype(np.float32) for name, cache in decoder._cache}


def fed(
    bundle: Bundle, decoder: OrtDecoder, starts: list[int], steps: int, rows: slice = slice(None)
) -> Floats:
    """Row r of IDS from starts[r] on; logits of every token."""
    ids = np.stack([row[start : start + steps] for row, start in zip(IDS[rows], starts, strict=True)])
    every: Ints = np.tile(np.arange(steps, dtype=np.int64), (len(starts), 1))
    return decoder.step(np.asarray(bundle.embedding()[ids]), np.asarray(starts, dtype=np.int64), every).logits


def test_one_buffer_is_past_and_present_at_every_step(bundle: Bundle, backend: OrtBackend) -> None:
    decoder = backend.decoder(1, CAPACITY)
    addresses = [cache.data_ptr() for _, cache in decoder._cache]
    for start, steps in ((0, 7), (7, 1), (8, 5)):
        fed(bundle, decoder, [start], steps, slice(1))
        presents = decoder._whole.get_outputs()[1:]
        assert sorted(value.data_ptr() for value in presents) == sorted(addresses)
    assert [cache.data_ptr() for _, cache in decoder._cache] == addresses


def test_a_step_writes_its_own_rows_of_the_cache_and_no_others(bundle: Bundle, backend: OrtBackend) -> None:
    decoder = backend.decoder(1, CAPACITY)
    fed(bundle, decoder, [0], 6, slice(1))
    before = {name: cache.copy() for name, cache in cache_of(decoder).items()}
    fed(bundle, decoder, [6], 3, slice(1))
    for name, cache in cache_of(decoder).items():
        assert np.array_equal(cache[:, :, :6], before[name][:, :, :6]), name
        assert np.abs(cache[:, :, 6:9]).max(axis=(0, 1, 3)).min() > 0, f"{name} lacks a row"
        assert not cache[:, :, 9:].any(), f"{name} was written past its end"


@pytest.mark.parametrize("steps", [1, 5])
def test_rows_of_a_batch_do_not_touch_each_other(bundle: Bundle, backend: OrtBackend, steps: int) -> None:
    decoder = backend.decoder(3, CAPACITY)
    fed(bundle, decoder, [0, 0, 0], 8)
    found = fed(bundle, decoder, [8, 3, 5], steps)
    for row, start in enumerate((8, 3, 5)):
        alone = backend.decoder(1, CAPACITY)
        fed(bundle, alone, [0], start, slice(row, row + 1))
        wanted = fed(bundle, alone, [start], steps, slice(row, row + 1))
        assert np.abs(found[row] - wanted[0]).max() < 1e-5
        stop, lone = start + steps, cache_of(alone)
        for name, cache in cache_of(decoder).items():
            assert np.abs(cache[row, :, :stop] - lone[name][0, :, :stop]).max() < 1e-5, name


def test_row_by_row_gives_what_a_whole_batch_gives(bundle: Bundle, backend: OrtBackend) -> None:
    whole, split = backend.decoder(3, CAPACITY), backend.decoder(3, CAPACITY)
    wanted = fed(bundle, whole, [0, 0, 0], 9)  # from an empty cache: all rows at once
    found = np.concatenate(
        [fed(bundle, split, [0, 0, 0], 4), fed(bundle, split, [4, 4, 4], 5)], axis=1
    )  # 5 more tokens of three rows: one row after the other
    assert np.abs(found - wanted).max() < 1e-5
    other = cache_of(split)
    for name, cache in cache_of(whole).items():
        assert np.abs(cache - other[name]).max() < 1e-5, name


def test_only_the_wanted_rows_have_logits(bundle: Bundle, backend: OrtBackend) -> None:
    every = fed(bundle, backend.decoder(1, CAPACITY), [0], 9, slice(1))
    embeds = np.asarray(bundle.embedding()[IDS[:1, :9]])
    wanted_rows = np.array([[8, 2]], dtype=np.int64)
    found = backend.decoder(1, CAPACITY).step(embeds, np.zeros(1, dtype=np.int64), wanted_rows).logits
    assert found.shape == (1, 2, bundle.spec.decoder.vocab)
    assert np.abs(found[0] - every[0, [8, 2]]).max() < 1e-5


def test_logits_of_a_step_are_not_overwritten_by_the_next(bundle: Bundle, backend: OrtBackend) -> None:
    decoder = backend.decoder(1, CAPACITY)
    first = fed(bundle, decoder, [0], 1, slice(1))
    kept = first.copy()
    fed(bundle, decoder, [1], 1, slice(1))
    assert np.array_equal(first, kept)


def test_rewinding_gives_the_logits_of_a_fresh_cache(bundle: Bundle, backend: OrtBackend) -> None:
    decoder = backend.decoder(1, CAPACITY)
    fed(bundle, decoder, [0], 20, slice(1))
    again = fed(bundle, decoder, [4], 3, slice(1))
    fresh = backend.decoder(1, CAPACITY)
    fed(bundle, fresh, [0], 4, slice(1))
    assert np.abs(again - fed(bundle, fresh, [4], 3, slice(1))).max() < 1e-5


def test_the_cache_may_be_filled_to_its_last_row_and_no_further(bundle: Bundle, backend: OrtBackend) -> None:
    decoder = backend.decoder(1, 8)
    assert np.isfinite(fed(bundle, decoder, [0], 8, slice(1))).all()
    with pytest.raises(AssertionError, match="may not leave the cache"):
        fed(bundle, decoder, [8], 1, slice(1))


def test_a_session_is_opened_once_and_forgotten_on_close(backend: OrtBackend) -> None:
    assert backend.session("adaptor") is backend.session("adaptor")
    backend.close()
    assert not backend._sessions


def test_inputs_of_another_type_are_cast_to_the_graphs_own(bundle: Bundle, backend: OrtBackend) -> None:
    pixels = np.random.default_rng(0).standard_normal((1, 3, 96, 96))
    graph = backend.graph("vision_low")
    one = graph.run({"pixels": pixels})["features"]
    other = graph.run({"pixels": pixels.astype(np.float32)})["features"]
    assert one.dtype == np.float32
    assert np.array_equal(one, other)


def test_a_graph_takes_several_pictures_at_once(backend: OrtBackend) -> None:
    pixels = np.random.default_rng(0).standard_normal((3, 3, 96, 96)).astype(np.float32)
    graph = backend.graph("vision_low")
    whole = graph.run({"pixels": pixels})["features"]
    alone = [graph.run({"pixels": each[None]})["features"] for each in pixels]
    assert np.abs(whole - np.concatenate(alone)).max() < 1e-5


def test_a_graph_that_stops_is_named(backend: OrtBackend) -> None:
    with pytest.raises(MachineFault) as caught:
        backend.graph("vision_low").run({"pixels": np.zeros((1, 3, 7, 7), dtype=np.float32)})
    assert caught.value.code == "EVL-ENGINE-RUN"
    assert "vision_low" in caught.value.what


def test_a_graph_that_cannot_be_opened_is_a_fault_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "decoder.onnx"
    path.write_bytes(b"not a graph")
    with pytest.raises(MachineFault) as caught:
        session_from_file(path, 1, is_mapped=False)
    assert caught.value.code == "EVL-ENGINE-ORT"
    assert "edge-vl verify" in caught.value.fix


def test_the_bundle_is_left_as_it_was(bundle: Bundle, backend: OrtBackend) -> None:
    fed(bundle, backend.decoder(1, CAPACITY), [0], 4, slice(1))
    assert Bundle.open(bundle.folder) == bundle
