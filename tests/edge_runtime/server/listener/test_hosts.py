"""The names this server answers to."""

from __future__ import annotations

import pytest

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.listener.hosts import only_own_hosts
from tests.edge_runtime.server.listener.asking import App, Rejections, Reply, ask

OWN = ("Camera.local", "192.168.1.5", "0.0.0.0", "::")


def asked(host: str, server: tuple[str, int | None] = ("127.0.0.1", 8080)) -> Reply:
    app = only_own_hosts(App(), OWN, Rejections().refuse)
    return ask(app, headers={"host": host}, changed={"server": server})


@pytest.mark.parametrize(
    "host",
    (
        "localhost LOCALHOST:8080 127.0.0.1 127.0.0.1:1 [::1] [::1]:8080 [0:0::1]:80 camera.local"
        " camera.LOCAL:443 192.168.1.5:8080"
    ).split(),
)
def test_own_names_are_answered_at_any_port(host: str) -> None:
    assert asked(host).status == 200


@pytest.mark.parametrize(
    "host",
    (
        "evil.example evil.example:8080 localhost.evil.example 127.0.0.1.evil.example 0.0.0.0:8080 [::]"
        " 0x7f000001 2130706433 127.1 [::2] localhost. 192.168.1.6"
    ).split(),
)
def test_other_names_are_misdirected(host: str) -> None:
    reply = asked(host)
    assert (reply.status, reply.error["code"]) == (421, "unknown_host")


def test_the_address_that_the_client_reached_is_its_servers_name() -> None:
    assert asked("10.1.2.3:8080", server=("10.1.2.3", 8080)).status == 200
    assert asked("[2001:db8:0::7]", server=("2001:db8::7", 8080)).status == 200
    assert asked("10.1.2.3", server=("::ffff:10.1.2.3", 8080)).status == 200
    assert asked("10.1.2.4", server=("10.1.2.3", 8080)).status == 421


def test_behind_a_unix_socket_there_is_no_reached_address() -> None:
    assert asked("localhost", server=("/run/socket", None)).status == 200
    assert asked("10.1.2.3", server=("/run/socket", None)).status == 421


@pytest.mark.parametrize(
    "host",
    ["", "a b", "localhost:", "localhost:x", "localhost:99999", "user@localhost", "[::1", "[localhost]"],
)
def test_what_is_no_host_is_a_bad_request(host: str) -> None:
    assert (asked(host).status, asked(host).error["code"]) == (400, "missing_host")


def test_no_host_and_two_hosts_are_a_bad_request() -> None:
    app, rejections = App(), Rejections()
    guarded = only_own_hosts(app, (), rejections.refuse)
    assert ask(guarded, headers=[("host", "localhost"), ("host", "evil.example")]).status == 400
    assert ask(guarded, changed={"headers": []}).status == 400
    assert rejections.codes == ["missing_host", "missing_host"]
    assert app.scopes == []


@pytest.mark.parametrize("name", ["*", "*.local", "a:80", "http://a", "a/b", "", "-a", "a..b", "x" * 64])
def test_a_name_that_cannot_be_one_is_refused_at_the_start(name: str) -> None:
    with pytest.raises(EdgeVLError, match="EVL-SERVE-HOST-NAME"):
        only_own_hosts(App(), (name,), Rejections().refuse)
