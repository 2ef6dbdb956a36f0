"""What goes wrong has a status, a code and words that tell nothing of this machine."""

from __future__ import annotations

import asyncio
import re

import pytest

from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.prompt import PromptTokens, check_fits
from edge_runtime.server.admission import Admission
from edge_runtime.server.http.errors import AWAY_TEXT, OURS_TEXT, fault_of
from tests.edge_runtime.server.http.asgi import Asker, Reply, call
from tests.edge_runtime.server.http.house import (
    CHAT,
    COMPLETIONS,
    RESPONSES,
    House,
    chat,
    completion,
    posted,
    response,
)

PRIVATE = re.compile(r"0x[0-9a-f]{6,}|/home|/usr|/tmp|\.py")
TELLTALE = "in /home/me/bundle/decoder.onnx at 0x7f00deadbeef, see /usr/lib/x.py, /tmp/y or session.py:12"


def failing(error: EdgeVLError) -> House:
    house = House()
    house.engine.fault = error
    return house


def ours(code: str) -> EdgeVLError:
    return EdgeVLError(code, f"what {TELLTALE}", f"why {TELLTALE}", f"fix {TELLTALE}")


def machines(code: str) -> MachineFault:
    return MachineFault(code, f"what {TELLTALE}", f"why {TELLTALE}", f"fix {TELLTALE}")


def test_a_context_that_is_too_small_is_told_with_both_numbers() -> None:
    with pytest.raises(EdgeVLError) as caught:
        check_fits(PromptTokens((1,) * 200, ((0, 0),), 150), 100, 256)
    error = posted(CHAT, chat(), failing(caught.value)).json["error"]
    assert error["code"] == "context_length_exceeded"
    assert error["type"] == "invalid_request_error"
    assert "300" in error["message"]
    assert "256" in error["message"]
    assert "150" in error["message"]  # of images


@pytest.mark.parametrize(
    ("code", "param"),
    [
        ("EVL-IMAGE-BROKEN", "messages"),
        ("EVL-SAMPLING-TOP-P", "top_p"),
        ("EVL-CONSTRAINT-SCHEMA", None),
        ("EVL-PROMPT-IMAGES", "messages"),
        ("EVL-TEXT-UNICODE", "messages"),
        ("EVL-STOP-STRINGS", "stop"),
    ],
)
def test_what_the_asker_can_mend_is_theirs(code: str, param: str | None) -> None:
    reply = posted(CHAT, chat(), failing(ours(code)))
    assert reply.status == 400
    assert (reply.json["error"]["code"], reply.json["error"]["param"]) == (code, param)
    assert reply.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("code", ["EVL-LOGITS-NONFINITE", "EVL-IMAGE-MEMORY", "EVL-GPU-FAULT"])
def test_what_the_machine_did_is_the_servers(code: str) -> None:
    reply = posted(CHAT, chat(), failing(machines(code)))
    assert reply.status == 500
    assert reply.json["error"] == {"message": OURS_TEXT, "type": "server_error", "param": None, "code": code}


def test_a_mistake_of_whoever_set_the_server_up_is_the_servers() -> None:
    assert posted(CHAT, chat(), failing(ours("EVL-BUNDLE-HASH"))).status == 500


@pytest.mark.parametrize("code", ["EVL-ENGINE-RESTARTING", "EVL-ENGINE-STOPPING"])
def test_an_engine_that_went_away_is_to_be_asked_again(code: str) -> None:
    reply = posted(CHAT, chat(), failing(machines(code)))
    assert reply.status == 503
    assert reply.json["error"]["code"] == "engine_restarting"
    assert reply.json["error"]["message"] == AWAY_TEXT
    assert int(reply.headers["retry-after"]) * 1000 >= int(reply.headers["retry-after-ms"]) > 0
    assert "x-should-retry" not in reply.headers


def test_before_the_first_worker_nothing_is_answered_and_nothing_breaks() -> None:
    house = House()
    house.engine.facts = None
    for path, body in ((CHAT, chat()), ("/v1/completions", {}), ("/tokenize", {}), ("/detokenize", {})):
        assert posted(path, body, house).status == 503
    assert asyncio.run(call(house.app, "GET", "/v1/models")).status == 503


