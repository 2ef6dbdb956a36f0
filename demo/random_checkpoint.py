"""Random checkpoints in the exact real layouts: `python -m demo.random_checkpoint SIZE OUT`."""

from __future__ import annotations

import argparse
import json
import math
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from demo.command import status_told
from demo.config_files import files_from_spec
from demo.safetensors_file import Shape, write_safetensors
from demo.sizes import SIZES, SPECIAL_TOKENS
from demo.standin_tokenizer import tokenizer_json
from edge_runtime.errors import EdgeVLError
from edge_runtime.progress import Progress, silent
from edge_runtime.publish import check_free_space, staged_folder
from edge_runtime.spec import ModelSpec
from export.layouts.huggingface import TransformersLayout
from export.layouts.layout import Layout
from export.layouts.original import OriginalLayout
from export.weights import tensors_from_naming

LayoutName = Literal["original", "transformers"]
DTYPES = {
    "bfloat16": ("BF16", torch.bfloat16),
    "float16": ("F16", torch.float16),
    "float32": ("F32", torch.float32),
}
SHARD_BYTES = 5 << 30
# A prime, so that rows cut from the repeated block never line up with each other.
BLOCK_ELEMENTS = 4194301
SMALL = 0.02  # of tables and shifts; products are scaled to keep their input's size
ALPHA = 0.37


def write_random_checkpoint(
    spec: ModelSpec,
    out: Path,
    layout: LayoutName = "transformers",
    dtype: str = "bfloat16",
    seed: int = 0,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress = silent,
) -> None:
    """Writes `out`, which must not exist. Memory does not grow with the model."""
    shapes = tensors_of(spec, layout)
    writer = Writer(dtype, seed, progress, shapes)
    with staged_folder(out) as folder:
        check_free_space(folder.parent, writer.total)
        for name, content in files_from_spec(spec, layout).items():
            (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")
        ids = (spec.prompt.bos_id, spec.prompt.eos_id, spec.prompt.image_id)
        text = tokenizer_json(dict(zip(SPECIAL_TOKENS, ids, strict=True)))
        (folder / "tokenizer.json").write_text(text, encoding="utf-8")
        writer.write(folder, shards_of(shapes, writer.item_bytes, shard_bytes))


def tensors_of(spec: ModelSpec, layout: LayoutName) -> dict[str, Shape]:
    """Every tensor of the published files, those that are never run included."""
    has_high = spec.high is not None
    chosen: Layout = OriginalLayout(has_high)
    if layout == "transformers":
        chosen = TransformersLayout("model.vision_model.vision_model", has_high)
    return tensors_from_naming(chosen.naming(spec), spec)


def shards_of(shapes: Mapping[str, Shape], item_bytes: int, limit: int) -> list[dict[str, Shape]]:
    shards: list[dict[str, Shape]] = [{}]
    filled = 0
    for name, shape in shapes.items():
        size = math.prod(shape) * item_bytes
        if shards[-1] and filled + size > limit:
            shards.append({})
            filled = 0
        shards[-1][name] = shape
        filled += size
    return shards


class Writer:
    """Draws one block of normal numbers and cuts every tensor from it, each from its own place."""

    def __init__(self, dtype: str, seed: int, progress: Progress, shapes: Mapping[str, Shape]) -> None:
        self.code, self.dtype = DTYPES[dtype]
        self.seed = seed
        self.progress = progress
        self.item_bytes = self.dtype.itemsize
        self.total = sum(math.prod(shape) for shape in shapes.values()) * self.item_bytes
        self.done = 0
        rng = np.random.Generator(np.random.PCG64(seed))
        self.block = torch.from_numpy(rng.standard_normal(BLOCK_ELEMENTS, dtype=np.float32))

    def write(self, folder: Path, shards: list[dict[str, Shape]]) -> None:
        if len(shards) == 1:
            self._write_shard(folder / "model.safetensors", shards[0])
            return
        index: dict[str, str] = {}
        for number, shard in enumerate(shards, start=1):
            name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
            self._write_shard(folder / name, shard)
            index |= dict.fromkeys(shard, name)
        document = {"metadata": {"total_size": self.total}, "weight_map": index}
        (folder / "model.safetensors.index.json").write_text(json.dumps(document, indent=2), encoding="utf-8")

    def _write_shard(self, path: Path, shapes: Mapping[str, Shape]) -> None:
        write_safetensors(path, shapes, self.code, self.item_bytes, self._chunks)

    def _chunks(self, name: str, shape: Shape) -> Iterable[bytes]:
        for values in self._values(name, math.prod(shape)):
            shifted = values * spread_of(name, shape) + centre_of(name, shape)
            data = shifted.to(self.dtype).view(torch.uint8).numpy().tobytes()
            self.done += len(data)
            self.progress("writing random weights", self.done, self.total)
            yield data

    def _values(self, name: str, count: int) -> Iterator[torch.Tensor]:
        start = zlib.crc32(f"{self.seed}/{name}".encode()) % BLOCK_ELEMENTS
        while count > 0:
            piece = self.block[start : start + count]
            yield piece
            count -= len(piece)
            start = 0


def centre_of(name: str, shape: Shape) -> float:
    """Norm weights lie around 1 and the side path's share around its own value; the rest around 0."""
    if name.endswith(("alpha", "alpha_downsamples")):
        return ALPHA
    is_scale = name.endswith(".weight") and len(shape) == 1
    return 1.0 if is_scale else 0.0


def spread_of(name: str, shape: Shape) -> float:
    is_table = "embed_tokens" in name or "pos" in name or "latent" in name
    if len(shape) < 2 or is_table:
        return SMALL
    return 1.0 / math.sqrt(math.prod(shape[1:]))


def spec_named(size: str) -> ModelSpec:
    if size in SIZES:
        return SIZES[size]
    raise EdgeVLError(
        "EVL-USAGE", f"there is no size {size!r}", f"there are {', '.join(SIZES)}", "choose one of these"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.random_checkpoint", description=__doc__)
    parser.add_argument("size", metavar="SIZE", help=", ".join(SIZES))
    parser.add_argument("out", metavar="OUT", type=Path)
    parser.add_argument("--layout", choices=["original", "transformers"], default="transformers")
    parser.add_argument("--dtype", choices=list(DTYPES), default="bfloat16")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        spec = spec_named(arguments.size)
        write_random_checkpoint(spec, arguments.out, arguments.layout, arguments.dtype, arguments.seed)
    except EdgeVLError as error:
        return status_told(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
