from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import pytest

from edge_runtime.answer import Answer, AnswerStream, Usage
from edge_runtime.chance import TokenChance, TokenScore
from edge_runtime.errors import EdgeVLError

ANSWER = Answer(
    text="a dog",
    token_ids=(4, 5),
    finish_reason="stop",
    usage=Usage(prompt_tokens=9, image_tokens=4, cached_tokens=2, completion_tokens=2),
    timings_ms={"total": 1.5},
    tokens_per_s=80.0,
    engine="onnxruntime",
    engine_reason="no GPU answers here",
    precision={"decoder": "fp16"},
    peak_rss_mib=10.0,
)


class Source:
    """Two pieces, and how far they were read."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def pieces(self) -> Generator[str, None, Answer]:
        for piece in ("a ", "dog"):
            self.made.append(piece)
            yield piece
        return ANSWER


def test_pieces_come_first_and_then_the_whole_answer() -> None:
    stream = AnswerStream(Source().pieces())
    assert list(stream) == ["a ", "dog"]
    assert stream.answer is ANSWER


def test_asking_for_the_answer_runs_the_rest_of_the_stream() -> None:
    stream = AnswerStream(Source().pieces())
    next(stream)
    assert stream.answer is ANSWER
    assert stream.answer is ANSWER
    assert list(stream) == []


def test_a_closed_stream_computes_nothing_more() -> None:
    source = Source()
    stream = AnswerStream(source.pieces())
    next(stream)
    stream.close()
    assert list(stream) == []
    assert source.made == ["a "]


def test_a_closed_stream_has_no_whole_answer() -> None:
    stream = AnswerStream(Source().pieces())
    next(stream)
    stream.close()
    with pytest.raises(EdgeVLError) as caught:
        _ = stream.answer
    assert caught.value.code == "EVL-STREAM-CLOSED"


def test_closing_after_the_end_keeps_the_answer() -> None:
    stream = AnswerStream(Source().pieces())
    list(stream)
    stream.close()
    assert stream.answer is ANSWER


def test_json_has_the_keys_of_the_contract() -> None:
    assert ANSWER.to_json() == {
        "text": "a dog",
        "token_ids": [4, 5],
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 9, "image_tokens": 4, "cached_tokens": 2, "completion_tokens": 2},
        "timings_ms": {"total": 1.5},
        "tokens_per_s": 80.0,
        "engine": "onnxruntime",
        "engine_reason": "no GPU answers here",
        "precision": {"decoder": "fp16"},
        "peak_rss_mib": 10.0,
    }


def test_json_has_the_scores_of_tokens_where_they_were_asked_for() -> None:
    chances = TokenChance(4, -0.5), TokenChance(7, -1.5)
    scored = replace(ANSWER, logprobs=(TokenScore(chances[0], chances), TokenScore(TokenChance(5, -0.1))))
    told = scored.to_json()
    assert told.pop("logprobs") == [
        {
            "id": 4,
            "logprob": -0.5,
            "likeliest": [{"id": 4, "logprob": -0.5}, {"id": 7, "logprob": -1.5}],
        },
        {"id": 5, "logprob": -0.1, "likeliest": []},
    ]
    assert told == ANSWER.to_json()
