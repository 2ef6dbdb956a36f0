"""What the bench measures is the runtime's own path, run by run, with nothing remembered between them."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.backends.shared import MixedBackend
from edge_runtime.bench import bandwidth, measure
from edge_runtime.bench.bandwidth import block_bytes_here, read_speeds_gb_per_s
from edge_runtime.bench.machine import core_count, cpu_name, machine_here, versions_here
from edge_runtime.bench.measure import library_times
from edge_runtime.bench.options import BenchOptions
from edge_runtime.bench.runs import AnswerRun, ContextRun, Decoded, answer_run, chat_prompt, context_run
from edge_runtime.bench.sample import SIZE, sample_jpeg
from edge_runtime.bench.spread import Spread, spread_of
from edge_runtime.bench.subject import LoadRun
from edge_runtime.bench.summary import answer_times, context_times, load_times
from edge_runtime.bench.traffic import Traffic, kv_bytes_per_position, weight_bytes_of
from edge_runtime.errors import EdgeVLError
from edge_runtime.facts import precision_of
from edge_runtime.memory import memory_kb
from edge_runtime.onnxfile import Node, OnnxFile, Tensor
from edge_runtime.picture import picture_from_bytes
from edge_runtime.picture_limits import PictureLimits
from edge_runtime.progress import silent
from edge_runtime.prompt import PromptTokens
from edge_runtime.publish import staged_file
from edge_vl.verbs.bench import speed_cells
from tests.edge_runtime.bench_samples import GRAPH_S, ROW_S, STEP_S, FakeClock, slow_subject
from tests.edge_runtime.bundle_samples import sample_spec
from tests.edge_runtime.fake_backend import CONTEXT

GQA = "GroupQueryAttention"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_a_spread_is_the_middle_and_both_ends() -> None:
    assert spread_of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0, 3)
    assert spread_of([1.0, 2.0]) == Spread(1.5, 1.0, 2.0, 2)


@pytest.mark.parametrize("values", [(2.0, 3.0, 4.0, 1), (2.0, 1.0, 1.5, 1), (1.0, 1.0, 1.0, 0)])
def test_a_spread_that_cannot_be_is_refused(values: tuple[float, float, float, int]) -> None:
    with pytest.raises(ValueError, match="a "):
        Spread(*values)


def test_every_stage_of_an_answer_has_its_own_time(clock: FakeClock, tmp_path: Path) -> None:
    subject, _ = slow_subject(tmp_path / "b", clock)
    run = answer_run(subject, [sample_jpeg()], "hi", 5, clock)
    prompt = chat_prompt(subject, "hi", [b""])
    prefill_ms = 1000 * (STEP_S + ROW_S * len(prompt))
    assert run.stages_ms["vision_low"] == pytest.approx(1000 * GRAPH_S["vision_low"])
    assert run.stages_ms["adaptor"] == pytest.approx(1000 * GRAPH_S["adaptor"])
    assert run.stages_ms["vision_high"] == 0.0
    assert run.stages_ms["prefill"] == pytest.approx(prefill_ms)
    assert run.first_token_ms == pytest.approx(1000 * sum(GRAPH_S.values()) + prefill_ms)
    assert sum(run.stages_ms.values()) == pytest.approx(run.first_token_ms)


def test_decoding_is_counted_from_the_first_token_to_the_last(clock: FakeClock, tmp_path: Path) -> None:
    subject, _ = slow_subject(tmp_path / "b", clock)
    decoded = answer_run(subject, [sample_jpeg()], "hi", 5, clock).decoded
    assert decoded.steps_ms == pytest.approx([1000 * (STEP_S + ROW_S)] * 4)
    assert decoded.tokens_per_s == pytest.approx(1 / (STEP_S + ROW_S))


def test_no_run_profits_from_the_one_before(clock: FakeClock, tmp_path: Path) -> None:
    subject, fake = slow_subject(tmp_path / "b", clock)
    runs = [answer_run(subject, [sample_jpeg()], "hi", 3, clock) for _ in range(2)]
    assert runs[0].stages_ms == pytest.approx(runs[1].stages_ms)
    assert fake.ran == ["vision_low", "adaptor"] * 2
    fed = fake.decoders[0].fed
    assert fed[: len(fed) // 2] == fed[len(fed) // 2 :]
    assert fed[0][0] == 0


def test_an_answer_goes_on_beyond_the_end_token(clock: FakeClock, tmp_path: Path) -> None:
    subject, fake = slow_subject(tmp_path / "b", clock)
    fake.decoders[0].script = [subject.bundle.spec.prompt.eos_id] * CONTEXT
    assert len(answer_run(subject, [sample_jpeg()], "hi", 6, clock).decoded.steps_ms) == 5


def test_several_pictures_add_up(clock: FakeClock, tmp_path: Path) -> None:
    subject, _ = slow_subject(tmp_path / "b", clock)
    small = tmp_path / "p.png"
    picture_from_bytes(sample_jpeg(), PictureLimits()).resize((20, 10)).save(small)
    run = answer_run(subject, [sample_jpeg(), small], "hi", 2, clock)
    assert run.stages_ms["vision_low"] == pytest.approx(2000 * GRAPH_S["vision_low"])


def test_a_context_is_prefilled_whole_and_decoded_up_to_its_last_row(
    clock: FakeClock, tmp_path: Path
) -> None:
    subject, fake = slow_subject(tmp_path / "b", clock)
    run = context_run(subject, CONTEXT, 4, clock)
    fed = [(start, len(values)) for start, values in fake.decoders[0].fed]
    assert fed == [(0, CONTEXT), *((CONTEXT - 4 + step, 1) for step in range(4))]
    assert run.prefill_ms == pytest.approx(1000 * (STEP_S + ROW_S * CONTEXT))
    assert run.decoded.steps_ms == pytest.approx([1000 * (STEP_S + ROW_S)] * 4)


def test_figures_are_medians_of_the_runs() -> None:
    stages = dict.fromkeys(
        ("decode_image", "preprocess", "vision_high", "vision_low", "adaptor", "tokenize", "prefill", "sample", "other"),
        1.0,
    )  # fmt: skip
    runs = [
        AnswerRun(stages | {"vision_high": high}, 10 * high, Decoded(1.0, (1000 / high, 1000 / high)))
        for high in (2.0, 4.0, 8.0)
    ]
    prompt = PromptTokens(tuple(range(10)), (), 4)
    times = answer_times(("1x1",), prompt, runs[2], runs, Traffic(10**9, 1000), 8.0)
    assert times.stages.vision_high_ms == Spread(4.0, 2.0, 8.0, 3)
    assert times.first_token_ms == Spread(40.0, 20.0, 80.0, 3)
    assert times.cold_first_token_ms == 80.0
    assert times.decode_tokens_per_s == Spread(4.0, 2.0, 8.0, 3)
    assert times.new_tokens == 3
    assert times.stream is not None
    assert times.stream.bytes_per_token == 10**9 + 12 * 1000  # ten of the prompt, two fed
    assert times.stream.gb_per_s == pytest.approx(4.0, rel=1e-4)
    assert times.stream.fraction == pytest.approx(0.5, rel=1e-4)


def test_a_model_without_a_high_tower_has_no_time_for_one(clock: FakeClock, tmp_path: Path) -> None:
    subject, _ = slow_subject(tmp_path / "b", clock)
    run = answer_run(subject, [sample_jpeg()], "hi", 2, clock)
    times = answer_times(("1x1",), PromptTokens((1,), (), 4), run, [run], Traffic(1, 1), 1.0)
    assert times.stages.vision_high_ms is None


def test_nothing_is_said_of_the_bandwidth_of_a_gpu() -> None:
    runs = [ContextRun(300.0, Decoded(1.0, (100.0,) * 7))]
    times = context_times(200, runs, None, 24.0)
    assert times.stream is None
    assert speed_cells(times)[3:] == ("–", "–", "–")


def test_what_has_no_onnx_runtime_is_measured_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise EdgeVLError(
            "EVL-ENGINE-MISSING", "ONNX Runtime is not installed", "no module", "pip install it"
        )

    monkeypatch.setattr("edge_runtime.bench.machine.imported_onnxruntime", missing)
    monkeypatch.setattr("edge_runtime.bench.measure.imported_onnxruntime", missing)
    assert versions_here().onnxruntime is None
    assert library_times() is None


def test_precisions_are_those_of_the_engines_that_were_measured(
    clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject, _ = slow_subject(tmp_path / "b", clock)
    own = precision_of(subject.bundle, subject.backend)
    mixed = replace(subject, backend=MixedBackend(subject.backend, {"vision_low": "int8"}))
    monkeypatch.setattr(measure, "opened_subject", lambda *_: (mixed, LoadRun(None, 1.0, 1.0, 1.0)))
    options = BenchOptions(tmp_path / "b", (sample_jpeg(),), "hi", 1, 2, ())
    found = measure.findings_from_options(options, silent, measure.Steps(silent, 3))
    assert found.precision == own | {"vision_low": "int8"}


def test_a_context_is_streamed_with_its_whole_cache() -> None:
    runs = [ContextRun(each, Decoded(1.0, (100.0,) * 7)) for each in (300.0, 500.0, 400.0)]
    times = context_times(200, runs, Traffic(10**9, 10**6), 24.0)
    assert (times.context, times.steps, times.prefill_tokens_per_s) == (200, 7, 500.0)
    assert times.prefill_ms == Spread(400.0, 300.0, 500.0, 3)
    assert times.stream is not None
    assert times.stream.bytes_per_token == 1_200_000_000
    assert times.stream.fraction == pytest.approx(0.5)


def test_a_trusted_bundle_has_no_time_for_hashing() -> None:
    trusted = load_times(1.0, [LoadRun(None, 1.0, 2.0, 3.0)])
    hashed = load_times(1.0, [LoadRun(4.0, 1.0, 2.0, 3.0)])
    assert (trusted.hashing_ms, trusted.total_ms.median) == (None, 6.0)
    assert hashed.total_ms.median == 10.0


def decoder_with(*tensors: Tensor, nodes: tuple[Node, ...]) -> OnnxFile:
    return OnnxFile(10, {"": 20}, (), (), tensors, nodes, tensors, ())


def node(op_type: str, *inputs: str, domain: str = "") -> Node:
    return Node(op_type, domain, op_type, inputs, ("y",), {})


def test_weights_that_a_step_reads_whole_are_streamed() -> None:
    product = Tensor("w", "float32", (8, 4), None)
    scale = Tensor("s", "float32", (8,), None)
    nodes = (node("MatMul", "x", "w"), node("SimplifiedLayerNormalization", "x", "s"))
    assert weight_bytes_of(decoder_with(product, scale, nodes=nodes)) == 4 * (8 * 4 + 8)


def test_tables_that_lend_a_row_and_what_nobody_reads_are_not_streamed() -> None:
    names = ("cos", "sin", "rows", "idle", "w")
    tensors = [Tensor(name, "float32", (100, 4), None) for name in names]
    attention = node(GQA, "q", "k", "v", "past", "", "n", "t", "cos", "sin", domain="com.microsoft")
    nodes = (attention, node("Gather", "rows", "i"), node("MatMul", "x", "w"))
    assert weight_bytes_of(decoder_with(*tensors, nodes=nodes)) == 4 * 100 * 4


def test_a_weight_shared_by_two_products_is_counted_once() -> None:
    nodes = (node("MatMul", "x", "w"), node("MatMul", "z", "w"))
    assert weight_bytes_of(decoder_with(Tensor("w", "float32", (8, 4), None), nodes=nodes)) == 128


def test_half_precision_weights_are_read_wide_and_small_integers_as_they_are() -> None:
    half, packed = Tensor("h", "float16", (8, 4), None), Tensor("q", "uint4", (8, 4), None)
    nodes = (node("MatMul", "x", "h"), node("MatMulNBits", "x", "q", domain="com.microsoft"))
    assert weight_bytes_of(decoder_with(half, packed, nodes=nodes)) == 8 * 4 * 4 + 8 * 4 // 2


def test_a_cache_row_holds_keys_and_values_of_every_layer() -> None:
    spec = sample_spec().decoder
    assert kv_bytes_per_position(spec, 2) == 2 * spec.layers * spec.kv_heads * spec.head_dim * 2
    assert Traffic(100, 8).bytes_at(10) == 180


def test_bandwidth_is_bytes_by_seconds() -> None:
    ticks = iter([0.0, 1.0, 1.0, 3.0])  # one pass of a second, one of two
    found = read_speeds_gb_per_s(block_bytes=8 * 10**6, passes=2, threads=2, clock=lambda: next(ticks))
    assert found == [0.008, 0.004]


def test_every_thread_reads_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    lock = threading.Lock()

    def reading(part: object) -> int:
        with lock:
            read.append(len(part))  # type: ignore[arg-type]
        return 0

    monkeypatch.setattr(bandwidth, "read_whole", reading)
    read_speeds_gb_per_s(block_bytes=8 * 999, passes=1, threads=2)
    assert sorted(read) == [499, 499, 500, 500]


def test_bandwidth_of_this_machine_is_of_this_world() -> None:
    found = read_speeds_gb_per_s(block_bytes=64 << 20, passes=5)
    assert 0.1 < max(found) < 10_000


def test_the_block_leaves_the_machine_its_memory() -> None:
    assert 0 < block_bytes_here() <= memory_kb()["MemAvailable"] * 1024 // 4


def test_the_machine_is_described() -> None:
    machine = machine_here()
    assert machine.cores == core_count() >= 1
    assert machine.memory_mib > 100


def test_the_processor_has_the_name_that_the_kernel_gives_it(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\nmodel\t: 1\n")
    assert cpu_name(tmp_path) == "Some CPU @ 3 GHz"


def test_a_board_names_itself_where_its_processor_has_no_name(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nCPU part\t: 0xd42\n")
    (tmp_path / "device-tree").mkdir()
    (tmp_path / "device-tree" / "model").write_bytes(b"NVIDIA Jetson AGX Orin\0")
    assert cpu_name(tmp_path) == "NVIDIA Jetson AGX Orin"


def test_a_nameless_processor_is_named_by_its_architecture(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\n")
    assert cpu_name(tmp_path)


def test_the_synthetic_picture_is_a_picture_and_always_the_same() -> None:
    assert sample_jpeg() == sample_jpeg()
    assert picture_from_bytes(sample_jpeg(), PictureLimits()).size == SIZE


@pytest.mark.parametrize(
    ("flag", "options"),
    [
        ("--runs", {"runs": 0}),
        ("--runs", {"runs": 1001}),
        ("--max-tokens", {"max_tokens": 1}),
        ("--contexts", {"contexts": (128, 1)}),
        ("--contexts", {"contexts": (-5,)}),
    ],
)
def test_what_cannot_be_measured_is_refused(flag: str, options: dict[str, Any]) -> None:
    with pytest.raises(EdgeVLError) as caught:
        BenchOptions(Path("b"), (b"",), **options)
    assert caught.value.code == "EVL-BENCH-RANGE"
    assert flag in caught.value.what


def test_an_engine_that_is_not_here_is_refused() -> None:
    with pytest.raises(EdgeVLError) as caught:
        BenchOptions(Path("b"), (b"",), engine="abacus")
    assert caught.value.code == "EVL-ENGINE-UNKNOWN"


def test_a_short_context_takes_fewer_steps() -> None:
    options = BenchOptions(Path("b"), (b"",), max_tokens=8)
    assert [options.steps_at(context) for context in (2, 5, 8, 100)] == [1, 4, 7, 7]


def test_a_result_appears_whole_at_the_end(tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    with staged_file(out) as path:
        path.write_text("{}")
        assert not out.exists()
    assert out.read_text() == "{}"
    assert list(tmp_path.iterdir()) == [out]


def test_a_result_that_failed_leaves_nothing(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("{")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), staged_file(tmp_path / "r.json") as path:
        fail(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "code"), [("old.json", "EVL-OUT-EXISTS"), ("no/r.json", "EVL-OUT-UNWRITABLE")]
)
def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    name: str, code: str, tmp_path: Path
) -> None:
    (tmp_path / "old.json").write_text("old")
    with pytest.raises(EdgeVLError) as caught, staged_file(tmp_path / name):
        raise AssertionError("the body ran")
    assert caught.value.code == code
    assert (tmp_path / "old.json").read_text() == "old"
