"""Pictures from another host: a real one on loopback, and hosts that lie, stall and talk too much."""

from __future__ import annotations

import asyncio
import ssl
import time

import pytest

from tests.edge_runtime.server.images.far_host import (
    BODY,
    HOST,
    MOST,
    URL,
    Certificate,
    FarHost,
    answer,
    fetched,
    network_to,
    pictures,
    refusal,
)

# -- what is fetched ---------------------------------------------------------------------------


def test_a_picture_is_fetched_with_one_plain_question(certificate: Certificate) -> None:
    far = FarHost([answer(BODY)])
    assert fetched(far, certificate) == BODY
    lines = far.asked[0].decode().split("\r\n")
    assert lines[0] == "GET /folder/name.png?size=2 HTTP/1.1"
    assert set(lines[1:-2]) == {
        "Host: pictures.example",
        "Accept: image/*",
        "Accept-Encoding: identity",
        "User-Agent: edge-vl",
        "Connection: close",
    }


def test_the_host_is_told_its_name_when_the_connection_begins(certificate: Certificate) -> None:
    told: list[str | None] = []

    async def run() -> None:
        proof = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        proof.load_cert_chain(certificate.file, certificate.key)
        proof.sni_callback = lambda _socket, name, _context: told.append(name)
        far = FarHost([answer(BODY)])
        server = await asyncio.start_server(far.met, "127.0.0.1", 0, ssl=proof)
        async with server:
            port = server.sockets[0].getsockname()[1]
            await pictures(network_to(port, certificate)).file(URL)

    asyncio.run(run())
    assert told == [HOST]


@pytest.mark.parametrize(
    "said",
    [
        answer(b"24\r\n" + BODY + b"\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
        answer(b"10\r\n" + BODY[:16] + b"\r\n14;x=y\r\n" + BODY[16:] + b"\r\n0\r\n\r\n", "transfer-encoding: Chunked"),
        b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n" + BODY,
        b"HTTP/1.0 200 OK\r\ncontent-type: IMAGE/JPEG; q=1\r\n\r\n" + BODY,
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + answer(BODY, "Content-Encoding: identity"),
    ],
    ids=["chunks", "two chunks", "to the end of the connection", "an old host", "hints before"],
)  # fmt: skip
def test_every_way_of_saying_where_the_picture_ends_is_understood(
    certificate: Certificate, said: bytes
) -> None:
    assert fetched(FarHost([said]), certificate) == BODY


def test_bytes_may_come_one_by_one(certificate: Certificate) -> None:
    said = answer(BODY)
    assert fetched(FarHost([bytes([byte]) for byte in said]), certificate) == BODY


def test_a_host_that_keeps_the_connection_is_left_at_once(certificate: Certificate) -> None:
    start = time.perf_counter()
    assert fetched(FarHost([answer(BODY)], stays=True), certificate) == BODY
    assert time.perf_counter() - start < 10


def test_the_next_address_is_tried_where_one_takes_no_connection(certificate: Certificate) -> None:
    async def run() -> bytes:
        far = FarHost([answer(BODY)])
        async with far.open(certificate):
            network = network_to(far.port, certificate, ["127.0.0.2", "::1", "127.0.0.1"])
            return await pictures(network).file(URL)

    assert asyncio.run(run()) == BODY


# -- what is refused for what the host says ----------------------------------------------------


@pytest.mark.parametrize(
    "status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "304 Not"]
)
def test_pointers_elsewhere_are_not_followed(certificate: Certificate, status: str) -> None:
    far = FarHost([answer(BODY, f"Location: https://{HOST}/other.png", status=status)])
    error = refusal(far, certificate)
    assert error.code == "EVL-IMAGE-FETCH"
    assert "not followed" in error.why
    assert far.came == 1


@pytest.mark.parametrize(
    "status", ["404 Not Found", "206 Partial Content", "204 No Content", "500 Oh", "999 x"]
)
def test_other_answers_are_no_pictures(certificate: Certificate, status: str) -> None:
    assert refusal(FarHost([answer(BODY, status=status)]), certificate).code == "EVL-IMAGE-FETCH"


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream", "imagery/png", "", "x; image/png"])
def test_what_the_host_does_not_call_a_picture_is_none(certificate: Certificate, kind: str) -> None:
    assert "calls its answer" in refusal(FarHost([answer(BODY, kind=kind)]), certificate).why


@pytest.mark.parametrize("coding", ["gzip", "br", "gzip, identity"])
def test_packed_answers_are_refused(certificate: Certificate, coding: str) -> None:
    assert "packed" in refusal(FarHost([answer(BODY, f"Content-Encoding: {coding}")]), certificate).why


def test_a_length_over_the_limit_is_refused_unread(certificate: Certificate) -> None:
    far = FarHost([answer(b"", f"Content-Length: {MOST + 1}")], stays=True)
    assert refusal(far, certificate).code == "EVL-IMAGE-BOMB"


@pytest.mark.parametrize("head", ["", "Transfer-Encoding: chunked\r\n"])
def test_a_flood_without_a_length_is_cut_at_the_limit(certificate: Certificate, head: str) -> None:
    begin = f"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n{head}\r\n".encode()
    piece = b"4000\r\n" + bytes(0x4000) + b"\r\n" if head else bytes(0x4000)
    far = FarHost([begin, *[piece] * 2000])  # 32 MB
    assert refusal(far, certificate).code == "EVL-IMAGE-BOMB"


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        answer(BODY)[:-1],
        answer(BODY[:-8], f"Content-Length: {len(BODY)}"),
        answer(b"24\r\n" + BODY, "Transfer-Encoding: chunked"),
        answer(b"zz\r\n" + BODY + b"\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
        answer(BODY, "Content-Length: -1"),
        answer(BODY, "Content-Length: " + "9" * 5000),
        answer(BODY, "Content-Length: 36", "Content-Length: 35"),
        answer(BODY, "Transfer-Encoding: gzip"),
        b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"a" * 20_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + BODY,
    ],
    ids=lambda said: repr(said[-12:]),
)
def test_an_answer_that_is_broken_off_or_no_http_is_refused(certificate: Certificate, said: bytes) -> None:
    assert refusal(FarHost([said]), certificate).code == "EVL-IMAGE-FETCH"


def test_headers_without_an_end_are_cut_long_before_the_deadline(certificate: Certificate) -> None:
    far = FarHost([b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n" * 2000] * 200], stays=True)
    start = time.perf_counter()
    assert refusal(far, certificate, deadline_s=30).code == "EVL-IMAGE-FETCH"
    assert time.perf_counter() - start < 20


@pytest.mark.parametrize(
    "far",
    [
        FarHost([], stays=True),
        FarHost([answer(BODY)[:30]], stays=True),
        FarHost([bytes([byte]) for byte in answer(BODY)], gap_s=0.1),
        FarHost([b"HTTP/1.1 102 Processing\r\n\r\n"] * 1000, gap_s=0.05),
    ],
    ids=["silent", "silent after a while", "drop by drop", "always about to begin"],
)
def test_a_slow_host_is_given_up_at_the_deadline(certificate: Certificate, far: FarHost) -> None:
    start = time.perf_counter()
    assert refusal(far, certificate, deadline_s=0.6).code == "EVL-IMAGE-FETCH"
    assert 0.5 < time.perf_counter() - start < 10
