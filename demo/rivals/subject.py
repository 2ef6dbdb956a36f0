"""What is quantised side by side: a whole low-resolution tower and the first layers of a decoder, in plain operators."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from demo.random_checkpoint import spec_named, write_random_checkpoint
from demo.rivals.pictures import HELD_OUT, picture_from_number
from edge_runtime.bundle import Bundle
from edge_runtime.preprocess import pixels_from_picture
from edge_runtime.spec import ModelSpec, Role
from export.exporter import export_bundle
from export.options import ExportOptions

CUT_LAYERS = 4  # of the decoder, so that a rival that needs 16 bytes for each weight can take part
CONTEXT = 1024  # more than an image takes
TOKENS = 256

Feeds = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Subject:
    """One graph, and what it is asked to do; `many` is for those whose memory does not grow with samples."""

    role: Role
    graph: Path
    output: str
    few: Path
    many: Path
    held_out: Path


def cut_decoder(spec: ModelSpec, layers: int = CUT_LAYERS) -> ModelSpec:
    """The same model with no more than `layers` layers in its decoder."""
    return replace(spec, decoder=replace(spec.decoder, layers=min(layers, spec.decoder.layers)))


def subject_bundle(size: str, folder: Path) -> Bundle:
    """Random weights in fp32, made in `folder` where they are not there yet."""
    checkpoint, out = folder / f"{size}-cut", folder / f"{size}-cut-bundle"
    if not out.exists():
        if not checkpoint.exists():
            write_random_checkpoint(cut_decoder(spec_named(size)), checkpoint, "original")
        export_bundle(checkpoint, out, ExportOptions(("trt10",), "fp32", CONTEXT))
        shutil.rmtree(checkpoint)
    return Bundle.open(out, is_trusted=True)


def subjects_of(bundle: Bundle, folder: Path, few: int, many: int, held_out: int) -> dict[str, Subject]:
    """By kind of quantisation. Samples are written to `folder`; `few` are the first of `many`."""
    counts = {"few": range(few), "many": range(many), "held-out": range(HELD_OUT, HELD_OUT + held_out)}
    tower = write_samples(folder / "vision_low", counts, lambda number: tower_feeds(bundle, number))
    decoder = write_samples(folder / "decoder", counts, lambda number: decoder_feeds(bundle, number))
    return {
        "int8": Subject("vision_low", graph_of(bundle, "vision_low"), "features", *tower),
        "int4": Subject("decoder", graph_of(bundle, "decoder"), "logits", *decoder),
    }


def graph_of(bundle: Bundle, role: Role) -> Path:
    return bundle.path_of(bundle.graph(role, "trt10"))


def write_samples(folder: Path, counts: dict[str, range], feeds_of: Any) -> tuple[Path, Path, Path]:
    for name, numbers in counts.items():
        shutil.rmtree(folder / name, ignore_errors=True)  # what is left of an earlier run may be more
        (folder / name).mkdir(parents=True)
        for number in numbers:
            np.savez_compressed(folder / name / f"{number:07d}.npz", **feeds_of(number))
    return folder / "few", folder / "many", folder / "held-out"


def tower_feeds(bundle: Bundle, number: int) -> Feeds:
    return {"pixels": low_pixels(bundle, picture_from_number(number))[None]}


def low_pixels(bundle: Bundle, picture: Image.Image) -> npt.NDArray[np.float32]:
    return pixels_from_picture(picture, bundle.spec.preprocess).low


def decoder_feeds(bundle: Bundle, number: int) -> Feeds:
    """A prompt of random words; every place's logits are asked for."""
    rng = np.random.Generator(np.random.PCG64(number))
    rows = bundle.embedding()[np.sort(rng.integers(0, bundle.spec.decoder.vocab, TOKENS))]
    return {
        "inputs_embeds": np.asarray(rng.permutation(rows), np.float32)[None],
        "write_index": np.zeros(1, np.int64),
        "logit_index": np.arange(TOKENS)[None],
        **empty_caches(bundle),
    }


def empty_caches(bundle: Bundle) -> Feeds:
    sizes = {"batch": 1, "capacity": bundle.manifest.max_context}
    return {
        port.name: np.zeros(
            [sizes[size] if isinstance(size, str) else size for size in port.shape], port.dtype
        )
        for port in bundle.graph("decoder", "trt10").inputs
        if port.name.startswith("past_key_values.")
    }


def samples_in(folder: Path) -> Iterator[Feeds]:
    """One at a time, so that memory stays that of one."""
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:
            yield dict(arrays)


def held_out_of(subject: Subject) -> Sequence[Feeds]:
    return list(samples_in(subject.held_out))
