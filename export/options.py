"""What an export is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from edge_runtime.dialects import Dialect, FloatPrecision, grammar_named
from edge_runtime.errors import EdgeVLError
from edge_runtime.spec import ModelSpec

DEFAULT_CONTEXT = 4096


@dataclass(frozen=True)
class ExportOptions:
    """What to write. `max_context` None is 4096 or what the model can do, whichever is less.

    With `samples`, activations are measured on these pictures, and layers that need it keep fp32.
    """

    dialects: tuple[Dialect, ...] = ("ort",)
    precision: FloatPrecision = "fp16"
    max_context: int | None = None
    samples: Sequence[Image.Image] = ()

    def __post_init__(self) -> None:
        for dialect in self.dialects:
            grammar_named(dialect)
        if twice := [each for each in dict.fromkeys(self.dialects) if self.dialects.count(each) > 1]:
            what, why = f"the dialect {twice[0]!r} is asked for twice", "each is written once"
            raise EdgeVLError("EVL-DIALECT", what, why, "name it once after --dialect")


def context_from_options(spec: ModelSpec, options: ExportOptions) -> int:
    most = spec.decoder.max_positions
    wanted = min(DEFAULT_CONTEXT, most) if options.max_context is None else options.max_context
    if spec.image_tokens < wanted <= most:
        return wanted
    raise EdgeVLError(
        "EVL-CONTEXT-LIMIT",
        f"a context of {wanted} tokens is not possible",
        f"one image takes {spec.image_tokens} tokens and the model knows {most} positions",
        "choose --max-context between these two numbers",
    )
