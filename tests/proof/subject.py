"""One random model, everywhere it exists: as transformers holds it, as checkpoints, as bundles."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect, FloatPrecision
from edge_runtime.embedding import EmbeddedPrompt
from edge_runtime.preprocess import Pixels, pixels_from_picture
from edge_runtime.prompt import ImageRef, PromptFormat, PromptTokens
from edge_runtime.stopwatch import Stopwatch
from edge_runtime.tokenizer import Tokenizer
from edge_runtime.vision import EncodedImage, VisionEncoder
from export.exporter import export_bundle
from export.options import ExportOptions
from tests.checkpoints import (
    SMALL_MODELS,
    SmallModel,
    model_from_small,
    write_original_checkpoint,
    write_transformers_checkpoint,
)
from tests.proof.oracle import Oracle

LayoutName = Literal["transformers", "original"]
CONTEXT = 512
SEED = 3


@dataclass(frozen=True)
class Subject:
    """A model by name. What it is asked for is written below `folder` once and found there afterwards."""

    name: str
    folder: Path
    oracle: Oracle
    dialect: Dialect = "ort"

    @classmethod
    def of(cls, name: str, folder: Path, dialect: Dialect = "ort") -> Subject:
        return cls(name, folder, Oracle(model_from_small(SMALL_MODELS[name], SEED)), dialect)

    @property
    def small(self) -> SmallModel:
        return SMALL_MODELS[self.name]

    def checkpoint(self, layout: LayoutName = "transformers") -> Path:
        return checkpoint_below(self.folder, self.name, layout)

    def bundle(self, precision: FloatPrecision = "fp32", layout: LayoutName = "transformers") -> Bundle:
        return Bundle.open(bundle_below(self.folder, self.name, precision, layout, self.dialect))

    def opened(self, precision: FloatPrecision = "fp32", layout: LayoutName = "transformers") -> Opened:
        bundle = self.bundle(precision, layout)
        return Opened(bundle, OrtBackend(bundle, threads=1, dialect=self.dialect))


def session_folder(factory: pytest.TempPathFactory) -> Path:
    """Where the whole session's checkpoints and bundles lie; other rooms' tests take theirs from here too.

    Where processes share the tests, each has its own folder below the session's: the subjects lie beside those.
    """
    own = factory.getbasetemp()
    path = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "subjects"
    path.mkdir(exist_ok=True)
    return path


@contextmanager
def made_by_one(path: Path) -> Iterator[bool]:
    """Whether `path` is to be made; processes that want it meanwhile wait."""
    with path.with_name(f"{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield not path.exists()


def checkpoint_below(folder: Path, name: str, layout: LayoutName = "transformers") -> Path:
    path = folder / f"{name}-{layout}"
    with made_by_one(path) as is_mine:
        if is_mine:
            write = write_transformers_checkpoint if layout == "transformers" else write_original_checkpoint
            write(path, SMALL_MODELS[name], seed=SEED)
    return path


def bundle_below(
    folder: Path,
    name: str,
    precision: FloatPrecision = "fp32",
    layout: LayoutName = "transformers",
    dialect: Dialect = "ort",
) -> Path:
    """Exported once a session, whoever asks: tracing is what these tests spend their time on."""
    path = folder / f"{name}-{layout}-{precision}-{dialect}"
    with made_by_one(path) as is_mine:
        if is_mine:
            options = ExportOptions(dialects=(dialect,), precision=precision, max_context=CONTEXT)
            export_bundle(checkpoint_below(folder, name, layout), path, options)
    return path


@dataclass(frozen=True)
class Opened:
    """A bundle on ONNX Runtime, and what the runtime makes of prompts and pictures."""

    bundle: Bundle
    backend: OrtBackend

    @property
    def format(self) -> PromptFormat:
        spec = self.bundle.spec
        return PromptFormat(Tokenizer.open(self.bundle.tokenizer_path), spec.prompt, spec.image_tokens)

    def raw_prompt(self, text: str) -> PromptTokens:
        refs = tuple(ImageRef(bytes([index])) for index in range(text.count("<image>")))
        return self.format.raw_prompt_tokens(text, refs)

    def pixels(self, pictures: list[Image.Image]) -> list[Pixels]:
        return [pixels_from_picture(picture, self.bundle.spec.preprocess) for picture in pictures]

    def encoded(self, pictures: list[Image.Image]) -> list[EncodedImage]:
        encoder = VisionEncoder(self.backend, self.bundle.spec)
        return [encoder.encode(picture, Stopwatch()) for picture in pictures]

    def embedded(self, prompt: PromptTokens, pictures: list[Image.Image]) -> EmbeddedPrompt:
        images = self.encoded(pictures)
        rows, digests = [image.rows for image in images], [image.digest for image in images]
        return EmbeddedPrompt(prompt, self.bundle.embedding(), rows, digests)


def pictures(count: int) -> list[Image.Image]:
    """Noise in shapes that leave borders on either side, or none."""
    rng = np.random.Generator(np.random.PCG64(7))
    sizes = [(130, 71), (61, 97), (50, 50)]
    return [
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        for width, height in sizes[:count]
    ]
