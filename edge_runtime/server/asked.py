"""One question as the front end hands it to the engine: plain data, checked for its form, not for what a model can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class AskedTurn:
    """One message. `images` says how many of the question's pictures stand in it, in order, before its text."""

    role: Literal["user", "assistant"]
    text: str
    images: int = 0


@dataclass(frozen=True)
class AskedFormat:
    """What the answer is held to; the text of a JSON schema, an expression, or the options of a choice."""

    kind: Literal["schema", "regex", "choice"]
    texts: tuple[str, ...]  # one text, or the options


@dataclass(frozen=True)
class Sampled:
    """How tokens are chosen, as edge_runtime.sampling.Sampling has it."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int | None = None


@dataclass(frozen=True)
class Prompt:
    """A conversation, or, without turns, a text as it stands after the beginning token, or all ids."""

    turns: tuple[AskedTurn, ...] = ()
    system: str | None = None
    raw: str | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        assert bool(self.turns) != (self.raw is not None), "a conversation or a raw prompt"

    @property
    def image_count(self) -> int:
        return sum(turn.images for turn in self.turns)


@dataclass(frozen=True)
class Asked:
    """`pictures` are whole files, in the order of their places. `client` is who is given a fair share. `logprobs` is how
    many of the likeliest tokens are told beside each token that was chosen; None tells none, not even its own."""

    prompt: Prompt
    pictures: tuple[bytes, ...] = ()
    max_tokens: int | None = None
    sampled: Sampled = Sampled()
    stop: tuple[str, ...] = ()
    held_to: AskedFormat | None = None
    logprobs: int | None = None
    has_end: bool = True  # False: as many tokens as were asked for, for measuring
    client: str = ""
