"""Which addresses of the network are public."""

from __future__ import annotations

import pytest

from edge_runtime.server.images.address import is_public_address


@pytest.mark.parametrize(
    "text", ["1.1.1.1", "8.8.8.8", "193.0.0.1", "2606:4700:4700::1111", "2a00:1450:4001::1"]
)
def test_addresses_of_the_internet_are_public(text: str) -> None:
    assert is_public_address(text)


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.1.2.3", "172.16.0.1", "172.31.255.255"),
        *("192.168.1.1", "169.254.169.254", "100.64.0.1", "100.127.255.255", "192.0.0.8", "192.0.0.170"),
        *("192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "198.19.255.255", "192.88.99.1"),
        *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    ],
)
def test_special_addresses_of_the_fourth_version_are_not(text: str) -> None:
    assert not is_public_address(text)
    assert not is_public_address(f"::ffff:{text}")


@pytest.mark.parametrize(
    "text",
    [
        *("::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "::ffff:0:127.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "100::1"),
        *(
            "2001::1",
            "2001:0:7f00:1::",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
        ),
        *("5f00::1", "fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "4000::1"),
        "2606:4700:4700::1111%eth0",
    ],
)
def test_special_addresses_of_the_sixth_version_are_not(text: str) -> None:
    assert not is_public_address(text)


@pytest.mark.parametrize(
    "text", ["", "localhost", "2130706433", "0x7f000001", "127.1", "0177.0.0.1", "1.1.1.1 ", "[::1]"]
)
def test_what_is_no_plain_address_is_not_public(text: str) -> None:
    assert not is_public_address(text)
