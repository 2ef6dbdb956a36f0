"""Whose pages may call this server."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.listener.origins import only_own_origins
from tests.edge_runtime.server.listener.asking import App, Rejections, Reply, ask

FRIEND = "https://app.example:8443"
NONE: Mapping[str, str] = {}


def asked(headers: Mapping[str, str] = NONE, method: str = "POST", origins: tuple[str, ...] = ()) -> Reply:
    app = only_own_origins(App(), origins, Rejections().refuse)
    return ask(app, "/v1/chat/completions", method, headers)


def test_clients_that_are_no_page_may_do_everything() -> None:
    assert asked().status == 200


@pytest.mark.parametrize("host", ["localhost:8080", "camera.local"])
def test_pages_of_this_server_may_do_everything(host: str) -> None:
    headers = {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
    assert asked(headers).status == 200


def test_the_usual_port_need_not_be_said() -> None:
    assert asked({"host": "camera.local:443", "origin": "https://camera.local"}).status == 200
    assert asked({"host": "camera.local", "origin": "https://camera.local:443"}).status == 200
    assert asked({"host": "camera.local:443", "origin": "http://camera.local"}).status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "Cross-Site"])
def test_pages_of_other_sites_may_not_post(site: str) -> None:
    reply = asked({"sec-fetch-site": site})
    assert (reply.status, reply.error["code"], reply.error["type"]) == (
        403,
        "cross_origin",
        "permission_error",
    )


@pytest.mark.parametrize(
    "origin",
    (
        "https://evil.example http://localhost:3000 http://localhost null localhost:8080 file://"
        " http://localhost:8080.evil.example http://localhost:8080/"
    ).split(),
)
def test_other_origins_may_not_post(origin: str) -> None:
    assert asked({"origin": origin}).status == 403


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "ODD"])
def test_other_origins_may_not_do_anything_but_read(method: str) -> None:
    assert asked({"origin": "https://evil.example"}, method).status == 403


def test_a_link_from_elsewhere_may_be_followed() -> None:
    reply = asked({"sec-fetch-site": "cross-site"}, "GET")
    assert reply.status == 200
    assert not [name for name in reply.headers if name.startswith("access-control")]


def test_nobody_is_told_anything_by_default() -> None:
    reply = asked({"origin": FRIEND, "access-control-request-method": "POST"}, "OPTIONS")
    assert reply.status == 403
    assert not [name for name in reply.headers if name.startswith("access-control")]


def test_an_allowed_origin_may_post_and_read_the_answer() -> None:
    reply = asked(
        {"origin": FRIEND, "sec-fetch-site": "cross-site"}, origins=("https://other.example", FRIEND)
    )
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, FRIEND)
    assert reply.headers["vary"] == "origin"


def test_no_origin_is_ever_given_credentials_or_a_wildcard() -> None:
    for method in ("GET", "POST", "OPTIONS"):
        headers = {"origin": FRIEND, "access-control-request-method": "POST"}
        reply = asked(headers, method, (FRIEND,))
        assert "access-control-allow-credentials" not in reply.headers
        assert "*" not in " ".join(reply.headers.values())


def test_an_allowed_origin_does_not_open_the_door_to_others() -> None:
    for origin in ("https://app.example", "http://app.example:8443", FRIEND + ".evil.example", "null"):
        reply = asked({"origin": origin}, origins=(FRIEND,))
        assert reply.status == 403
        assert "access-control-allow-origin" not in reply.headers
        assert reply.headers["vary"] == "origin"


def test_two_origins_are_nobodys() -> None:
    app = only_own_origins(App(), (FRIEND,), Rejections().refuse)
    assert ask(app, method="POST", headers=[("origin", FRIEND), ("origin", FRIEND)]).status == 403


def test_a_preflight_of_an_allowed_origin_is_answered_here() -> None:
    headers = {
        "origin": FRIEND,
        "access-control-request-method": "POST",
        "access-control-request-headers": "Authorization, content-type,x-stainless-os, x-evil, cookie",
    }
    app = App()
    reply = ask(only_own_origins(app, (FRIEND,), Rejections().refuse), method="OPTIONS", headers=headers)
    assert (reply.status, reply.headers["access-control-allow-origin"], reply.body) == (204, FRIEND, b"")
    assert reply.headers["access-control-allow-headers"] == "authorization, content-type, x-stainless-os"
    assert reply.headers["access-control-allow-methods"] == "GET, POST"
    assert app.scopes == []


@pytest.mark.parametrize(
    "origin", ["*", "https://*.example", "app.example", "https://a/b", "null", "https://a/", ""]
)
def test_what_is_no_origin_is_refused_at_the_start(origin: str) -> None:
    with pytest.raises(EdgeVLError, match="EVL-SERVE-ORIGIN"):
        asked(origins=(origin,))
