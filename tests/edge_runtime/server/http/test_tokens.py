"""/tokenize and /detokenize."""

from __future__ import annotations

import pytest

from edge_runtime.server.asked import AskedTurn, Prompt
from tests.edge_runtime.server.fake_engine import FACTS, IMAGE_TOKENS, FakeEngine
from tests.edge_runtime.server.http.house import House, chat, picture_part, posted, text_part


def test_a_text_is_told_as_its_tokens() -> None:
    assert posted("/tokenize", {"prompt": "ab"}).json == {
        "count": 2,
        "max_model_len": FACTS.max_context,
        "tokens": [97, 98],
    }


def test_a_conversation_is_counted_with_its_images_and_without_fetching_them() -> None:
    house = House()
    body = chat([picture_part("https://example.com/a.png"), text_part("ab"), picture_part("data:x")])
    told = posted("/tokenize", {"messages": body["messages"], "model": "fake-vl"}, house).json
    assert told["count"] == len(told["tokens"]) == 2 + 2 * IMAGE_TOKENS


def test_what_was_asked_for_is_what_is_tokenized() -> None:
    class Remembering(FakeEngine):
        seen: Prompt | None = None

        async def ids_of(self, prompt: Prompt) -> list[int]:
            self.seen = prompt
            return []

    engine = Remembering()
    posted("/tokenize", {"messages": [{"role": "system", "content": "s"}, *_user("a")]}, House(engine=engine))
    assert engine.seen == Prompt((AskedTurn("user", "a"),), "s")


def _user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_tokens_are_told_as_their_text() -> None:
    assert posted("/detokenize", {"tokens": [72, 105]}).json == {"prompt": "Hi"}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"prompt": None}, "prompt"),
        ("/tokenize", {"prompt": 5}, "prompt"),
        ("/tokenize", {"prompt": "a", "messages": _user("a")}, None),
        ("/tokenize", {"messages": []}, "messages"),
        ("/tokenize", {"prompt": "a", "add_special_tokens": False}, "add_special_tokens"),
        ("/tokenize", {"prompt": "a", "return_token_strs": True}, "return_token_strs"),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": "ab"}, "tokens"),
        ("/detokenize", {"tokens": [-1]}, "tokens.0"),
        ("/detokenize", {"tokens": ["a"]}, "tokens.0"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_its_name(
    path: str, body: dict[str, object], param: str | None
) -> None:
    reply = posted(path, body)
    assert reply.status == 400
    if param is not None:
        assert reply.json["error"]["param"] == param


@pytest.mark.parametrize("path", ["/tokenize", "/detokenize"])
def test_another_model_is_not_found(path: str) -> None:
    assert posted(path, {"model": "x", "prompt": "a", "tokens": []}).status == 404
