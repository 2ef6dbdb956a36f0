"""Answers of an assistant under a constraint: how they end, what stops them, what they cost."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from edge_runtime.assistant import Assistant
from edge_runtime.bundle import Bundle
from edge_runtime.constraint import Choice, Constraint, JsonSchema, Regex
from edge_runtime.errors import EdgeVLError
from edge_runtime.request import Request
from tests.checkpoints import EOS_ID
from tests.edge_runtime.fake_backend import FakeBackend, Room, fake_bundle, room_for


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return fake_bundle(tmp_path / "bundle")


def held(constraint: Constraint, max_tokens: int | None = None, stop: tuple[str, ...] = ()) -> Request:
    return Request(max_tokens=max_tokens, stop=stop, constraint=constraint)


ANY_TEXT = JsonSchema('{"type": "string"}')


def test_an_answer_that_keeps_to_its_constraint_by_itself_has_the_tokens_it_has_without(
    bundle: Bundle,
) -> None:
    free = room_for(bundle, '{"dog": "the 中"}').assistant.ask("what?")
    for constraint in (JsonSchema("true"), Regex(".*"), Choice([free.text, "{"])):
        found = room_for(bundle, free.text).assistant.ask("what?", request=held(constraint))
        assert (found.text, found.token_ids, found.finish_reason) == (free.text, free.token_ids, "stop")


def test_a_text_spelled_in_an_unusual_way_stays_so(bundle: Bundle) -> None:
    room = room_for(bundle, "")
    letters = [token for letter in "the user" for token in room.assistant.tokenizer.encode(letter)]
    assert letters != room.assistant.tokenizer.encode("the user"), "there are merges for it"
    assistant = Assistant(bundle, FakeBackend([*letters, EOS_ID]))
    answer = assistant.ask("what?", request=held(Choice(["the user", "the owner"])))
    assert list(answer.token_ids) == letters


def test_the_blank_that_models_put_before_an_answer_is_said_but_no_part_of_its_text(bundle: Bundle) -> None:
    free = room_for(bundle, " pink").assistant.ask("what?")
    stream = room_for(bundle, " pink").assistant.stream("what?", request=held(Choice(["pink", "red"])))
    pieces = list(stream)
    assert stream.answer.token_ids == free.token_ids
    assert "".join(pieces) == stream.answer.text == "pink"


def test_a_whole_answer_ends_without_a_further_step(bundle: Bundle) -> None:
    room = room_for(bundle, "[1]", is_ended=False)
    answer = room.assistant.ask("what?", request=held(Regex(r"\[1\]")))
    assert (answer.text, answer.finish_reason) == ("[1]", "stop")
    assert len(room.fed) == len(answer.token_ids), "the prompt, and every token before the last"


def test_an_answer_that_may_go_on_ends_at_the_end_token(bundle: Bundle) -> None:
    answer = room_for(bundle, "12").assistant.ask("what?", request=held(JsonSchema('{"type": "integer"}')))
    assert (answer.text, answer.finish_reason) == ("12", "stop")


def test_an_end_that_comes_too_early_is_not_taken(bundle: Bundle) -> None:
    answer = room_for(bundle, "[1").assistant.ask("what?", request=held(Regex(r"\[1\]")))
    assert (answer.text, answer.finish_reason) == ("[1]", "stop")


def test_an_answer_cut_at_max_tokens_says_so(bundle: Bundle) -> None:
    answer = room_for(bundle, '"abcdef"').assistant.ask("what?", request=held(ANY_TEXT, 4))
    assert (answer.text, answer.finish_reason) == ('"abc', "length")


def test_an_answer_that_is_whole_at_max_tokens_is_not_cut(bundle: Bundle) -> None:
    answer = room_for(bundle, '"ab"').assistant.ask("what?", request=held(ANY_TEXT, 4))
    assert (answer.text, answer.finish_reason) == ('"ab"', "stop")


def test_the_models_own_stop_strings_are_text_inside_json(bundle: Bundle) -> None:
    said = '{"note": "User: hello"}'
    room = room_for(bundle, said)
    assert room.assistant.ask("what?").finish_reason == "stop", "without a constraint it is cut"
    answer = room_for(bundle, said).assistant.ask("what?", request=held(JsonSchema('{"type": "object"}')))
    assert json.loads(answer.text) == {"note": "User: hello"}


def test_a_stop_string_that_was_asked_for_still_ends_the_answer_before_itself(bundle: Bundle) -> None:
    request = held(JsonSchema('{"type": "object"}'), stop=("stop",))
    answer = room_for(bundle, '{"a": "go stop go"}').assistant.ask("what?", request=request)
    assert (answer.text, answer.finish_reason) == ('{"a": "go ', "stop")


def test_what_a_stop_string_might_have_begun_is_part_of_the_json(bundle: Bundle) -> None:
    request = held(JsonSchema('{"type": "object"}'), stop=("}}}",))
    answer = room_for(bundle, '{"a": {}}').assistant.ask("what?", request=request)
    assert (answer.text, answer.finish_reason) == ('{"a": {}}', "stop")


def test_pieces_of_a_constrained_stream_make_up_the_text(bundle: Bundle) -> None:
    stream = room_for(bundle, '"größer 中 🙂"').assistant.stream("what?", request=held(ANY_TEXT))
    pieces = list(stream)
    assert "".join(pieces) == stream.answer.text == '"größer 中 🙂"'


def test_a_conversation_may_be_held_to_a_choice_and_go_on_freely(bundle: Bundle) -> None:
    chat = room_for(bundle, "a dog").assistant.chat()
    assert chat.ask("which?", request=held(Choice(["a cat"]))).text == "a cat"
    assert chat.ask("and?").text == "a dog"


def test_every_answer_begins_its_constraint_anew(bundle: Bundle) -> None:
    room = room_for(bundle, "yes")
    request = held(Choice(["yes", "no"]))
    assert [room.assistant.ask("is it?", request=request).text for _ in range(3)] == ["yes"] * 3


def test_a_constraint_of_a_raw_prompt_holds_too(bundle: Bundle) -> None:
    assert room_for(bundle, "nonsense").assistant.raw("x", request=held(Choice(["yes"]))).answer.text == "yes"


def prefilled(room: Room) -> int:
    return len(room.fed)


def test_what_cannot_be_compiled_is_told_before_the_prompt_is_read(bundle: Bundle) -> None:
    room = room_for(bundle, "a")
    with pytest.raises(EdgeVLError, match="EVL-CONSTRAINT-SCHEMA"):
        room.assistant.ask("what?", request=held(JsonSchema('{"type": "strange"}')))
    assert prefilled(room) == 0
    assert room.assistant.ask("what?").text == "a", "the assistant answers the next question"


def test_an_answer_that_gets_stuck_leaves_an_assistant_that_answers(bundle: Bundle) -> None:
    room = room_for(bundle, "aaaaaaaa")
    with pytest.raises(EdgeVLError, match="EVL-CONSTRAINT-STUCK"):
        room.assistant.ask("what?", request=held(Regex("a?" * 1000 + "a" * 2000)))
    assert room.assistant.ask("what?").text == "aaaaaaaa"


def test_answers_without_a_constraint_need_no_library(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    room = room_for(bundle, "a dog")
    assert room.assistant.ask("what?").text == "a dog"
    with pytest.raises(EdgeVLError, match="EVL-CONSTRAINT-MISSING"):
        room.assistant.ask("what?", request=held(Choice(["a"])))


def test_the_vocabulary_is_made_once_and_only_where_it_is_needed(bundle: Bundle) -> None:
    room = room_for(bundle, "a")
    room.assistant.ask("what?")
    assert "vocabulary" not in vars(room.assistant)
    room.assistant.ask("what?", request=held(Choice(["a"])))
    made = room.assistant.vocabulary
    room.assistant.ask("what?", request=held(Choice(["b"])))
    assert room.assistant.vocabulary is made
