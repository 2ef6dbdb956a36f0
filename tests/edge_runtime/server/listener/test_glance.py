"""What a glance at the first bytes of a connection says."""

from __future__ import annotations

import pytest

from edge_runtime.server.listener.glance import MOST_BYTES, Glance, Glancer

PATH = "/v1/chat/completions"
GLANCER = Glancer((PATH, "/v1/responses"))
HEAD = (f"POST {PATH} HTTP/1.1", "Host: localhost:8080", "Content-Length: 12")


def glance(*lines: str, end: str = "\r\n", rest: bytes = b"") -> Glance | None:
    return GLANCER.glance(end.join([*lines, "", ""]).encode("latin-1") + rest)


def test_a_plain_head_tells_all_that_decides() -> None:
    assert glance(*HEAD) == Glance(PATH, b"localhost:8080", None, None)
    more = ("authorization:Bearer abc \t", "X-REQUEST-ID: mine", "Accept: */*", "X-Odd: caf\xe9")
    assert glance(*HEAD, *more) == Glance(PATH, b"localhost:8080", b"Bearer abc", b"mine")


def test_a_body_behind_it_changes_nothing() -> None:
    body = b"\r\nOrigin: x\r\n\0 \n \r\n\r\n"
    assert glance(*HEAD, rest=body) == glance(*HEAD)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(("POST /tokenize HTTP/1.1", *HEAD[1:]), id="another path"),
        pytest.param((f"POST {PATH} HTTP/1.0", *HEAD[1:]), id="another version"),
        pytest.param((f"POST {PATH}?a=1 HTTP/1.1", *HEAD[1:]), id="with a query"),
        pytest.param((f"GET {PATH} HTTP/1.1", *HEAD[1:]), id="another method"),
        pytest.param((HEAD[0], HEAD[2]), id="no host"),
        pytest.param((*HEAD, "Host: other"), id="two hosts"),
        pytest.param((*HEAD, "host: localhost:8080"), id="one host twice"),
        pytest.param((HEAD[0], "Host : localhost", HEAD[2]), id="a space before the colon"),
        pytest.param((*HEAD, "Origin : https://a"), id="a space before another colon"),
        pytest.param(HEAD[:2], id="no length"),
        pytest.param((*HEAD[:2], "Content-Length: 0"), id="no body"),
        pytest.param((*HEAD[:2], "Content-Length: 1x"), id="no number"),
        pytest.param((*HEAD[:2], "Content-Length: +12"), id="a sign"),
        pytest.param((*HEAD, "Content-Length: 12"), id="two lengths"),
        pytest.param((*HEAD, "Transfer-Encoding: chunked"), id="length and chunks"),
        pytest.param((*HEAD, "Origin: https://own.example"), id="from a page"),
        pytest.param((*HEAD, "Sec-Fetch-Site: cross-site"), id="from a page without an origin"),
        pytest.param((*HEAD, "Expect: 100-continue"), id="waiting to be asked"),
        pytest.param((*HEAD, "Upgrade: h2c"), id="another protocol"),
        pytest.param((*HEAD, "traceparent: 00-0-0-0"), id="traced"),
        pytest.param((*HEAD, "Authorization: a", "Authorization: b"), id="two keys"),
        pytest.param((*HEAD, "Authorization: a", " folded"), id="folded"),
        pytest.param((*HEAD, "Accept: a\nOrigin: https://a"), id="a bare line feed"),
        pytest.param((*HEAD, "Accept: a\rOrigin: https://a"), id="a bare return"),
        pytest.param((*HEAD, "Accept: \0"), id="a zero"),
        pytest.param((*HEAD, "no colon"), id="no colon"),
        pytest.param((*HEAD, *["A: b"] * 40), id="many lines"),
        pytest.param((*HEAD, "A: " + "b" * MOST_BYTES), id="a long line"),
    ],
)
def test_what_is_not_plain_is_left_to_the_parser(lines: tuple[str, ...]) -> None:
    assert glance(*lines) is None


def test_a_head_that_is_not_whole_is_left_to_the_parser() -> None:
    whole = "\r\n".join([*HEAD, "", ""]).encode()
    assert GLANCER.glance(whole) is not None
    assert not any(GLANCER.glance(whole[:size]) for size in range(len(whole)))
    assert glance(*HEAD, end="\n", rest=b"\r\n\r\n") is None
