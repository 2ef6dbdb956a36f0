"""The KV cache in 8 bits: in ONNX Runtime's own attention, and in plain operators with heads that are shared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime
import pytest

from calibration.answers import empty_caches
from calibration.cache import CacheScales, cache_scales, narrow_caches, narrowed
from calibration.session import Feeds
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect, FloatPrecision
from edge_runtime.errors import EdgeVLError
from edge_runtime.manifest import GraphEntry
from edge_runtime.progress import silent
from tests.proof.subject import bundle_below, session_folder

LENGTHS, CAPACITY = (5, 9), 12
Floats = npt.NDArray[np.floating]


Case = tuple[str, FloatPrecision, Dialect]
CASES: list[Case] = [("hybrid", "fp32", "ort"), ("hybrid", "fp16", "ort"), ("grouped", "fp32", "trt10")]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    name, precision, dialect = request.param
    folder = session_folder(tmp_path_factory)
    return Bundle.open(bundle_below(folder, name, precision, dialect=dialect))


@pytest.fixture
def entry(source: Bundle) -> GraphEntry:
    return source.graph("decoder", source.manifest.dialects[0])


@pytest.fixture
def feeds(source: Bundle, entry: GraphEntry) -> list[Feeds]:
    rng = np.random.default_rng(11)
    return [fed(entry, rng.standard_normal((1, length, source.spec.decoder.width))) for length in LENGTHS]


def fed(entry: GraphEntry, rows: npt.NDArray[np.float64], start: int = 0, **caches: Floats) -> Feeds:
    dtypes = {port.name: port.dtype for port in entry.inputs}
    return {
        **empty_caches(entry, CAPACITY),
        **caches,
        "inputs_embeds": rows.astype(dtypes["inputs_embeds"]),
        "write_index": np.array([start], np.int64),
        "logit_index": np.array([[rows.shape[1] - 1]], np.int64),
    }


def ran(path: Path, feeds: Feeds) -> dict[str, Floats]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(None, dict(feeds)), strict=True))


def narrow(source: Bundle, entry: GraphEntry, scales: CacheScales, folder: Path) -> Path:
    model = ir.load(source.path_of(entry))
    narrow_caches(model.graph, scales)
    ir.external_data.load_to_model(model)
    ir.save(model, folder / "decoder.onnx")
    return folder / "decoder.onnx"


def test_steps_reach_as_far_as_each_channel_ever_did(
    source: Bundle, entry: GraphEntry, feeds: list[Feeds]
) -> None:
    scales = cache_scales(source.path_of(entry), feeds, 1, silent)
    layers = source.spec.decoder.layers
    assert set(scales.steps) == {f"{layer}.{kind}" for layer in range(layers) for kind in ("key", "value")}
    found = [ran(source.path_of(entry), each) for each in feeds]
    for name, steps in scales.steps.items():
        caches = [np.abs(each[f"present.{name}"].astype(np.float32)) for each in found]
        wanted = np.max([cache.max(axis=(0, 2)) for cache in caches], axis=0).reshape(-1) / 127
        assert np.allclose(steps, wanted, rtol=1e-6), name


def test_the_cache_holds_what_was_written_rounded_to_its_steps(
    source: Bundle, entry: GraphEntry, feeds: list[Feeds], tmp_path: Path
) -> None:
    scales = cache_scales(source.path_of(entry), feeds, 1, silent)
    path, small = narrow(source, entry, scales, tmp_path), narrowed(entry)
    feed = {**feeds[1], **empty_caches(small, CAPACITY)}
    wanted, found = ran(source.path_of(entry), feeds[1]), ran(path, feed)
    heads, size = source.spec.decoder.kv_heads, source.spec.decoder.head_dim
    # Of the first layer, whose input no rounding has touched yet.
    for kind in ("key", "value"):
        steps = scales.steps[f"0.{kind}"].reshape(1, heads, 1, size)
        bytes_, floats = found[f"present.0.{kind}"], wanted[f"present.0.{kind}"].astype(np.float32)
        assert bytes_.dtype == np.int8
        off = np.abs(bytes_[:, :, : LENGTHS[1]] * steps - floats[:, :, : LENGTHS[1]])
        assert (off <= 0.51 * steps + 1e-3 * np.abs(floats[:, :, : LENGTHS[1]])).all()


def test_answers_go_on_from_a_cache_of_bytes(source: Bundle, entry: GraphEntry, tmp_path: Path) -> None:
    rows = np.random.default_rng(12).standard_normal((1, CAPACITY, source.spec.decoder.width))
    scales = cache_scales(source.path_of(entry), [fed(entry, rows)], 1, silent)
    path, small = narrow(source, entry, scales, tmp_path), narrowed(entry)
    logits = {}
    for name, graph, ports in (("float", source.path_of(entry), entry), ("bytes", path, small)):
        first = ran(graph, {**fed(entry, rows[:, :-1]), **empty_caches(ports, CAPACITY)})
        caches = {f"past_key_values.{key[8:]}": each for key, each in first.items() if key[:8] == "present."}
        step = fed(ports, rows[:, -1:], CAPACITY - 1, **caches)
        logits[name] = ran(graph, step)["logits"].astype(np.float64)
    lost = np.linalg.norm(logits["bytes"] - logits["float"]) / np.linalg.norm(logits["float"])
    assert 0 < lost < 0.02


def test_the_entry_says_that_caches_are_bytes(entry: GraphEntry) -> None:
    small = narrowed(entry)
    for before, after in zip((*entry.inputs, *entry.outputs), (*small.inputs, *small.outputs), strict=True):
        is_cache = before.name.startswith(("past_key_values.", "present."))
        assert after == (replace(before, dtype="int8") if is_cache else before)


def test_a_sample_that_is_no_finite_number_is_named(
    source: Bundle, entry: GraphEntry, feeds: list[Feeds]
) -> None:
    broken = {**feeds[0], "inputs_embeds": feeds[0]["inputs_embeds"] * np.inf}
    with pytest.raises(EdgeVLError, match="sample 2") as caught:
        cache_scales(source.path_of(entry), [feeds[1], broken], 1, silent)
    assert caught.value.code == "EVL-QUANT-SAMPLE"
