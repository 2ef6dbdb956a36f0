"""Data addresses: RFC 2397, read strictly."""

from __future__ import annotations

import base64
import contextlib
import time
import tracemalloc

import pytest

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.images.data_url import CHUNK_CHARACTERS, KINDS, file_from_data_url

MOST = 2**20
FILE = bytes(range(256)) * 3 + b"\xfb\xff"  # 770 bytes: one padding character, and both + and / in it
TEXT = base64.b64encode(FILE).decode()


def refusal(url: str, most_bytes: int = MOST) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        file_from_data_url(url, most_bytes)
    return caught.value


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_picture_of_a_kind_that_can_be_read_is_decoded(kind: str) -> None:
    assert file_from_data_url(f"data:{kind};base64,{TEXT}", MOST) == FILE


@pytest.mark.parametrize(
    "head",
    ["DATA:image/png;base64", "data:IMAGE/PNG;base64", "data:image/png;BASE64", "data:image/Jpeg;Base64"],
)
def test_scheme_kind_and_base64_may_be_in_capitals(head: str) -> None:
    assert file_from_data_url(f"{head},{TEXT}", MOST) == FILE


@pytest.mark.parametrize("parameter", ["charset=utf-8", "name=a%20b.png", "a=b;c=d"])
def test_parameters_before_base64_are_ignored(parameter: str) -> None:
    assert file_from_data_url(f"data:image/png;{parameter};base64,{TEXT}", MOST) == FILE


def test_the_three_escapes_that_base64_can_need_are_undone() -> None:
    assert {"+", "/", "="} < set(TEXT)
    for code in ("%2B %2F %3D", "%2b %2f %3d"):
        plus, slash, equals = code.split()
        escaped = TEXT.replace("+", plus).replace("/", slash).replace("=", equals)
        assert file_from_data_url(f"data:image/png;base64,{escaped}", MOST) == FILE


@pytest.mark.parametrize("length", [1, 2, 3, CHUNK_CHARACTERS // 4 * 3 - 1, CHUNK_CHARACTERS, 700_001])
def test_files_of_any_length_come_back_whole(length: int) -> None:
    data = bytes(turn * 7 % 256 for turn in range(length))
    assert file_from_data_url("data:image/png;base64," + base64.b64encode(data).decode(), MOST) == data


def test_no_data_are_no_bytes() -> None:
    assert file_from_data_url("data:image/png;base64,", MOST) == b""


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/octet-stream", "image/svg+xml", "image/avif", ""]
)
def test_another_kind_or_none_is_refused_however_good_the_bytes(kind: str) -> None:
    error = refusal(f"data:{kind};base64,{TEXT}")
    assert error.code == "EVL-IMAGE-FORMAT"
    assert "data:image/png;base64," in error.fix


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("data:image/png;base64" + TEXT.replace("/", ""), id="no comma"),
        pytest.param("data:image/png;" + "a=b;" * 100 + "base64,", id="the comma far away"),
        pytest.param("data:image/png," + TEXT, id="no base64"),
        pytest.param("data:image/png;charset=utf-8," + TEXT, id="a parameter and no base64"),
        pytest.param("data:image/png;base64;charset=utf-8," + TEXT, id="base64 before a parameter"),
        pytest.param("data:image/png;base64;base64," + TEXT, id="base64 twice"),
        pytest.param("data:image/png;base32," + TEXT, id="base32"),
        pytest.param("data:image/png;;base64," + TEXT, id="an empty parameter"),
        pytest.param("data: image/png;base64," + TEXT, id="a space before the kind"),
        pytest.param("data:image/png; base64," + TEXT, id="a space before base64"),
        pytest.param("data:image/png;base64 ," + TEXT, id="a space before the comma"),
        pytest.param("data://image/png;base64," + TEXT, id="slashes"),
        pytest.param("data:image;base64," + TEXT, id="half a kind"),
        pytest.param("data:image/png/x;base64," + TEXT, id="more than a kind"),
        pytest.param("data:image/pñg;base64," + TEXT, id="a kind outside ASCII"),
        pytest.param("data:image/png;base64, " + TEXT[:-1], id="a space before the data"),
        pytest.param("data:image/png;base64," + TEXT[:40] + " " + TEXT[41:], id="a space in the data"),
        pytest.param("data:image/png;base64," + TEXT[:76] + "\r\n" + TEXT[78:], id="a line break"),
        pytest.param("data:image/png;base64," + TEXT[:-4] + "QQ=\n", id="a line break at the end"),
        pytest.param("data:image/png;base64," + TEXT[:400] + "!" + TEXT[401:], id="a junk character"),
        pytest.param("data:image/png;base64," + TEXT[:400] + "\0" + TEXT[401:], id="a zero"),
        pytest.param("data:image/png;base64," + TEXT[:400] + "é" + TEXT[401:], id="a letter outside ASCII"),
        pytest.param("data:image/png;base64," + TEXT[:400] + "\ud800" + TEXT[401:], id="half a surrogate"),
        pytest.param("data:image/png;base64," + "Ａ" * 8, id="a wide A"),
        pytest.param("data:image/png;base64," + TEXT.replace("+", "-").replace("/", "_"), id="web-safe"),
        pytest.param("data:image/png;base64," + TEXT.rstrip("="), id="no padding"),
        pytest.param("data:image/png;base64," + TEXT[:-4] + "Q===", id="too much padding"),
        pytest.param("data:image/png;base64,====", id="padding alone"),
        pytest.param("data:image/png;base64,QQ==QQ==", id="padding in between"),
        pytest.param("data:image/png;base64," + TEXT[:-3], id="cut short"),
        pytest.param("data:image/png;base64,%51%51%3D%3D", id="letters escaped"),
        pytest.param("data:image/png;base64," + TEXT + "#top", id="a fragment"),
        pytest.param("data:image/png;base64," + TEXT[:40] + "%2" + TEXT[42:], id="half an escape"),
    ],
)
def test_what_departs_from_the_form_is_refused(url: str) -> None:
    error = refusal(url)
    assert error.code == "EVL-IMAGE-URL"
    assert error.fix == "write it as data:image/png;base64,iVBORw0..."


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_are_named_however_long_they_are_in_sum(end: str) -> None:
    for width in (64, 76):
        lines = end.join(TEXT[at : at + width] for at in range(0, len(TEXT), width))
        for text in (lines, lines + end, lines[:-1]):
            assert "line breaks" in refusal("data:image/png;base64," + text).why
    assert "cut short" in refusal("data:image/png;base64," + TEXT[:-3]).why


