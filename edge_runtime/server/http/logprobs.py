"""How likely tokens were, in OpenAI's two forms."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from edge_runtime.server.said import TokenChance, TokenScore

LEAST = -9999.0  # what OpenAI tells of a token that was ruled out: JSON has no infinity


class Chance(BaseModel):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(Chance):
    top_logprobs: list[Chance]


class ChatLogprobs(BaseModel):
    content: list[TokenLogprob]
    refusal: None = None


class CompletionLogprobs(BaseModel):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


def chat_logprobs(scores: Sequence[TokenScore]) -> ChatLogprobs:
    content = [
        TokenLogprob(
            **chance_of(score.chosen).model_dump(), top_logprobs=[chance_of(each) for each in score.likeliest]
        )
        for score in scores
    ]
    return ChatLogprobs(content=content)


def completion_logprobs(scores: Sequence[TokenScore], offset: int = 0) -> CompletionLogprobs:
    """`offset` is where in the text the first of these tokens begins."""
    offsets = []
    for score in scores:
        offsets.append(offset)
        offset += len(text_of(score.chosen))
    return CompletionLogprobs(
        tokens=[text_of(score.chosen) for score in scores],
        token_logprobs=[bounded(score.chosen.logprob) for score in scores],
        top_logprobs=[top_of(score) for score in scores],
        text_offset=offsets,
    )


def top_of(score: TokenScore) -> dict[str, float]:
    """The token that was chosen is always among them."""
    return {text_of(each): bounded(each.logprob) for each in (*score.likeliest, score.chosen)}


def chance_of(chance: TokenChance) -> Chance:
    return Chance(token=text_of(chance), logprob=bounded(chance.logprob), bytes=list(chance.raw))


def text_of(chance: TokenChance) -> str:
    """Half a character cannot be told as text; its bytes tell what it is."""
    return chance.raw.decode("utf-8", "replace")


def bounded(logprob: float) -> float:
    return max(logprob, LEAST)
