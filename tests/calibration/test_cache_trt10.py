"""The KV cache in 8 bits, in plain operators: against a slow twin, over whole answers, and through NVIDIA's compiler."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime
import pytest
from PIL import Image

from calibration.cache import CacheScales, carriers_in, narrow_caches, narrowed
from calibration.cache_trt10 import divisors_from_steps
from calibration.calibrate import calibrate_bundle
from calibration.recipe import Recipe
from calibration.refusals import check_cache
from calibration.samples import SampleSet, samples_from_folder
from calibration.session import Session
from calibration.speaker import TOKENS, Speaker
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EdgeVLError
from edge_runtime.lint import check_grammar
from edge_runtime.progress import silent
from export.engines.compiler import build_engine
from export.engines.inspector import ProfileReport, report_from_plan
from export.engines.request import BuildRequest
from export.engines.serving import Serving, engines_from_graph
from tests.proof.subject import CONTEXT, bundle_below, session_folder

Array = npt.NDArray[Any]
HEADS, WIDTH, CAPACITY = 2, 4, 8
CHUNKS = (3, 1, 2)  # tokens of each call
ATTENTION = """
<ir_version: 10, opset_import: ["": 20]>
attention (TYPE[1,2,S,4] q, TYPE[1,2,S,4] new_key, TYPE[1,2,S,4] new_value, int64[8] rows, bool[8,1] is_new,
           bool[S,8] is_visible, TYPE[1] hidden, TYPE[1,2,8,4] past_key, TYPE[1,2,8,4] past_value)
       => (TYPE[1,2,S,4] out, TYPE[1,2,8,4] present_key, TYPE[1,2,8,4] present_value)
{
    wide_key = Gather <axis = 2> (new_key, rows)
    wide_value = Gather <axis = 2> (new_value, rows)
    present_key = Where (is_new, wide_key, past_key)
    present_value = Where (is_new, wide_value, past_value)
    turned = Transpose <perm = [0, 1, 3, 2]> (present_key)
    products = MatMul (q, turned)
    scores = Where (is_visible, products, hidden)
    shares = Softmax <axis = -1> (scores)
    out = MatMul (shares, present_value)
}
"""
TYPES = {np.dtype(np.float32): "float", np.dtype(np.float16): "float16"}


def attention_graph(dtype: np.dtype[Any], steps: dict[str, Array]) -> ir.Model:
    """One layer as `trt10` spells it, its cache narrowed."""
    model = ir.from_onnx_text(ATTENTION.replace("TYPE", TYPES[dtype]))
    for value in (*model.graph.inputs, *model.graph.outputs):
        kind, _, name = str(value.name).partition("_")
        value.name = {"past": f"past_key_values.0.{name}", "present": f"present.0.{name}"}.get(
            kind, value.name
        )
    narrow_caches(model.graph, CacheScales({f"0.{kind}": each.reshape(-1) for kind, each in steps.items()}))
    return model


def twin(
    q: Array, cache: dict[str, Array], new: dict[str, Array], start: int, steps: dict[str, Array]
) -> Array:
    """Number by number: writes bytes into `cache`, and attends to what they stand for."""
    out = np.zeros(q.shape, np.float64)
    for head in range(HEADS):
        for token in range(q.shape[2]):
            for kind, rows in new.items():
                for channel in range(WIDTH):
                    number = round(float(rows[0, head, token, channel] / steps[kind][head, channel]))
                    cache[kind][0, head, start + token, channel] = min(max(number, -128), 127)
        for token in range(q.shape[2]):
            seen = range(start + token + 1)
            read = {
                kind: [cache[kind][0, head, row].astype(np.float64) * steps[kind][head] for row in seen]
                for kind in new
            }
            scores = [float(q[0, head, token].astype(np.float64) @ key) for key in read["key"]]
            powers = [math.exp(score - max(scores)) for score in scores]
            for power, value in zip(powers, read["value"], strict=True):
                out[0, head, token] += power / sum(powers) * value
    return out


@pytest.mark.parametrize("dtype", list(TYPES), ids=str)
def test_attention_reads_and_writes_bytes_as_its_twin_does(dtype: np.dtype[Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    reach = {"key": 3.0, "value": 0.5}
    drawn = rng.uniform(0.5, 1.5, HEADS * WIDTH).astype(np.float32)
    steps = {
        kind: divisors_from_steps(drawn * np.float32(each / 127), dtype).reshape(HEADS, WIDTH)
        for kind, each in reach.items()
    }
    session = Session(attention_graph(dtype, steps), tmp_path, 1, "attention")
    held = {kind: np.zeros((1, HEADS, CAPACITY, WIDTH), np.int8) for kind in reach}
    wanted_cache, start = {kind: each.copy() for kind, each in held.items()}, 0
    for count in CHUNKS:
        # Some are beyond the range: they are cut.
        new = {
            k: (rng.uniform(-1.2, 1.2, (1, HEADS, count, WIDTH)) * r).astype(dtype) for k, r in reach.items()
        }
        q = rng.standard_normal((1, HEADS, count, WIDTH)).astype(dtype)
        rows = np.arange(CAPACITY) - start
        feeds = {
            "q": q, "new_key": new["key"], "new_value": new["value"], "rows": rows.clip(0, count - 1),
            "is_new": ((rows >= 0) & (rows < count))[:, None], "is_visible": rows <= np.arange(count)[:, None],
            "hidden": np.array([-1000], dtype),
        }  # fmt: skip
        found = session.run(None, feeds | {f"past_key_values.0.{kind}": each for kind, each in held.items()})
        held = dict(zip(reach, found[1:], strict=True))
        wanted = twin(q, wanted_cache, new, start, steps)
        off = 0 if dtype == np.float32 else 1  # where a quotient in fp16 lies between two numbers
        assert all((abs(held[k].astype(int) - wanted_cache[k]) <= off).all() for k in reach)
        assert np.allclose(found[0], wanted, atol=1e-6 if dtype == np.float32 else 0.02)
        wanted_cache, start = {kind: each.copy() for kind, each in held.items()}, start + count
    assert all(abs(each.astype(int)).max() >= 127 for each in held.values())


@pytest.mark.parametrize("dtype", list(TYPES), ids=str)
def test_bytes_that_no_token_is_written_over_stay_as_they_are(dtype: np.dtype[Any], tmp_path: Path) -> None:
    """However small or large their steps are: else a cache would wear off while it is read."""
    powers = np.logspace(-9, 2, HEADS * WIDTH).astype(np.float32)
    steps = {kind: powers.reshape(HEADS, WIDTH) for kind in ("key", "value")}
    session = Session(attention_graph(dtype, steps), tmp_path, 1, "attention")
    held = np.random.default_rng(6).integers(-128, 128, (1, HEADS, CAPACITY, WIDTH)).astype(np.int8)
    row = np.zeros((1, HEADS, 1, WIDTH), dtype)
    feeds = {"q": row, "new_key": row, "new_value": row, "rows": np.zeros(CAPACITY, np.int64)}
    masks = {
        "is_new": np.zeros((CAPACITY, 1), bool),
        "is_visible": np.ones((1, CAPACITY), bool),
        "hidden": row[0, 0, 0, :1],
    }
    past = {f"past_key_values.0.{kind}": held for kind in steps}
    _, *presents = session.run(None, feeds | masks | past)
    assert all(np.array_equal(each, held) for each in presents)


@pytest.mark.parametrize("dtype", list(TYPES), ids=str)
def test_every_divisor_and_its_reciprocal_are_normal_numbers(dtype: np.dtype[Any]) -> None:
    steps = np.array([1e-38, 1e-20, 3e-8, 1e-5, 0.1, 500], np.float32)
    divisors, info = divisors_from_steps(steps, dtype), np.finfo(dtype)
    assert divisors.dtype == dtype and (divisors >= info.smallest_normal).all()
    assert np.isfinite(np.ones((), dtype) / divisors).all()
    exact = steps >= info.smallest_normal
    assert np.allclose(divisors[exact], steps[exact], rtol=float(info.eps))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = session_folder(tmp_path_factory)
    return Bundle.open(bundle_below(folder, "plain", "fp16", dialect="trt10"))


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> SampleSet:
    folder = tmp_path_factory.mktemp("photos")
    for index in range(2):
        Image.radial_gradient("L").resize((60 + index, 40)).save(folder / f"{index}.png")
    return samples_from_folder(folder, 2)


@pytest.fixture(scope="module")
def small(source: Bundle, samples: SampleSet, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("caches") / "bytes"
    recipe = Recipe(vision="fp16", decoder="fp16", head="fp16", kv="int8")
    calibrate_bundle(source, out, recipe, samples, threads=1, progress=silent)
    return Bundle.open(out)


def test_a_bundle_says_that_its_caches_are_bytes_in_words_of_its_dialect(
    source: Bundle, small: Bundle
) -> None:
    before, after = (each.graph("decoder", "trt10") for each in (source, small))
    assert after.inputs != before.inputs and after.inputs == narrowed(before).inputs
    check_grammar(small.onnx_file(after), after)


def test_the_report_tells_who_carries_it_and_what_it_costs(small: Bundle) -> None:
    report = json.loads((small.folder / "quality.json").read_text())["cache"]
    assert report["dialects"] == ["trt10"]
    assert report["bytes_a_token"] * 2 == report["bytes_a_token_before"]
    assert 0 < report["alone"] < 1e-3


def test_logits_of_a_whole_decode_stay_near_those_of_floats(
    source: Bundle, small: Bundle, samples: SampleSet
) -> None:
    """Two rows at different places, a prompt in two pieces, then token by token."""
    with Speaker(source, "trt10", 1) as speaker:
        told = [speaker.rows(each, speaker.answer(each)[0]) for each in samples.samples]
    rows = np.concatenate(told)  # (2, S, D)
    prompt = rows.shape[1] - TOKENS
    pieces = [slice(0, 7), slice(7, prompt), *(slice(at, at + 1) for at in range(prompt, rows.shape[1]))]
    logits = [decoded(each, rows, pieces) for each in (source, small)]
    lost = np.linalg.norm(logits[1] - logits[0], axis=-1) / np.linalg.norm(logits[0], axis=-1)
    assert (lost > 0).all() and lost.max() < 0.02


def decoded(bundle: Bundle, rows: Array, pieces: list[slice]) -> Array:
    """The logits after each piece, (2, pieces, V); the second row writes its last five tokens again, and stays behind."""
    decoder = OrtBackend(bundle, threads=1, dialect="trt10").decoder(2, rows.shape[1])
    found = []
    for piece in pieces:
        places = np.array([piece.start, max(0, piece.start - 5)])
        count = piece.stop - piece.start
        fed = np.stack([row[place : place + count] for row, place in zip(rows, places, strict=True)])
        found.append(decoder.step(fed, places, np.full((2, 1), count - 1)).logits)
    return np.concatenate(found, axis=1).astype(np.float64)


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx is not installed")
def test_bytes_cost_no_kernel_no_fused_attention_and_no_memory(
    source: Bundle, small: Bundle, tmp_path: Path
) -> None:
    before, after = (compiled(each, tmp_path / each.folder.name) for each in (source, small))
    layers = source.spec.decoder.layers
    for floats, bytes_ in zip(before, after, strict=True):
        assert floats.fused_attention() == bytes_.fused_attention() == layers
        assert (floats.kernels, floats.activation_bytes) == (bytes_.kernels, bytes_.activation_bytes)


def compiled(bundle: Bundle, folder: Path) -> list[ProfileReport]:
    folder.mkdir()
    entry, found = bundle.graph("decoder", "trt10"), list[ProfileReport]()
    for shape in engines_from_graph(entry, Serving(CONTEXT)):
        plan, graph = folder / f"{shape.name}.plan", bundle.path_of(entry)
        build_engine(BuildRequest("decoder", "tensorrt-rtx", str(graph), str(plan), shape.profiles))
        found += report_from_plan(plan).profiles
    return found


def bundle_of(*dialects: str) -> Any:
    graphs = tuple(SimpleNamespace(role="decoder", dialect=each) for each in dialects)
    return SimpleNamespace(manifest=SimpleNamespace(graphs=graphs))


def test_what_runs_here_is_measured_before_what_does_not() -> None:
    assert [each.dialect for each in carriers_in(bundle_of("trt", "trt10", "ort"))] == ["ort", "trt10"]


def test_where_no_dialect_can_carry_it_that_is_said_before_anything_begins() -> None:
    with pytest.raises(EdgeVLError, match="only ort and trt10 graphs") as caught:
        check_cache(bundle_of("trt"), Recipe(kv="int8"))
    assert caught.value.code == "EVL-CALIBRATE-CACHE"
    assert "takes floats alone" in caught.value.why and "--dialect ort or trt10" in caught.value.fix
    check_cache(bundle_of("trt"), Recipe(kv="fp16"))


def test_an_onnxruntime_that_could_not_open_what_is_written_is_refused_before_anything_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(onnxruntime, "__version__", "1.24.1")
    with pytest.raises(EdgeVLError) as caught:
        check_cache(bundle_of("ort", "trt10"), Recipe(kv="int8"))
    assert caught.value.code == "EVL-ENGINE-CACHE"
    assert caught.value.why == "ONNX Runtime 1.24.1 is installed; 1.25 is needed"
    assert caught.value.fix == "update onnxruntime, or calibrate without --kv int8"
    check_cache(bundle_of("trt10"), Recipe(kv="int8"))
    check_cache(bundle_of("ort", "trt10"), Recipe(kv="fp16"))
    monkeypatch.setattr(onnxruntime, "__version__", "1.25.0")
    check_cache(bundle_of("ort", "trt10"), Recipe(kv="int8"))
