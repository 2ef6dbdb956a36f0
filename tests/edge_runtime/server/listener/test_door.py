"""How many may be connected."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from edge_runtime.server.listener.door import Door, neighbourhood


@dataclass(eq=False)
class FakeGuest:
    is_out: bool = False

    def make_way(self) -> None:
        assert not self.is_out, "a guest is let out once"
        self.is_out = True


def entered(door: Door, address: str | None = "192.0.2.1", rests: bool = False) -> FakeGuest:
    guest = FakeGuest()
    assert door.enter(guest, address)
    if rests:
        door.rest(guest)
    return guest


def test_guests_at_work_keep_newcomers_out() -> None:
    door = Door(2, 2)
    entered(door), entered(door, "192.0.2.2")
    assert not door.enter(FakeGuest(), "192.0.2.3")
    assert len(door) == 2


def test_who_rests_longest_makes_way() -> None:
    door = Door(3, 3)
    first, second, third = entered(door, rests=True), entered(door, rests=True), entered(door, rests=True)
    door.work(first)
    door.rest(first)
    entered(door)
    assert (first.is_out, second.is_out, third.is_out) == (False, True, False)
    assert len(door) == 3


def test_one_address_has_its_own_limit_and_makes_way_for_itself_only() -> None:
    door = Door(10, 2)
    other = entered(door, "192.0.2.9", rests=True)
    mine = entered(door, rests=True)
    entered(door)
    entered(door)
    assert (mine.is_out, other.is_out) == (True, False)
    assert not door.enter(FakeGuest(), "192.0.2.1")
    entered(door, "192.0.2.2")


def test_a_place_is_free_again_when_its_guest_leaves() -> None:
    door = Door(1, 1)
    guest = entered(door)
    door.leave(guest)
    door.leave(guest)
    entered(door)
    assert len(door) == 1


def test_a_guest_who_left_does_not_rest() -> None:
    door = Door(1, 1)
    guest = entered(door)
    door.leave(guest)
    door.rest(guest)
    entered(door)
    assert not door.enter(FakeGuest(), "192.0.2.1")
    assert not guest.is_out


def test_guests_by_a_unix_socket_count_in_all_only() -> None:
    door = Door(3, 1)
    for _ in range(3):
        entered(door, None)
    assert not door.enter(FakeGuest(), None)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8:1:2::3", "2001:db8:1:2:ffff::", True),
        ("2001:db8:1:2::3", "2001:db8:1:3::3", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("odd", "odd", True),
    ],
)
def test_an_ipv6_network_is_one_address(one: str, other: str, is_same: bool) -> None:
    assert (neighbourhood(one) == neighbourhood(other)) is is_same
