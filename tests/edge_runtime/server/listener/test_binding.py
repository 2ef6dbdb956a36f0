"""Where a server may listen."""

from __future__ import annotations

import pytest

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.listener.binding import addresses_of, check_binding


def checked(host: str, *addresses: str, has_keys: bool = False, is_allowed: bool = False) -> tuple[str, ...]:
    return check_binding(host, has_keys, is_allowed, lambda name: addresses)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_on_this_machine_no_key_is_needed(address: str) -> None:
    assert checked(address, address) == (address,)


@pytest.mark.parametrize(
    "address", ["0.0.0.0", "::", "192.168.1.5", "fe80::1%eth0", "203.0.113.9", "::ffff:10.0.0.1"]
)
def test_beyond_it_a_key_is_needed(address: str) -> None:
    with pytest.raises(EdgeVLError, match="EVL-SERVE-NO-KEY") as told:
        checked(address, address)
    assert told.value.exit_status == 2
    assert checked(address, address, has_keys=True) == (address,)
    assert checked(address, address, is_allowed=True) == (address,)


def test_a_name_is_what_it_means_and_one_address_beyond_is_enough() -> None:
    assert checked("camera", "127.0.0.1", "::1") == ("127.0.0.1", "::1")
    with pytest.raises(EdgeVLError, match="EVL-SERVE-NO-KEY"):
        checked("localhost", "127.0.0.1", "192.168.1.5")


def test_a_name_that_means_nothing_is_said_so() -> None:
    def unknown(name: str) -> list[str]:
        raise OSError(name)

    with pytest.raises(EdgeVLError, match="EVL-SERVE-HOST"):
        check_binding("nowhere.invalid", True, True, unknown)


def test_localhost_is_this_machine_and_no_name_is_every_address() -> None:
    assert "127.0.0.1" in check_binding("localhost", has_keys=False, is_insecure_allowed=False)
    assert "0.0.0.0" in addresses_of("")
    with pytest.raises(EdgeVLError, match="EVL-SERVE-NO-KEY"):
        check_binding("", has_keys=False, is_insecure_allowed=False)


@pytest.mark.parametrize("host", ["0", "0x0", "0.0.0.0", "::"])
def test_every_spelling_of_every_address_is_beyond_this_machine(host: str) -> None:
    with pytest.raises(EdgeVLError, match="EVL-SERVE-NO-KEY"):
        check_binding(host, has_keys=False, is_insecure_allowed=False)
