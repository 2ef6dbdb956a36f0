"""The whole way, step by step: the demo checkpoint, its bundle, the proof, and questions about pictures."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from calibration.calibrate import calibrate_bundle
from calibration.recipe import Recipe
from calibration.samples import samples_from_file
from demo.beside import Beside
from demo.calibration_set import write_samples
from demo.samples import FOLDER, Sample, samples
from demo.score import outcome_of
from edge_runtime.answer import Answer
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.engines.place import Place
from edge_runtime.engines.selection import dialect_for, place_here
from edge_runtime.engines.shelf import Shelf
from edge_runtime.errors import EdgeVLError
from edge_runtime.loading import load
from edge_runtime.progress import Progress
from edge_runtime.request import Request
from export.checkpoint import Checkpoint
from export.comparison import parity_of, synthetic_pictures
from export.engines.need import room_here
from export.engines.serving import Serving
from export.engines.workshop import Made, Workshop, orders_of
from export.exporter import export_bundle
from export.options import ExportOptions

CHECKPOINT = Path(__file__).parent / "model"
ANSWER_TOKENS = 24
ENGINE_CONTEXT = 1024  # a picture and a question; engines of longer contexts take as long to build
TENSORRT: tuple[Dialect, ...] = ("trt10", "trt")
MEASURED = 8  # training pictures that the integers are fitted to


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


def walk(folder: Path, progress: Progress) -> Generator[Step, None, None]:
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
    with ExitStack() as ended:
        begun = engine_graphs(checkpoint, folder)
        if isinstance(begun, EngineGraphs):
            ended.enter_context(begun.export)
        manifest = export_bundle(checkpoint, out, ExportOptions(precision="fp32"), progress)
        size = sum(entry.bytes for entry in manifest.files)
        yield Step(
            "export", f"{len(manifest.graphs)} graphs, {size / (1 << 20):.1f} MiB, fp32", lap.seconds()
        )
        yield calibrated(out, small, folder / "calibration", progress, lap)
        yield built(begun, folder / "engines", progress, lap)
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


@dataclass(frozen=True)
class EngineGraphs:
    """What engines for this place will be built of, while it is exported."""

    place: Place
    dialect: Dialect
    export: Beside


def engine_graphs(checkpoint: Path, folder: Path) -> EngineGraphs | EdgeVLError:
    """The error where there is no library that makes engines."""
    try:
        place = place_here("auto")
    except EdgeVLError as error:
        return error
    dialect = dialect_for(place, TENSORRT)
    options = ExportOptions((dialect,), max_context=ENGINE_CONTEXT)
    return EngineGraphs(place, dialect, Beside(checkpoint, folder / "engine-bundle", options))


def built(begun: EngineGraphs | EdgeVLError, engines: Path, progress: Progress, lap: Lap) -> Step:
    """Engines of half-precision graphs, where there is a library that makes them."""
    if isinstance(begun, EdgeVLError):
        return Step("build", f"skipped: {begun.what} ({begun.fix})", lap.seconds())
    place, dialect, shelf = begun.place, begun.dialect, Shelf(engines)
    worked = begun.export.finish(progress)
    waited = lap.seconds()
    bundle = Bundle.open(begun.export.out)
    orders = orders_of(bundle, dialect, place, Serving(ENGINE_CONTEXT))
    shelf.make()
    made = list(Workshop(bundle, shelf, room_here().free_mib, progress).made(orders))
    size = sum(each.receipt.plan_bytes for each in made)
    summary = f"{len(made)} engines, {size / (1 << 20):.1f} MiB, fp16, by {place.title} for {place.target}; built, not run"
    own = f"export in the dialect {dialect}: {worked:.1f} s of work beside the steps before, then {waited:.1f} s"
    if begun.export.is_done_again:
        own += ", in which it was done again: the process beside did not end it"
    return Step("build", summary, waited + lap.seconds(), details=(own, *map(engine_details, made)))


def engine_details(made: Made) -> str:
    contents, seconds = made.receipt.contents, made.receipt.cost.seconds
    fused = f", {contents.attention_told}" if contents.attention_told else ""
    return f"{made.receipt.key.name}: {seconds:.1f} s{fused}"


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
    outcome = outcome_of(sample.task, sample.question, sample.answer, answer.text)
    verdict = "right" if outcome.is_right else "not as expected"
    if outcome.iou is not None:
        verdict += f", IoU {outcome.iou:.2f}"
    same = "the same" if less.text == answer.text else repr(less.text)
    times = ", ".join(f"{stage} {spent:.0f}" for stage, spent in answer.timings_ms.items())
    usage = answer.usage
    return (
        f"answer: {answer.text!r}, expected: {sample.answer!r} ({verdict})",
        f"{usage.prompt_tokens} prompt tokens ({usage.image_tokens} of pictures, {usage.cached_tokens} cached),"
        f" {usage.completion_tokens} new at {answer.tokens_per_s:.0f}/s; quantised: {same}",
        f"ms: {times}",
    )