def test_padding_in_between_is_named() -> None:
    for text in ("QQ==QQ==", "QQ=A", "A" * CHUNK_CHARACTERS + "QQ==QUFB", "===="):
        assert "behind its padding" in refusal("data:image/png;base64," + text).why, text
    assert "other characters" in refusal("data:image/png;base64,QQ==Q!==").why


def test_one_percent_of_junk_is_refused() -> None:
    junk = "".join("\x07" if at % 100 == 99 else character for at, character in enumerate(TEXT[:1000]))
    assert refusal("data:image/png;base64," + junk).code == "EVL-IMAGE-URL"


def test_junk_after_the_first_chunk_is_found() -> None:
    text = "A" * (2 * CHUNK_CHARACTERS)
    assert refusal(f"data:image/png;base64,{text[:-1]}*").code == "EVL-IMAGE-URL"
    assert refusal(f"data:image/png;base64,{'A' * (CHUNK_CHARACTERS - 1)}={text}").code == "EVL-IMAGE-URL"


def test_a_file_over_the_limit_is_refused_before_it_is_decoded() -> None:
    assert file_from_data_url("data:image/png;base64," + TEXT, len(FILE)) == FILE
    error = refusal("data:image/png;base64," + "*" * 4000, 2999)  # not even looked at
    assert (error.code, error.why) == ("EVL-IMAGE-BOMB", "3000 bytes, the limit is 2999")


def test_12_mib_take_their_own_memory_twice_at_most() -> None:
    data = bytes(12 * 2**20)
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    tracemalloc.start()
    try:
        assert file_from_data_url(url, 2**24) == data
        assert tracemalloc.get_traced_memory()[1] < 2.1 * len(data)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("filling", ["%", "%2B", "%2", "=", ";a=b", ",", "A" * 64, "\ud800"])
def test_16_mib_of_anything_are_done_with_in_little_time(filling: str) -> None:
    tail = (filling * (2**24 // len(filling) + 1))[: 2**24]
    start = time.process_time()
    for head in ("data:image/png;base64,", "data:image/png;", "data:"):
        with contextlib.suppress(EdgeVLError):  # some of it is base64
            file_from_data_url(head + tail, 2**24)
    assert time.process_time() - start < 2.5
