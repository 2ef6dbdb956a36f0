"""A cache on a device: owned by ONNX Runtime, reached by address; here with the CPU for a device."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnxruntime
import pytest

from edge_runtime.backends import ort_decoder
from edge_runtime.backends.backend import Floats
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.backends.ort_decoder import OrtDecoder, zeros_on
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect, FloatPrecision
from edge_runtime.memory import memory_of_tree
from tests.proof.subject import bundle_below, session_folder

CAPACITY = 40
PROMPT, TOKENS = 9, 24
SPOKEN: list[tuple[str, FloatPrecision, Dialect]] = [
    ("plain", "fp32", "ort"),
    ("grouped", "fp16", "ort"),
    ("grouped", "fp32", "trt10"),
    ("grouped", "fp32", "trt"),
]


@pytest.fixture(params=SPOKEN, ids="-".join, scope="module")
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    name, precision, dialect = request.param
    return Bundle.open(bundle_below(session_folder(tmp_path_factory), name, precision, dialect=dialect))


@pytest.fixture
def backend(bundle: Bundle) -> OrtBackend:
    return OrtBackend(bundle, threads=1, dialect=bundle.manifest.dialects[0])


def zeros_of_onnxruntime(device: str, shape: tuple[int, ...], dtype: str) -> Any:
    """As on a GPU: memory of ONNX Runtime's allocator, written by a copy, with no array of numpy's behind it."""
    value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.dtype(dtype).type, device, 0)
    value.update_inplace(np.zeros(shape, dtype=dtype))
    return value


@pytest.fixture
def device_memory(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(ort_decoder, "zeros_on", zeros_of_onnxruntime)
    return monkeypatch


def decoders(
    backend: OrtBackend, batch: int, device_memory: pytest.MonkeyPatch
) -> tuple[OrtDecoder, OrtDecoder]:
    """One with its cache in numpy's pages, one with it in memory of ONNX Runtime's."""
    device = backend.decoder(batch, CAPACITY)
    device_memory.setattr(ort_decoder, "zeros_on", zeros_on)
    return backend.decoder(batch, CAPACITY), device


def greedy(bundle: Bundle, decoder: OrtDecoder) -> tuple[list[list[int]], list[Floats]]:
    """TOKENS ids for each row after a prompt in two chunks, the second from a cache that is not empty."""
    rng = np.random.Generator(np.random.PCG64(3))
    ids = rng.integers(0, 250, (decoder.batch, PROMPT))
    said: list[list[int]] = [[] for _ in range(decoder.batch)]
    every: list[Floats] = []
    start = 0
    for chunk in (ids[:, :5], ids[:, 5:], *[None] * (TOKENS - 1)):
        fed = np.array([row[-1:] for row in said]) if chunk is None else chunk
        index = np.full(decoder.batch, start, dtype=np.int64)
        last = np.full((decoder.batch, 1), fed.shape[1] - 1, dtype=np.int64)
        logits = decoder.step(np.asarray(bundle.embedding()[fed]), index, last).logits[:, 0]
        every.append(logits)
        start += fed.shape[1]
        if start >= PROMPT:
            for row, token in zip(said, logits.argmax(axis=-1).tolist(), strict=True):
                row.append(token)
    return said, every


@pytest.mark.parametrize("batch", [1, 3])
def test_a_cache_on_a_device_says_the_same_tokens_as_one_in_numpys_pages(
    bundle: Bundle, backend: OrtBackend, batch: int, device_memory: pytest.MonkeyPatch
) -> None:
    pages, device = decoders(backend, batch, device_memory)
    wanted, logits = greedy(bundle, pages)
    found, others = greedy(bundle, device)
    assert [len(row) for row in found] == [TOKENS] * batch
    assert found == wanted
    assert all(np.array_equal(one, other) for one, other in zip(logits, others, strict=True))


def test_a_cache_on_a_device_is_zero_until_it_is_written(
    backend: OrtBackend, device_memory: pytest.MonkeyPatch
) -> None:
    for decoder in decoders(backend, 2, device_memory):
        assert all(not value.numpy().any() for _, value in decoder._cache)


def test_a_cache_on_the_cpu_costs_nothing_until_it_is_written() -> None:
    before = memory_of_tree(os.getpid()).held_mib
    value = zeros_on("cpu", (1, 8, 1 << 20, 64), "float16")
    assert value.tensor_size_in_bytes() == 1 << 30
    assert memory_of_tree(os.getpid()).held_mib - before < 100


def test_rows_of_a_cache_are_where_the_whole_cache_has_them(
    backend: OrtBackend, device_memory: pytest.MonkeyPatch
) -> None:
    for decoder in decoders(backend, 3, device_memory):
        width = backend.bundle.spec.decoder.width
        embeds = np.ones((1, 2, width), dtype=np.float32)
        index, last = np.zeros(1, dtype=np.int64), np.zeros((1, 1), dtype=np.int64)
        decoder._run(decoder._rows[1], 1, embeds, index, last)
        for name, value in decoder._cache:
            cache = value.numpy()
            assert cache[1, :, :2].any(), name
            assert not cache[[0, 2]].any(), f"{name}: another row was written"
            assert not cache[1, :, 2:].any(), f"{name}: a later token was written"
