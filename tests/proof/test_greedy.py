"""Greedy answers of our assistant against transformers' own generation, id by id."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edge_runtime.assistant import Assistant
from edge_runtime.prompt import ImageRef, Turn
from edge_runtime.request import Request
from edge_runtime.sampling import Sampling
from tests.proof.subject import Subject, pictures

LIMIT = 32
REQUEST = Request(max_tokens=LIMIT)


@pytest.fixture(scope="module")
def assistant(subject: Subject) -> Iterator[Assistant]:
    opened = subject.opened()
    with Assistant(opened.bundle, opened.backend) as assistant:
        yield assistant


@pytest.mark.parametrize(
    "text",
    ["tell me of the sea:", "<image>in the middle there", "the one<image>and the other<image>are"],
    ids=["no image", "one image", "two images"],
)
def test_a_raw_prompt_is_continued_as_transformers_does(
    subject: Subject, assistant: Assistant, text: str
) -> None:
    shown = pictures(text.count("<image>"))
    opened = subject.opened()
    wanted = subject.oracle.greedy(opened.raw_prompt(text).ids, opened.pixels(shown), LIMIT)
    answer = assistant.raw(text, shown, REQUEST).answer
    assert len(set(wanted)) > 3, "an oracle that repeats itself proves little"
    assert answer.token_ids == wanted


def test_a_repetition_penalty_leads_both_to_the_same_varied_answer(
    subject: Subject, assistant: Assistant
) -> None:
    opened, shown = subject.opened(), pictures(1)
    ids = opened.raw_prompt("<image>the sea").ids
    wanted = subject.oracle.greedy(ids, opened.pixels(shown), LIMIT, penalty=1.3)
    request = Request(max_tokens=LIMIT, sampling=Sampling(repetition_penalty=1.3))
    assert len(set(wanted)) > LIMIT // 2
    assert assistant.raw("<image>the sea", shown, request).answer.token_ids == wanted


def test_two_turns_of_a_chat_about_two_pictures_are_answered_as_transformers_does(
    subject: Subject, assistant: Assistant
) -> None:
    opened = subject.opened()
    shown = pictures(2)
    pixels = opened.pixels(shown)
    chat = assistant.chat()
    questions = ["what is on the left?", "and how is this one other?"]
    turns: list[Turn] = []
    for index, question in enumerate(questions):
        answer = chat.ask(question, shown[index], REQUEST)
        turns.append(Turn("user", question, (ImageRef(bytes([index])),)))
        prompt = opened.format.chat_prompt_tokens(turns)
        wanted = subject.oracle.greedy(prompt.ids, pixels[: index + 1], LIMIT)
        assert answer.finish_reason == "length"
        assert answer.token_ids == wanted
        assert answer.usage.prompt_tokens == len(prompt)
        turns.append(Turn("assistant", answer.text))
    assert answer.usage.cached_tokens > opened.bundle.spec.image_tokens, "the first turn was in the cache"
