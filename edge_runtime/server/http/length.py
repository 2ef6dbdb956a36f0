"""Texts that no context holds, whatever they say: counting their tokens would keep the engine from everybody else."""

from __future__ import annotations

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.asked import Prompt
from edge_runtime.server.engine import EngineFacts

LONGEST_TOKEN = (
    128  # bytes; vocabularies have runs of blanks and dashes, and hardly anything else of that length
)


def length_of(prompt: Prompt) -> int:
    """Of all its texts, in bytes."""
    raw = prompt.raw if isinstance(prompt.raw, str) else ""
    return sum(
        len(text.encode()) for text in (raw, prompt.system or "", *(turn.text for turn in prompt.turns))
    )


def check_length(prompt: Prompt, facts: EngineFacts | None) -> None:
    """EVL-CONTEXT-OVERFLOW, as the engine has it, for what it need not see."""
    if facts is None or (length := length_of(prompt)) <= facts.max_context * LONGEST_TOKEN:
        return
    raise EdgeVLError(
        "EVL-CONTEXT-OVERFLOW",
        "the conversation does not fit the context",
        f"it needs more than {(length - 1) // LONGEST_TOKEN} tokens ({length} bytes of text), the context holds"
        f" {facts.max_context}",
        "shorten the conversation",
    )
