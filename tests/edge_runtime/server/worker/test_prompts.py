"""Questions as tokens, beside what an assistant makes of them."""

from __future__ import annotations

import pytest

from edge_runtime.bundle import Bundle
from edge_runtime.constraint import Choice, JsonSchema, Regex
from edge_runtime.errors import EdgeVLError
from edge_runtime.prompt import ImageRef, PromptFormat, Turn
from edge_runtime.sampling import Sampling
from edge_runtime.server.asked import Asked, AskedFormat, AskedTurn, Prompt, Sampled
from edge_runtime.server.worker.prompts import Prompts, request_of
from edge_runtime.tokenizer import Tokenizer

TURNS = (AskedTurn("user", "what is it?", 2), AskedTurn("assistant", "a lamp"), AskedTurn("user", "why?"))


@pytest.fixture(scope="module")
def prompts(bundle: Bundle) -> Prompts:
    return Prompts(bundle)


def test_a_conversation_is_written_as_the_model_knows_it(prompts: Prompts, bundle: Bundle) -> None:
    known = PromptFormat(Tokenizer.open(bundle.tokenizer_path), bundle.spec.prompt, bundle.spec.image_tokens)
    turns = [
        Turn("user", "what is it?", (ImageRef(b"a"), ImageRef(b"b"))),
        Turn("assistant", "a lamp"),
        Turn("user", "why?"),
    ]
    assert prompts.tokens_of(Prompt(TURNS, "be brief")) == known.chat_prompt_tokens(turns, "be brief")


def test_the_models_own_image_mark_in_a_strangers_text_is_text(prompts: Prompts, bundle: Bundle) -> None:
    mark = bundle.spec.prompt.image_mark
    plain = prompts.tokens_of(Prompt((AskedTurn("user", "what is it?", 1),)))
    marked = prompts.tokens_of(Prompt((AskedTurn("user", f"what {mark} is it?", 1),)))
    assert marked.image_spans == plain.image_spans
    assert prompts.tokens_of(Prompt((AskedTurn("user", mark),))).image_spans == ()


def test_a_raw_prompt_stands_after_the_beginning_token(prompts: Prompts, bundle: Bundle) -> None:
    ids = prompts.tokens_of(Prompt(raw="once upon a time")).ids
    assert ids[0] == bundle.spec.prompt.bos_id
    assert prompts.text_of(ids[1:]) == "once upon a time"


def test_ids_are_taken_as_they_are(prompts: Prompts) -> None:
    assert prompts.tokens_of(Prompt(raw=(5, 6, 7))).ids == (5, 6, 7)


@pytest.mark.parametrize("ids", [(), (-1,), (1 << 40,)])
def test_ids_that_no_token_has_are_refused(prompts: Prompts, ids: tuple[int, ...]) -> None:
    with pytest.raises(EdgeVLError, match="EVL-TOKEN-IDS"):
        prompts.tokens_of(Prompt(raw=ids))
    with pytest.raises(EdgeVLError, match="EVL-TOKEN-IDS"):
        prompts.text_of(ids)


def test_the_models_own_stop_strings_end_conversations_only(prompts: Prompts, bundle: Bundle) -> None:
    assert prompts.stops_of(Prompt(TURNS)) == bundle.spec.prompt.stop_strings
    assert prompts.stops_of(Prompt(raw="x")) == ()


def test_what_was_asked_for_is_what_is_requested() -> None:
    sampled = Sampled(0.5, 3, 0.9, 1.1, 7)
    asked = Asked(Prompt(raw="x"), (), 9, sampled, ("\n",), AskedFormat("choice", ("a", "b")), 2)
    request = request_of(asked)
    assert (request.max_tokens, request.stop, request.logprobs) == (9, ("\n",), 2)
    assert request.sampling == Sampling(0.5, 3, 0.9, 1.1, 7)
    assert request.constraint == Choice(("a", "b"))


@pytest.mark.parametrize(
    ("held_to", "constraint"),
    [
        (AskedFormat("schema", ("{}",)), JsonSchema("{}")),
        (AskedFormat("regex", ("[0-9]+",)), Regex("[0-9]+")),
    ],
)
def test_an_answer_is_held_to_what_was_asked(held_to: AskedFormat, constraint: object) -> None:
    assert request_of(Asked(Prompt(raw="x"), held_to=held_to)).constraint == constraint


def test_a_temperature_that_cannot_be_is_refused() -> None:
    with pytest.raises(EdgeVLError, match="EVL-SAMPLING-TEMPERATURE"):
        request_of(Asked(Prompt(raw="x"), sampled=Sampled(temperature=9.0)))


def test_more_images_than_any_context_holds_are_refused_before_their_tokens_are_made(
    prompts: Prompts,
) -> None:
    with pytest.raises(EdgeVLError, match="EVL-CONTEXT-OVERFLOW"):
        prompts.tokens_of(Prompt((AskedTurn("user", "what are they?", 1 << 40),)))
