"""A name for every request."""

from __future__ import annotations

import re

import pytest

from edge_runtime.server.listener.request_id import named
from tests.edge_runtime.server.listener.asking import App, ask

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_sober_name_of_the_clients_own_is_kept_and_sent_back() -> None:
    app = App()
    assert ask(named(app), headers={"x-request-id": "job_7-a"}).headers["x-request-id"] == "job_7-a"
    assert app.scopes[0]["state"]["request_id"] == "job_7-a"


@pytest.mark.parametrize("given", ["a\nb", "", "x" * 65, "a b", "ä", "../x", '"'])
def test_any_other_name_is_replaced(given: str) -> None:
    app = App()
    reply = ask(named(app), headers={"x-request-id": given})
    assert re.fullmatch("[0-9a-f]{32}", reply.headers["x-request-id"])
    assert app.scopes[0]["state"]["request_id"] == reply.headers["x-request-id"]


def test_two_requests_without_a_name_get_two() -> None:
    app = named(App())
    assert ask(app).headers["x-request-id"] != ask(app).headers["x-request-id"]


def test_two_names_are_none() -> None:
    reply = ask(named(App()), headers=[("x-request-id", "one"), ("x-request-id", "two")])
    assert reply.headers["x-request-id"] not in ("one", "two")


def test_the_app_cannot_send_another_name() -> None:
    reply = ask(named(App(headers=[(b"X-Request-Id", b"other")])), headers={"x-request-id": "mine"})
    assert [value for name, value in reply.raw if name.lower() == "x-request-id"] == ["mine"]


def test_a_valid_trace_is_passed_back() -> None:
    app = App()
    assert ask(named(app), headers={"traceparent": TRACE}).headers["traceparent"] == TRACE
    assert app.scopes[0]["state"]["traceparent"] == TRACE


@pytest.mark.parametrize(
    "given", ["", "00-1-2-3", TRACE.upper(), "ff" + TRACE[2:], "00-" + "0" * 32 + TRACE[35:], TRACE + "-x"]
)
def test_an_invalid_trace_is_not(given: str) -> None:
    assert "traceparent" not in ask(named(App()), headers={"traceparent": given}).headers
