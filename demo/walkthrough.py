"""The whole way, step by step: a checkpoint, its bundle, the proof, and questions about a picture."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from demo.random_checkpoint import write_random_checkpoint
from demo.sizes import SIZES
from edge_runtime.answer import Answer
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.loading import load
from edge_runtime.progress import Progress
from edge_runtime.request import Request
from export.checkpoint import Checkpoint
from export.exporter import export_bundle
from export.parity import parity_of, synthetic_pictures

QUESTIONS = ("What can be seen?", "And which colour is it?")
ANSWER_TOKENS = 24
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
    """Each step as it is done; checkpoint, bundle and picture stay in `folder`."""
    lap = Lap()
    checkpoint, out, picture = folder / "checkpoint", folder / "bundle", folder / "picture.png"
    write_random_checkpoint(SIZES["tiny"], checkpoint, "original", "float32")
    yield Step(
        "prepare",
        "a tiny checkpoint with RANDOM weights, hybrid as DeepSeek-VL 7B",
        lap.seconds(),
        details=("no trained demo model ships yet: the answers below are noise, the machinery is real",),
    )
    manifest = export_bundle(checkpoint, out, progress=progress)
    size = sum(entry.bytes for entry in manifest.files)
    yield Step("export", f"{len(manifest.graphs)} graphs, {size / (1 << 20):.1f} MiB, fp16", lap.seconds())
    for name in NOT_YET:
        yield Step(name, "skipped: not part of edge-vl yet", 0.0)
    yield verified(checkpoint, out, progress, lap)
    sample_picture().save(picture)
    yield from asked(out, picture, lap)


def verified(checkpoint: Path, out: Path, progress: Progress, lap: Lap) -> Step:
    bundle = Bundle.open(out)
    with Checkpoint.open(checkpoint) as opened:
        report = parity_of(bundle, OrtBackend(bundle), opened, synthetic_pictures(1), progress)
    details = [f"{each.role}: cosine {each.cosine:.7f}, bar {each.bar.cosine}" for each in report.roles]
    details += [
        f"greedy, {each.prompt} prompt: {each.agreed} of {each.tokens} tokens agree" for each in report.greedy
    ]
    verdict = "every role and the greedy tokens agree with the checkpoint" if report.is_passed else "FAILED"
    return Step("verify", verdict, lap.seconds(), report.is_passed, tuple(details))


def asked(out: Path, picture: Path, lap: Lap) -> Iterator[Step]:
    with load(out) as assistant:
        chat = assistant.chat()
        for index, question in enumerate(QUESTIONS):
            image = picture if index == 0 else None
            answer = chat.ask(question, image, Request(max_tokens=ANSWER_TOKENS))
            yield Step("ask", f"{question!r}", lap.seconds(), details=answer_details(answer, image))


def answer_details(answer: Answer, image: Path | None) -> tuple[str, ...]:
    times = ", ".join(f"{stage} {spent:.0f}" for stage, spent in answer.timings_ms.items())
    usage = answer.usage
    shown = f"picture: {image.name}" if image else "the same picture, still in the cache"
    return (
        shown,
        f"answer: {answer.text!r}",
        f"{usage.prompt_tokens} prompt tokens ({usage.image_tokens} of pictures, {usage.cached_tokens} cached),"
        f" {usage.completion_tokens} new at {answer.tokens_per_s:.0f}/s",
        f"ms: {times}",
    )


def sample_picture() -> Image.Image:
    """A red disc on blue."""
    picture = Image.new("RGB", (320, 240), (30, 60, 160))
    ImageDraw.Draw(picture).ellipse((90, 50, 230, 190), fill=(200, 30, 30))
    return picture
