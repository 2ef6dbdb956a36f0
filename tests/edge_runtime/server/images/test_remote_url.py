"""How an https address is taken apart, and which are not."""

from __future__ import annotations

import pytest

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.images.remote_url import RemoteUrl, is_host_name, remote_url_from_text


@pytest.mark.parametrize(
    ("text", "host", "target"),
    [
        ("https://pictures.example/a/b.png", "pictures.example", "/a/b.png"),
        ("HTTPS://Pictures.Example/A.png", "pictures.example", "/A.png"),
        ("https://pictures.example", "pictures.example", "/"),
        ("https://pictures.example?size=2", "pictures.example", "/?size=2"),
        ("https://pictures.example:443/a", "pictures.example", "/a"),
        ("https://pictures.example/a?b=c/d?e#top", "pictures.example", "/a?b=c/d?e"),
        ("https://pictures.example#top", "pictures.example", "/"),
        ("https://xn--bcher-kva.example/a%20b", "xn--bcher-kva.example", "/a%20b"),
        ("https://a.b-c.d1.example/@/:/x", "a.b-c.d1.example", "/@/:/x"),
        ("https://pictures.example/../..//", "pictures.example", "/../..//"),
    ],
)
def test_an_address_is_a_host_and_what_it_is_asked_for(text: str, host: str, target: str) -> None:
    assert remote_url_from_text(text) == RemoteUrl(host, target)


@pytest.mark.parametrize(
    "text",
    [
        *("https://127.0.0.1/a", "https://0x7f000001/a", "https://2130706433/a", "https://127.1/a"),
        *("https://0x7f.1/a", "https://0177.0.0.1/a", "https://127.0.0.0x1/a", "https://1.2.3.4./a"),
        *("https://[::1]/a", "https://[::ffff:127.0.0.1]/a", "https://[fe80::1%25eth0]/a"),
        *("https://localhost/a", "https://pictures/a", "https:///a", "https://", "https:pictures.example/a"),
        *("https:/pictures.example/a", "https:////pictures.example/a", "https://.example/a"),
        *("https://pictures..example/a", "https://pictures.example./a", "https://-a.example/", "https://a-.example/"),
        *("https://pictures_.example/a", "https://*.example/a", "https://%70ictures.example/a"),
        *("https://me@pictures.example/a", "https://me:word@pictures.example/a", "https://@pictures.example/"),
        *("https://pictures.example@evil.example/", "https://evil.example:443@pictures.example/"),
        *("https://pictures.example\\@evil.example/", "https://127.0.0.1\\@pictures.example/"),
        *("https://pictures.example\\a", "https://pictures.example/a\\b", "https:\\\\pictures.example/a"),
        *("https://pictures.example:8443/a", "https://pictures.example:80/a", "https://pictures.example:/a"),
        *("https://pictures.example:0443/a", "https://pictures.example:443:443/a", "https://pictures.example:x/"),
        *("https://pictures.example/a b", " https://pictures.example/a", "https://pictures.example/a\n"),
        *("https://pictures.example/a\r\nHost: evil.example", "https://pictures\t.example/", "ht\ntps://a.example/"),
        *("https://pictures.example/\0", "https://pictures.example/\x7f", "https://pictures.example/é"),
        *("https://bücher.example/a", "https://pictures。example/a", "https://ｐictures.example/a"),
        *("https://" + "a" * 64 + ".example/", "https://" + "a." * 130 + "example/", "https://a.example/" + "a" * 2048),
        "https://pictures.example/\ud800",
    ],
)  # fmt: skip
def test_an_address_that_could_be_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(EdgeVLError) as caught:
        remote_url_from_text(text)
    assert caught.value.code == "EVL-IMAGE-URL"
    assert caught.value.fix == "write it as https://pictures.example/name.jpg"
    assert "evil" not in str(caught.value)


def test_names_of_hosts_are_full_and_in_small_letters() -> None:
    assert is_host_name("pictures.example")
    for text in (
        "Pictures.example",
        "pictures.example\n",
        "pictures.example:443",
        "*.example",
        "localhost",
        "",
    ):
        assert not is_host_name(text)