def test_an_engine_without_room_says_when_there_will_be_some() -> None:
    reply = posted(CHAT, chat(), failing(ours("EVL-LOOP-FULL")))
    assert reply.status == 429
    assert reply.json["error"]["type"] == "rate_limit_error"
    assert int(reply.headers["retry-after"]) >= 1


def test_a_house_that_is_full_refuses_at_the_door() -> None:
    house = House(admission=Admission(slots=1, waiting=0, tokens=10_000))

    async def two() -> tuple[Reply, Reply]:
        house.engine.gate.clear()
        first = asyncio.ensure_future(house.post(CHAT, chat()))
        while not house.engine.asked:
            await asyncio.sleep(0)
        second = await house.post(CHAT, chat())
        house.engine.gate.set()
        return await first, second

    first, second = asyncio.run(two())
    assert (first.status, second.status) == (200, 429)
    assert second.json["error"]["code"] == "EVL-ADMISSION-FULL"
    assert int(second.headers["retry-after"]) >= 1
    assert len(house.engine.asked) == 1
    assert house.counted("edgevl_requests_rejected_total", reason="queue_full") == 1


def test_nothing_of_this_machine_is_told_whatever_goes_wrong() -> None:
    codes = [f"EVL-{word}" for word in ("IMAGE-BROKEN", "CONTEXT-OVERFLOW", "LOOP-FULL", "BUNDLE-HASH", "X")]
    for error in (*map(ours, codes), *map(machines, codes), ValueError(TELLTALE), OSError(2, TELLTALE)):
        assert not PRIVATE.search(fault_of(error).data.decode())


def test_addresses_of_the_api_are_no_secret() -> None:
    reply = posted("/v1/nothing", {})
    assert reply.status == 404
    assert "/openapi.json" in reply.json["error"]["message"]


def test_a_bug_of_ours_is_a_500_and_comes_out_behind_it_for_the_log() -> None:
    house = House()

    async def burst(urls: object) -> tuple[bytes, ...]:
        raise ZeroDivisionError(TELLTALE)

    house.images.files = burst  # type: ignore[method-assign]
    reply = posted(CHAT, chat(), house)
    assert reply.status == 500
    assert reply.json["error"]["message"] == OURS_TEXT
    assert isinstance(reply.raised, ZeroDivisionError)


def test_a_method_that_is_not_allowed_is_told_with_those_that_are() -> None:
    reply = asyncio.run(call(House().app, "DELETE", CHAT))
    assert (reply.status, reply.headers["allow"]) == (405, "POST")
    assert reply.json["error"]["type"] == "invalid_request_error"


def test_whoever_leaves_in_the_middle_of_their_request_asked_nothing() -> None:
    house = House()

    async def leave() -> Reply:
        return await house.post(CHAT, chat(), asker=Asker(has_gone=True))

    reply = asyncio.run(leave())
    assert (reply.status, reply.raised) == (499, None)
    assert house.engine.asked == []


def test_what_was_turned_away_before_it_was_a_question_is_counted_apart() -> None:
    house = failing(ours("EVL-IMAGE-BROKEN"))
    posted(CHAT, chat(), house)
    assert house.counted("edgevl_requests_rejected_total", reason="bad_request") == 0
    assert house.counted("edgevl_requests_failed_total", code="EVL-IMAGE-BROKEN") == 1
    posted(CHAT, [], house)
    house.images.fault = ours("EVL-IMAGE-BROKEN")
    posted(CHAT, chat(), house)
    assert house.counted("edgevl_requests_rejected_total", reason="bad_request") == 2
    assert house.counted("edgevl_requests_total", finish_reason="error") == 1


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [(CHAT, chat(), "messages"), (COMPLETIONS, completion(), "prompt"), (RESPONSES, response(), "input")],
)
def test_the_field_that_has_the_question_is_named(path: str, body: object, field: str) -> None:
    reply = posted(path, body, failing(ours("EVL-CONTEXT-OVERFLOW")))
    assert reply.json["error"]["param"] == field


def test_a_route_of_this_server_is_told_and_a_folder_that_begins_like_one_is_not() -> None:
    fix = "send what /tokenize gives, not what lies in /tokenize/keys or /tokenizers"
    told = fault_of(EdgeVLError("EVL-TOKEN-IDS", "no tokens", "too large", fix)).message
    assert told.endswith("send what /tokenize gives, not what lies in \u2026 or \u2026")
