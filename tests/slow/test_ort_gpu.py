"""ONNX Runtime on a real GPU: the same bundle there and on the CPU. Skipped, with the reason, where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edge_runtime.assistant import Assistant
from edge_runtime.backends.backend import Array, Floats, Ints
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.backends.ort_decoder import OrtDecoder
from edge_runtime.backends.provider import CUDA, TENSORRT, Provider
from edge_runtime.backends.provider_probe import providers_here
from edge_runtime.bundle import Bundle
from edge_runtime.request import Request
from tests.proof.subject import bundle_below, pictures, session_folder

pytestmark = pytest.mark.slow

CAPACITY = 64
COSINE, RELATIVE = 0.9999, 1e-2  # of an fp16 bundle to the checkpoint, wherever it runs
PLANS = {
    "one row": [((0,), 9), ((9,), 4), ((13,), 1), ((4,), 6), ((10,), 1)],
    "three rows": [((0, 0, 0), 9), ((9, 4, 0), 6), ((15, 10, 6), 1), ((16, 2, 7), 3)],
}


@pytest.fixture(scope="module", params=[CUDA, TENSORRT], ids=lambda each: each.engine)
def provider(request: pytest.FixtureRequest) -> Provider:
    found: Provider = request.param
    if why := providers_here().faults.get(found.engine, ""):
        pytest.skip(f"{found.engine}: {why}")
    return found


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(bundle_below(session_folder(tmp_path_factory), "grouped", "fp16"))


@pytest.fixture
def cpu(bundle: Bundle) -> OrtBackend:
    return OrtBackend(bundle, threads=1)


@pytest.fixture
def gpu(bundle: Bundle, provider: Provider, tmp_path: Path) -> OrtBackend:
    return OrtBackend(bundle, threads=1, provider=provider, engines=tmp_path / "engines")


def check_near(found: Array, wanted: Array) -> None:
    a, b = found.astype(np.float64).ravel(), wanted.astype(np.float64).ravel()
    cosine = float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
    relative = float(np.abs(a - b).max() / np.abs(b).max())
    assert cosine >= COSINE and relative <= RELATIVE, (cosine, relative)


def fed(bundle: Bundle, decoder: OrtDecoder, ids: Ints, starts: tuple[int, ...]) -> Floats:
    every: Ints = np.tile(np.arange(ids.shape[1], dtype=np.int64), (len(starts), 1))
    embeds = np.asarray(bundle.embedding()[ids])
    return decoder.step(embeds, np.asarray(starts, dtype=np.int64), every).logits


@pytest.mark.parametrize("plan", list(PLANS.values()), ids=list(PLANS))
def test_every_row_has_the_logits_of_the_cpu(
    bundle: Bundle, cpu: OrtBackend, gpu: OrtBackend, plan: list[tuple[tuple[int, ...], int]]
) -> None:
    rng = np.random.Generator(np.random.PCG64(11))
    decoders = [backend.decoder(len(plan[0][0]), CAPACITY) for backend in (gpu, cpu)]
    for starts, steps in plan:
        ids = rng.integers(0, 250, (len(starts), steps))
        found, wanted = (fed(bundle, decoder, ids, starts) for decoder in decoders)
        check_near(found, wanted)


def test_the_cache_stays_where_it_is_on_the_gpu(bundle: Bundle, gpu: OrtBackend) -> None:
    decoder = gpu.decoder(1, CAPACITY)
    addresses = sorted(value.data_ptr() for _, value in decoder._cache)
    assert {value.device_name() for _, value in decoder._cache} == {gpu.provider.device}
    ids = np.random.Generator(np.random.PCG64(1)).integers(0, 250, (1, 9))
    for start, stop in ((0, 7), (7, 8), (8, 9)):
        fed(bundle, decoder, ids[:, start:stop], (start,))
        presents = decoder._whole.get_outputs()[1:]
        assert sorted(value.data_ptr() for value in presents) == addresses


def test_attention_and_products_of_the_decoder_run_on_the_gpu(
    bundle: Bundle, provider: Provider, tmp_path: Path
) -> None:
    """By ONNX Runtime's own account: a node without a kernel there would go to the CPU without a word."""
    here = provider.for_decoder
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "profile")
    entry, spec = bundle.graph("decoder", "ort"), bundle.spec.decoder
    providers = [(each.name, dict(each.options)) for each in (here, *here.behind)]
    session = onnxruntime.InferenceSession(
        str(bundle.path_of(entry)), options, providers=providers, enable_fallback=0
    )
    decoder = OrtDecoder(session, entry, spec, 1, CAPACITY, here.device)
    fed(bundle, decoder, np.ones((1, 4), dtype=np.int64), (0,))
    events = [event["args"] for event in json.loads(Path(session.end_profiling()).read_text())]
    ran = {(args["op_name"], args["provider"]) for args in events if args.get("provider")}
    heavy = {(name, where) for name, where in ran if name in ("GroupQueryAttention", "MatMul", "Gemm")}
    assert {where for _, where in heavy} == {here.name}, ran
    assert "GroupQueryAttention" in {name for name, _ in heavy}, ran


def test_towers_and_adaptor_give_the_rows_of_the_cpu(
    bundle: Bundle, cpu: OrtBackend, gpu: OrtBackend
) -> None:
    low = bundle.spec.low
    pixels = np.random.Generator(np.random.PCG64(2)).standard_normal((1, 3, low.image_size, low.image_size))
    found, wanted = (
        backend.graph("adaptor").run(
            {"low": backend.graph("vision_low").run({"pixels": pixels})["features"]}
        )["embeds"]
        for backend in (gpu, cpu)
    )
    check_near(found, wanted)


def test_an_assistant_answers_about_a_picture(bundle: Bundle, gpu: OrtBackend) -> None:
    with Assistant(bundle, gpu) as assistant:
        first = assistant.raw("<image>and then", pictures(1), Request(max_tokens=16)).answer
        again = assistant.raw("<image>and then", pictures(1), Request(max_tokens=16)).answer
    assert len(first.token_ids) > 0
    assert first.token_ids == again.token_ids


def test_engines_that_tensorrt_built_once_are_not_built_again(
    bundle: Bundle, provider: Provider, tmp_path: Path
) -> None:
    if provider != TENSORRT:
        pytest.skip("only TensorRT builds engines")
    low = bundle.spec.low
    pixels = np.zeros((1, 3, low.image_size, low.image_size))
    built = []
    for _ in range(2):
        backend = OrtBackend(bundle, threads=1, provider=provider, engines=tmp_path)
        backend.graph("vision_low").run({"pixels": pixels})
        backend.close()
        built.append({path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.engine")})
    assert built[0]
    assert built[0] == built[1]
