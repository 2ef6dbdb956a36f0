"""What a checkpoint layout can tell: the parts of the model, and where each parameter lies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from edge_runtime.errors import EdgeVLError
from edge_runtime.spec import AdaptorSpec, DecoderSpec, ModelSpec, PreprocessSpec, Role, SamSpec, SiglipSpec
from export.checkpoint import Checkpoint

LayoutName = Literal["original", "transformers"]
Stems = Mapping[str, tuple[str, ...]]  # canonical module (or whole parameter) -> what the files call it
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Parts:
    """The model without its prompt: what config.json and the tensors' shapes say together."""

    low: SiglipSpec
    high: SamSpec | None
    adaptor: AdaptorSpec
    decoder: DecoderSpec
    preprocess: PreprocessSpec
    image_id: int | None  # as configured; a tokenizer that knows the image mark must agree


@dataclass(frozen=True)
class Naming:
    """Where a layout keeps each parameter.

    Several stems for one module are its thirds, in order, along the output. Tensors in `discarded` are in the
    published files and never run; those in `tolerated` are buffers and heads that some versions also wrote.
    """

    stems: Mapping[Role, Stems]
    discarded: Mapping[str, Shape]
    tolerated: frozenset[str]
    positions_with_batch: frozenset[Role]  # towers whose position table has a leading 1 in the files


class Layout(Protocol):
    @property
    def name(self) -> LayoutName: ...

    def parts(self, checkpoint: Checkpoint) -> Parts: ...

    def naming(self, spec: ModelSpec) -> Naming: ...


@contextmanager
def refusing_bad_values() -> Iterator[None]:
    """Around the making of a spec: the spec's own checks become the user's error."""
    try:
        yield
    except ValueError as error:
        what = "config.json describes a model that cannot be"
        raise EdgeVLError(
            "EVL-CHECKPOINT-CONFIG", what, str(error), "use the config.json as published"
        ) from error


def has_tensor_under(checkpoint: Checkpoint, *prefixes: str) -> bool:
    return any(name.startswith(prefixes) for name in checkpoint.tensors)


def shape_of(checkpoint: Checkpoint, name: str, rank: int) -> Shape:
    """The tensor's shape, for what only shapes can tell."""
    info = checkpoint.tensors.get(name)
    if info is None:
        why = f"missing: {name}"
        fix = "download the checkpoint again, every shard of it"
        raise EdgeVLError("EVL-CHECKPOINT-TENSORS", "the weights do not fit the model", why, fix)
    if len(info.shape) != rank or 0 in info.shape:
        why = f"{name} is {list(info.shape)}, wanted {rank} dimensions"
        fix = "check that config.json and the weights belong together"
        raise EdgeVLError("EVL-CHECKPOINT-SHAPE", "a tensor has the wrong shape", why, fix)
    return info.shape


def count_of(checkpoint: Checkpoint, prefix: str) -> int:
    """How many numbered modules there are under `prefix`: the highest number and one."""
    numbers = {
        int(number)
        for name in checkpoint.tensors
        if name.startswith(prefix)
        and (number := name[len(prefix) :].split(".", 1)[0]).isascii()
        and number.isdecimal()
        and len(number) <= 4
    }
    return max(numbers, default=-1) + 1
