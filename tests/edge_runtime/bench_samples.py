"""A bench whose engine takes exactly as long as it is told, and a report written by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime.backends.backend import Array, Ints
from edge_runtime.bench.machine import Machine, Versions
from edge_runtime.bench.report import (
    AnswerTimes,
    ContextTimes,
    LoadTimes,
    Memory,
    Report,
    Shape,
    StageTimes,
    Stream,
)
from edge_runtime.bench.spread import Spread
from edge_runtime.bench.subject import Subject
from edge_runtime.dialects import Dialect
from edge_runtime.memory import MemoryUse
from edge_runtime.prompt import PromptFormat
from edge_runtime.scores import Scores
from edge_runtime.spec import Role
from edge_runtime.tokenizer import Tokenizer
from tests.edge_runtime.fake_backend import CONTEXT, FakeBackend, FakeGraph, ScriptedDecoder, fake_bundle

GRAPH_S = {"vision_low": 2.0, "adaptor": 0.5}
ROW_S, STEP_S = 0.01, 0.25  # a step costs its rows and a constant


@dataclass
class FakeClock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class SlowGraph:
    graph: FakeGraph
    clock: FakeClock
    seconds: float

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self.clock.now += self.seconds
        return self.graph.run(feeds)

    def launch(self, feeds: Mapping[str, Array]) -> Callable[[], dict[str, Array]]:
        found = self.run(feeds)
        return lambda: found


@dataclass
class SlowDecoder:
    decoder: ScriptedDecoder
    clock: FakeClock
    batch: int = 1

    @property
    def capacity(self) -> int:
        return self.decoder.capacity

    def row(self, row: int) -> SlowDecoder:
        assert row == 0 and self.batch == 1
        return self

    def step(self, embeds: Array, write_index: Ints, logit_index: Ints) -> Scores:
        self.clock.now += STEP_S + ROW_S * embeds.shape[1]
        return self.decoder.step(embeds, write_index, logit_index)


@dataclass
class SlowBackend:
    clock: FakeClock
    fake: FakeBackend = field(default_factory=lambda: FakeBackend([5] * CONTEXT))
    name: str = "slow"
    dialect: Dialect = "ort"

    def graph(self, role: Role) -> SlowGraph:
        return SlowGraph(self.fake.graph(role), self.clock, GRAPH_S[role])

    def decoder(self, batch: int, capacity: int) -> SlowDecoder:
        return SlowDecoder(self.fake.decoder(batch, capacity), self.clock, batch)

    def close(self) -> None:
        self.fake.close()


def slow_subject(folder: Path, clock: FakeClock) -> tuple[Subject, FakeBackend]:
    bundle = fake_bundle(folder)
    prompts = PromptFormat(
        Tokenizer.open(bundle.tokenizer_path), bundle.spec.prompt, bundle.spec.image_tokens
    )
    backend = SlowBackend(clock)
    subject = Subject(bundle, backend, backend.decoder(1, CONTEXT), bundle.embedding(), prompts)
    return subject, backend.fake


def spread(median: float, runs: int = 3) -> Spread:
    return Spread(median, median * 0.5, median * 2, runs)


def sample_report(
    bundle: str = "small", decoder: str = "fp16", contexts: tuple[int, ...] = (128, 512), high: bool = True
) -> Report:
    return Report(
        kind="edge-vl bench",
        format=1,
        bundle=bundle,
        command=f"edge-vl bench {bundle}",
        date="2026-11-21",
        engine="onnxruntime",
        precision={"vision_low": "fp16", "adaptor": "fp16", "decoder": decoder, "embed": "fp16"},
        machine=Machine("Some CPU", "x86_64", 2, 24105, "Linux 6"),
        versions=Versions("0.1.0", "3.11.7", "2.4.6", "13.0.0", "1.31.1"),
        load_average=0.25,
        bandwidth_gb_per_s=Spread(20.0, 10.0, 25.0, 20),
        shape=Shape("deepseek_vl", ("vision_low",), 16, 2, 64, 4, 4, 16, 128, 512, 2048, 10**6),
        load=LoadTimes(40.0, None, spread(30.0), spread(2.0), spread(400.0), spread(1234.0)),
        answer=AnswerTimes(
            pictures=("1280x960",),
            prompt_tokens=255,
            image_tokens=16,
            new_tokens=32,
            cold_first_token_ms=9000.0,
            stages=StageTimes(
                decode_image_ms=spread(60.0),
                preprocess_ms=spread(50.0),
                vision_high_ms=spread(3000.0) if high else None,
                vision_low_ms=spread(1500.0),
                adaptor_ms=spread(100.0),
                tokenize_ms=spread(0.5),
                prefill_ms=spread(2500.0),
                sample_ms=spread(0.1),
                other_ms=spread(20.0),
            ),
            first_token_ms=spread(7230.0),
            decode_tokens_per_s=spread(12.34),
            stream=Stream(10**9, 12.34, 0.4936),
        ),
        contexts=tuple(
            ContextTimes(each, 31, spread(10.0 * each), 100.0, spread(1000 / each), Stream(10**9, 5.0, 0.2))
            for each in contexts
        ),
        skipped_contexts=(4096,),
        memory=Memory("the bench process itself", 50, MemoryUse(26.0, 90.0), MemoryUse(500.4, 6000.6)),
    )
