"""What an export is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from edge_runtime.dialects import Dialect, FloatPrecision, grammar_named
from edge_runtime.errors import EdgeVLError
from edge_runtime.prompt import ImageRef, PromptFormat, Turn
from edge_runtime.spec import ModelSpec
from edge_runtime.tokenizer import Tokenizer

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


def context_from_options(spec: ModelSpec, tokenizer: Tokenizer, options: ExportOptions) -> int:
    least, most = shortest_context(spec, tokenizer), spec.decoder.max_positions
    wanted = min(DEFAULT_CONTEXT, most) if options.max_context is None else options.max_context
    if least <= wanted <= most:
        return wanted
    raise EdgeVLError(
        "EVL-CONTEXT-LIMIT",
        f"a context of {wanted} tokens is not possible",
        f"one image takes {spec.image_tokens} tokens, the shortest question about it with one token of the answer "
        f"{least}, and the model knows {most} positions",
        f"choose --max-context from {least} to {most}"
        if least <= most
        else "use the config.json and the tokenizer.json that belong to this model",
    )


def shortest_context(spec: ModelSpec, tokenizer: Tokenizer) -> int:
    """The fewest tokens with which a picture can be asked about: what a chat says around it, and one token of an answer."""
    turn = Turn("user", "", (ImageRef(b""),))
    return len(PromptFormat(tokenizer, spec.prompt, spec.image_tokens).chat_prompt_tokens([turn])) + 1
