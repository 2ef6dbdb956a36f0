"""What is no clean JSON object never reaches the engine."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from edge_runtime.server.http.body import MOST_DEPTH, document_from
from edge_runtime.server.http.errors import RequestError
from tests.edge_runtime.server.fake_engine import FACTS
from tests.edge_runtime.server.http.asgi import Reply
from tests.edge_runtime.server.http.house import CHAT, House, chat, posted

BROKEN = {
    "a list": b"[]",
    "a number": b"42",
    "null": b"null",
    "a text": b'"x"',
    "nothing": b"",
    "half of it": b'{"model": "fake-vl"',
    "two": b"{} {}",
    "Latin-1": '{"model": "é"}'.encode("latin-1"),
    "UTF-16": '{"model": "x"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"model": "x"}',
    "20,000 lists": b'{"messages": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "20,000 objects": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    "a number of 5,000 digits": b'{"n": ' + b"9" * 5000 + b"}",
    "a fraction of 5,000 digits": b'{"n": 0.' + b"9" * 5000 + b"}",
    "a number beyond all": b'{"temperature": 1e999}',
    "no number": b'{"temperature": NaN}',
    "infinity": b'{"temperature": -Infinity}',
    "a key twice": b'{"model": "x", "model": "fake-vl"}',
    "a key twice inside": b'{"messages": [{"role": "user", "role": "system"}]}',
    "a lone surrogate": b'{"model": "fake-vl", "messages": [{"role": "user", "content": "\\ud800"}]}',
    "a lone surrogate as a key": b'{"\\udfff": 1}',
    "more values than anybody needs": b"[" + b"1," * 300_000 + b"1]",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_a_body_that_is_no_clean_object_is_refused(data: bytes) -> None:
    house = House()
    reply = posted(CHAT, data, house)
    assert reply.status == 400
    assert reply.json["error"]["code"] == "EVL-REQUEST-JSON"
    assert reply.headers["x-should-retry"] == "false"
    assert house.engine.asked == []


@pytest.mark.parametrize(
    "sent",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "",
        "application/json; charset=latin-1",
        "application/jsonp",
    ],
)
def test_another_type_of_body_is_refused_as_such(sent: str) -> None:
    async def post() -> Reply:
        return await House().post(CHAT, chat(), {"content-type": sent})

    reply = asyncio.run(post())
    assert reply.status == 415
    assert reply.json["error"]["code"] == "EVL-REQUEST-TYPE"


@pytest.mark.parametrize("sent", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_by_another_spelling_is_json(sent: str) -> None:
    async def post() -> Reply:
        return await House().post(CHAT, chat(), {"content-type": sent})

    assert asyncio.run(post()).status == 200


def test_a_text_may_hold_nul_and_whole_surrogate_pairs() -> None:
    house = House()
    data = b'{"model": "fake-vl", "messages": [{"role": "user", "content": "a\\u0000b \\ud83d\\ude42"}]}'
    assert posted(CHAT, data, house).status == 200
    assert house.engine.asked[0].prompt.turns[0].text == "a\x00b \U0001f642"


def test_a_million_combining_marks_arrive_as_they_are() -> None:
    house = House()
    house.engine.facts = replace(FACTS, max_context=1 << 20)
    text = "e" + "\u0301" * 1_000_000
    assert posted(CHAT, chat(text), house).status == 200
    assert house.engine.asked[0].prompt.turns[0].text == text


def test_what_is_deep_but_not_too_deep_is_read() -> None:
    inner = MOST_DEPTH - 1
    deep = b'{"a": ' + b"[" * inner + b"]" * inner + b"}"
    assert document_from(deep)["a"]
    with pytest.raises(RequestError, match=f"more than {MOST_DEPTH} deep"):
        document_from(deep.replace(b"[]", b"[[]]"))
