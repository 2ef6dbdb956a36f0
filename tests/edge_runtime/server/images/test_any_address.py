"""Addresses that nobody would write: each is a picture or a refusal, whatever is switched on."""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.images.address import is_public_address
from edge_runtime.server.images.remote import Network
from edge_runtime.server.images.source import ImageRules, ImageSource
from tests.edge_runtime.test_picture import SMALL

OFTEN = settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
NAMED = frozenset({"pictures.example"})


def resolve(host: str) -> Sequence[str]:
    """Leads home: whatever is looked up must be refused then."""
    assert host in NAMED
    return ["127.0.0.1"]


OUTSIDE = Network(resolve, is_public_address, 9, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


def outcome(url: str, media_dir: Path) -> bytes | EdgeVLError:
    """Anything else that is raised fails the test."""
    rules = ImageRules(media_dir=media_dir, remote_hosts=NAMED)
    try:
        return asyncio.run(ImageSource(rules, OUTSIDE).file(url))
    except EdgeVLError as error:
        return error


def found(url: str, media_dir: Path) -> bytes | None:
    """The file, None where it is refused as it should be."""
    if isinstance(got := outcome(url, media_dir), bytes):
        return got
    assert got.exit_status == 2
    assert re.fullmatch(r"EVL-IMAGE-(URL|FORMAT|BROKEN|BOMB|FRAMES|FILE|REMOTE|FETCH)", got.code)
    assert not re.search(r"0x[0-9a-f]{4,}| object at |/home|/usr|/tmp|\.py\b|127\.", str(got))
    return None


@OFTEN
@given(st.text(max_size=60))
def test_any_text_is_refused(text: str) -> None:
    assert found(text, Path()) is None


PARTS = st.sampled_from(
    [
        *("pictures.example", "127.0.0.1", "[::1]", "evil.example", "@", ":", ":443", ":80", "/", "//", "\\", "?"),
        *("#", "%", "%00", "%2e", "%2f", "..", ".", " ", "\t", "\n", "\r", "\0", "é", "。", "\ud800", "a" * 70),
        *("0x7f.1", "2130706433", "xn--", "-", "_", "*"),
    ]
)  # fmt: skip


@OFTEN
@given(st.sampled_from(["https://", "HTTPS:/", "https:", "http://"]), st.lists(PARTS, max_size=8))
def test_addresses_of_hosts_are_refused_or_found_to_lead_home(scheme: str, parts: list[str]) -> None:
    assert found(scheme + "".join(parts), Path()) is None


@OFTEN
@given(
    st.sampled_from(["file:///", "file://", "file:/", "FILE:///"]),
    st.lists(
        st.sampled_from(
            ["a.png", "in", "up", "out.png", "..", ".", "/", "%2e", "%2f", "%5c", "%00", "%", "\\", "é", "\0"]
        ),
        max_size=7,
    ),
)
def test_addresses_of_files_lead_to_the_folders_files_or_nowhere(scheme: str, parts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "media"
        (folder / "in").mkdir(parents=True)
        for name in ("media/a.png", "media/in/a.png"):
            (Path(made) / name).write_bytes(SMALL["png"])
        (Path(made) / "out.png").write_bytes(SMALL["gif"])
        (folder / "up").symlink_to(made)
        assert found(scheme + "".join(parts), folder) in (None, SMALL["png"])


@OFTEN
@given(
    kind=st.sampled_from(["image/png", "image/JPEG", "image/svg+xml", "text/plain", "image/", ""]),
    coding=st.sampled_from([";base64", ";BASE64", "", ";a=b;base64", ";base64;a=b", ";;base64", "; base64"]),
    comma=st.sampled_from([",", "", ",,", ";"]),
    data=st.one_of(st.binary(max_size=40), st.sampled_from(sorted(SMALL.values()))),
    edit=st.sampled_from(["", " ", "\n", "=", "-", "%", "%2B", "%2b", "é", "\ud800", "\0", "A"]),
    place=st.floats(0, 1),
)
def test_data_addresses_give_their_data_or_are_refused(
    kind: str, coding: str, comma: str, data: bytes, edit: str, place: float
) -> None:
    text = base64.b64encode(data).decode()
    at = int(place * len(text))
    got = found(f"data:{kind}{coding}{comma}{text[:at]}{edit}{text[at:]}", Path())
    if got is not None and not edit:
        assert got == data
    if data in SMALL.values() and (kind, coding, comma, edit) == ("image/png", ";base64", ",", ""):
        assert got == data


@OFTEN
@given(st.sampled_from(sorted(SMALL.values())), st.booleans())
def test_a_good_picture_always_comes_through(data: bytes, is_escaped: bool) -> None:
    text = base64.b64encode(data).decode()
    assert found(f"data:image/png;base64,{quote(text, safe='') if is_escaped else text}", Path()) == data
