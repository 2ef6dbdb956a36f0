"""The whole way, step by step: the demo checkpoint, its bundle, the proof, and questions about pictures."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from demo.random_checkpoint import write_random_checkpoint
from demo.samples import FOLDER, Sample, samples
from demo.sizes import SIZES
from edge_runtime.answer import Answer
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.loading import load
from edge_runtime.progress import Progress
from edge_runtime.request import Request
from export.checkpoint import Checkpoint
from export.comparison import parity_of, synthetic_pictures
from export.exporter import export_bundle
from export.options import ExportOptions

CHECKPOINT = Path(__file__).parent / "model"
ANSWER_TOKENS = 24
RANDOM = "a tiny checkpoint with RANDOM weights, hybrid as DeepSeek-VL 7B"
UNTRAINED = "no trained demo model ships yet: the answers below are noise, the machinery is real"
NOT_YET = ("calibrate", "build")


@dataclass(frozen=True)
class Step:
    """What was done, how long it took, and what came of it."""

    name: str
    summary: str
    seconds: float
    is_passed: bool = True
    details: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        return asdict(self)


class Lap:
    """Seconds since the last step."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def seconds(self) -> float:
        now = time.monotonic()
        spent, self._last = now - self._last, now
        return spent


def walk(folder: Path, progress: Progress) -> Iterator[Step]:
    """Each step as it is done; checkpoint, bundle and pictures stay in `folder`."""
    lap = Lap()
    checkpoint, out, pictures = folder / "checkpoint", folder / "bundle", folder / "pictures"
    shutil.copytree(FOLDER, pictures)
    if CHECKPOINT.exists():
        shutil.copytree(CHECKPOINT, checkpoint)
        yield Step("prepare", described(checkpoint), lap.seconds(), details=("see MODEL_CARD.md beside it",))
    else:
        write_random_checkpoint(SIZES["tiny"], checkpoint, "original", "float32")
        yield Step("prepare", RANDOM, lap.seconds(), details=(UNTRAINED,))
    manifest = export_bundle(checkpoint, out, ExportOptions(precision="fp32"), progress)
    size = sum(entry.bytes for entry in manifest.files)
    yield Step("export", f"{len(manifest.graphs)} graphs, {size / (1 << 20):.1f} MiB, fp32", lap.seconds())
    for name in NOT_YET:
        yield Step(name, "skipped: not part of edge-vl yet", 0.0)
    yield verified(checkpoint, out, progress, lap)
    yield from asked(out, pictures, lap)


def described(checkpoint: Path) -> str:
    with Checkpoint.open(checkpoint) as opened:
        count = sum(math.prod(tensor.shape) for tensor in opened.tensors.values())
    return (
        f"the demo checkpoint: {count / 1e6:.1f} million parameters, hybrid as DeepSeek-VL 7B, really trained"
    )


def verified(checkpoint: Path, out: Path, progress: Progress, lap: Lap) -> Step:
    bundle = Bundle.open(out)
    with Checkpoint.open(checkpoint) as opened:
        report = parity_of(bundle, {"ort": OrtBackend(bundle)}, opened, synthetic_pictures(1), progress)
    details = [f"{each.role}: cosine {each.cosine:.7f}, bar {each.bar.cosine}" for each in report.roles]
    details += [
        f"greedy, {each.prompt} prompt: {each.agreed} of {each.tokens} tokens agree" for each in report.greedy
    ]
    verdict = "every role and the greedy tokens agree with the checkpoint" if report.is_passed else "FAILED"
    return Step("verify", verdict, lap.seconds(), report.is_passed, tuple(details))


def asked(out: Path, pictures: Path, lap: Lap) -> Iterator[Step]:
    with load(out) as assistant:
        for sample in samples():
            request = Request(max_tokens=ANSWER_TOKENS)
            answer = assistant.ask(sample.question, pictures / sample.picture, request=request)
            is_right = answer.text.strip() == sample.answer
            verdict = "right" if is_right else "not as expected" if CHECKPOINT.exists() else "random weights"
            summary = f"{sample.picture}: {sample.question!r}"
            yield Step("ask", summary, lap.seconds(), details=answer_details(answer, sample, verdict))


def answer_details(answer: Answer, sample: Sample, verdict: str) -> tuple[str, ...]:
    times = ", ".join(f"{stage} {spent:.0f}" for stage, spent in answer.timings_ms.items())
    usage = answer.usage
    return (
        f"answer: {answer.text!r}, expected: {sample.answer!r} ({verdict})",
        f"{usage.prompt_tokens} prompt tokens ({usage.image_tokens} of pictures, {usage.cached_tokens} cached),"
        f" {usage.completion_tokens} new at {answer.tokens_per_s:.0f}/s",
        f"ms: {times}",
    )
