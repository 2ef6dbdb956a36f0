"""Whether prompts can be put to a model at all, known before anything is measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from calibration.samples import CODE, Sample
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EdgeVLError
from edge_runtime.prompt import ImageRef, PromptFormat, PromptTokens, Turn, check_fits
from edge_runtime.tokenizer import Tokenizer

REPAIR = "repair that line, or leave it out"
SHORTEN = "shorten that prompt or leave it out, or export the bundle with a larger --max-context"


def check_prompts(bundle: Bundle, samples: Iterable[Sample], code: str = CODE) -> None:
    """Every prompt has tokens, and leaves room for one more; an EdgeVLError with `code` names the line of the first that has not."""
    form = format_of(bundle)
    first: dict[str, Sample] = {}
    for sample in samples:
        first.setdefault(sample.prompt, sample)
    for sample in first.values():
        with named(sample.where, code, REPAIR):
            tokens = tokens_of(form, sample.prompt, b"")
        with named(sample.where, code, SHORTEN):
            check_fits(tokens, 1, bundle.manifest.max_context)


@contextmanager
def named(where: str, code: str, fix: str) -> Iterator[None]:
    """The runtime's words about one prompt, with the line that it comes from and what can be done about a line."""
    try:
        yield
    except EdgeVLError as error:
        raise EdgeVLError(code, f"{where} cannot be asked: {error.what}", error.why, fix) from error


def format_of(bundle: Bundle) -> PromptFormat:
    spec = bundle.spec
    return PromptFormat(Tokenizer.open(bundle.tokenizer_path), spec.prompt, spec.image_tokens)


def tokens_of(form: PromptFormat, prompt: str, digest: bytes) -> PromptTokens:
    """One question about one picture, as users ask it."""
    return form.chat_prompt_tokens([Turn("user", prompt, (ImageRef(digest),))])
