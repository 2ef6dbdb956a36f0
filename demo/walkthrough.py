"""The whole way, step by step: the demo checkpoint, its bundle, the proof, and questions about pictures."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from calibration.calibrate import calibrate_bundle
from calibration.recipe import Recipe
from calibration.samples import samples_from_file
from demo.calibration_set import write_samples
from demo.samples import FOLDER, Sample, samples
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
NOT_YET = ("build",)
MEASURED = 16  # training pictures that the integers are fitted to


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
    checkpoint, out, small = folder / "checkpoint", folder / "bundle", folder / "small-bundle"
    pictures = folder / "pictures"
    shutil.copytree(FOLDER, pictures)
    shutil.copytree(CHECKPOINT, checkpoint)
    yield Step(
        "prepare",
        described(checkpoint),
        lap.seconds(),
        details=(f"its card: {CHECKPOINT / 'MODEL_CARD.md'}",),
    )
    manifest = export_bundle(checkpoint, out, ExportOptions(precision="fp32"), progress)
    size = sum(entry.bytes for entry in manifest.files)
    yield Step("export", f"{len(manifest.graphs)} graphs, {size / (1 << 20):.1f} MiB, fp32", lap.seconds())
    yield calibrated(out, small, folder / "calibration", progress, lap)
    for name in NOT_YET:
        yield Step(name, "skipped: not part of edge-vl yet", 0.0)
    yield verified(checkpoint, out, progress, lap)
    yield from asked(out, small, pictures, lap)


def described(checkpoint: Path) -> str:
    with Checkpoint.open(checkpoint) as opened:
        count = sum(math.prod(tensor.shape) for tensor in opened.tensors.values())
    return (
        f"the demo checkpoint: {count / 1e6:.1f} million parameters, hybrid as DeepSeek-VL 7B, really trained"
    )


def calibrated(out: Path, small: Path, pictures: Path, progress: Progress, lap: Lap) -> Step:
    """Towers in INT8, the decoder in INT4, fitted to pictures of the training set."""
    recipe = Recipe(block=64, method="gptq")
    threads = len(os.sched_getaffinity(0))
    found = samples_from_file(write_samples(pictures, MEASURED), MEASURED)
    manifest = calibrate_bundle(Bundle.open(out), small, recipe, found, threads, progress)
    size = sum(entry.bytes for entry in manifest.files)
    assert manifest.quality is not None, "there were samples"
    same = f"{manifest.quality['top1']:.1%} of tokens as in fp32"
    summary = f"{size / (1 << 20):.1f} MiB, INT8 towers and INT4 decoder, {same}"
    return Step("calibrate", summary, lap.seconds())


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


def asked(out: Path, small: Path, pictures: Path, lap: Lap) -> Iterator[Step]:
    """Both bundles, the float one first."""
    request = Request(max_tokens=ANSWER_TOKENS)
    with load(out) as assistant, load(small) as other:
        for sample in samples():
            answer, less = (
                each.ask(sample.question, pictures / sample.picture, request=request)
                for each in (assistant, other)
            )
            summary = f"{sample.picture}: {sample.question!r}"
            yield Step("ask", summary, lap.seconds(), details=answer_details(answer, less, sample))


def answer_details(answer: Answer, less: Answer, sample: Sample) -> tuple[str, ...]:
    verdict = "right" if answer.text.strip() == sample.answer else "not as expected"
    same = "the same" if less.text == answer.text else repr(less.text)
    times = ", ".join(f"{stage} {spent:.0f}" for stage, spent in answer.timings_ms.items())
    usage = answer.usage
    return (
        f"answer: {answer.text!r}, expected: {sample.answer!r} ({verdict})",
        f"{usage.prompt_tokens} prompt tokens ({usage.image_tokens} of pictures, {usage.cached_tokens} cached),"
        f" {usage.completion_tokens} new at {answer.tokens_per_s:.0f}/s; quantised: {same}",
        f"ms: {times}",
    )
