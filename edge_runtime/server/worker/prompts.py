"""Questions as tokens."""

from __future__ import annotations

from collections.abc import Sequence

from edge_runtime.bundle import Bundle
from edge_runtime.constraint import Choice, Constraint, JsonSchema, Regex
from edge_runtime.errors import EdgeVLError
from edge_runtime.prompt import ImageRef, PromptFormat, PromptTokens, Turn
from edge_runtime.request import Request
from edge_runtime.sampling import Sampling
from edge_runtime.server.asked import Asked, AskedFormat, Prompt
from edge_runtime.tokenizer import Tokenizer

UNSEEN = ImageRef(b"")  # where only the number of images counts


class Prompts:
    """Of one model. Any thread may ask."""

    def __init__(self, bundle: Bundle) -> None:
        self.tokenizer = Tokenizer.open(bundle.tokenizer_path)
        self._spec = bundle.spec
        self._max_context = bundle.manifest.max_context
        self._format = PromptFormat(self.tokenizer, bundle.spec.prompt, bundle.spec.image_tokens)

    def tokens_of(self, prompt: Prompt) -> PromptTokens:
        """Raises EdgeVLError where the conversation has no place in the model's format."""
        if isinstance(prompt.raw, str):
            return self._format.raw_prompt_tokens(prompt.raw)
        if prompt.raw is not None:
            check_ids(prompt.raw, self._spec.decoder.vocab)
            return PromptTokens(prompt.raw, (), self._spec.image_tokens)
        check_images(prompt, self._spec.image_tokens, self._max_context)
        turns = [
            Turn(turn.role, turn.text, (UNSEEN,) * turn.images, has_marks=False) for turn in prompt.turns
        ]
        return self._format.chat_prompt_tokens(turns, prompt.system)

    def stops_of(self, prompt: Prompt) -> tuple[str, ...]:
        """The model's own stop strings end a turn of a conversation."""
        return self._spec.prompt.stop_strings if prompt.turns else ()

    def text_of(self, ids: Sequence[int]) -> str:
        check_ids(ids, self._spec.decoder.vocab)
        return self.tokenizer.decode(ids, skip_special=False)

    def bytes_of(self, token: int) -> bytes:
        """What a token adds to a text."""
        return self.tokenizer.bytes_of(token, skip_special=False)


def request_of(asked: Asked) -> Request:
    """EVL-SAMPLING-*, EVL-CONSTRAINT-* and the like where something is out of its range."""
    sampled = asked.sampled
    return Request(
        max_tokens=asked.max_tokens,
        sampling=Sampling(
            temperature=sampled.temperature,
            top_k=sampled.top_k,
            top_p=sampled.top_p,
            repetition_penalty=sampled.repetition_penalty,
            seed=sampled.seed,
        ),
        stop=asked.stop,
        constraint=None if asked.held_to is None else constraint_of(asked.held_to),
        logprobs=asked.logprobs,
    )


def constraint_of(held_to: AskedFormat) -> Constraint:
    if held_to.kind == "choice":
        return Choice(held_to.texts)
    (text,) = held_to.texts
    return JsonSchema(text) if held_to.kind == "schema" else Regex(text)


def check_images(prompt: Prompt, image_tokens: int, max_context: int) -> None:
    """Before anything is written down for each of their tokens: a question for tokens alone names as many as it likes."""
    if (needed := prompt.image_count * image_tokens) > max_context:
        why = f"its {prompt.image_count} images alone take {needed} tokens, the context holds {max_context}"
        raise EdgeVLError(
            "EVL-CONTEXT-OVERFLOW", "the conversation does not fit the context", why, "show fewer images"
        )


def check_ids(ids: Sequence[int], vocab: int) -> None:
    if ids and all(0 <= each < vocab for each in ids):
        return
    why = f"got {len(ids)}, wanted at least one, each 0 to {vocab - 1}"
    raise EdgeVLError(
        "EVL-TOKEN-IDS", "these are no tokens of this model", why, "send the ids that /tokenize gives"
    )
