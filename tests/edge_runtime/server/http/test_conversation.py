"""From messages to turns."""

from __future__ import annotations

import pytest

from edge_runtime.server.asked import AskedTurn, Prompt
from tests.edge_runtime.server.http.asgi import Reply
from tests.edge_runtime.server.http.house import CHAT, House, picture_part, posted, text_part

Sent = dict[str, object]


def said(role: str, content: object, **more: object) -> Sent:
    return {"role": role, "content": content, **more}


def asked(*messages: Sent) -> Prompt:
    house = House()
    reply = posted(CHAT, {"model": "fake-vl", "messages": list(messages)}, house)
    assert reply.status == 200, reply.text
    return house.engine.asked[0].prompt


def refused(*messages: Sent) -> Reply:
    reply = posted(CHAT, {"model": "fake-vl", "messages": list(messages)})
    assert reply.status == 400, reply.text
    assert reply.json["error"]["param"].startswith("messages")
    return reply


def test_turns_alternate_as_they_were_sent() -> None:
    prompt = asked(said("user", "a"), said("assistant", "b"), said("user", "c", name="me"))
    assert prompt == Prompt((AskedTurn("user", "a"), AskedTurn("assistant", "b"), AskedTurn("user", "c")))


@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_first_message_of_the_systems_is_the_system_text(role: str) -> None:
    assert asked(said(role, [text_part("be"), text_part("kind")]), said("user", "a")).system == "be\nkind"


def test_an_empty_system_text_is_not_none() -> None:
    assert asked(said("system", ""), said("user", "a")).system == ""
    assert asked(said("user", "a")).system is None


def test_images_stand_before_the_texts_of_their_message_wherever_they_were_sent() -> None:
    parts = [text_part("left:"), picture_part(), text_part("right:"), picture_part()]
    assert asked(said("user", parts)).turns == (AskedTurn("user", "left:\nright:", 2),)


def test_messages_of_one_role_that_follow_each_other_are_joined() -> None:
    prompt = asked(
        said("user", [picture_part()]), said("user", "a"), said("user", [picture_part(), text_part("b")])
    )
    assert prompt.turns == (AskedTurn("user", "a\nb", 2),)


def test_what_the_assistant_refused_is_what_it_said() -> None:
    prompt = asked(
        said("user", "a"),
        said("assistant", None, refusal="no"),
        said("user", "b"),
        said("assistant", [{"type": "refusal", "refusal": "never"}], tool_calls=[]),
        said("user", "c"),
    )
    assert [turn.text for turn in prompt.turns] == ["a", "no", "b", "never", "c"]


@pytest.mark.parametrize(
    "messages",
    [
        [said("user", "a"), said("assistant", "b")],
        [said("assistant", "a"), said("user", "b")],
        [said("system", "a")],
        [said("user", "a"), said("system", "b")],
        [said("system", "a"), said("developer", "b"), said("user", "c")],
        [said("system", [picture_part()]), said("user", "a")],
        [said("user", "a"), said("assistant", [picture_part()]), said("user", "b")],
        [said("user", "a"), said("tool", "b", tool_call_id="x"), said("user", "c")],
        [said("function", "a", name="x")],
        [said("robot", "a")],
        [{"content": "a"}],
        [{"role": "user"}],
        [said("user", None)],
        [said("user", [])],
        [said("user", 5)],
        [said("user", ["a"])],
        [said("user", [{"type": "input_audio", "input_audio": {}}])],
        [said("user", [{"type": "text"}])],
        [said("user", [picture_part(5)])],
        [said("user", [picture_part("x", detail="closest")])],
        [said("user", "a"), said("assistant", "b", tool_calls=[{"id": "x"}]), said("user", "c")],
        ["a"],
        [None],
    ],
)
def test_what_the_model_was_never_trained_on_is_refused(messages: list[Sent]) -> None:
    refused(*messages)


def test_an_answer_is_not_taken_up_in_its_middle() -> None:
    reply = refused(said("user", "a"), said("assistant", "It is"))
    assert "taken up in its middle" in reply.json["error"]["message"]


def test_an_unknown_role_is_answered_with_those_there_are() -> None:
    assert (
        "'system', 'developer', 'user', 'assistant'" in refused(said("robot", "a")).json["error"]["message"]
    )
