"""How many may be connected, in all and from one address. Whoever has asked nothing makes room for a newcomer."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv6Address, ip_address
from typing import Protocol


class Guest(Protocol):
    def make_way(self) -> None:
        """Called at most once; the door has let this guest out already."""


class Door:
    """A connection rests until the head of a request is whole, which with an honest client is at once. At the limit the one that
    has rested longest is closed: a flood of idle or half-asking ones keeps nobody out, only requests at work do."""

    def __init__(self, max_guests: int, max_per_address: int) -> None:
        self._max_guests = max_guests
        self._max_per_address = max_per_address
        self._address_of: dict[Guest, str | None] = {}
        self._count: Counter[str] = Counter()
        self._resting: dict[Guest, None] = {}  # the longest first

    def __len__(self) -> int:
        return len(self._address_of)

    def enter(self, guest: Guest, address: str | None) -> bool:
        """Whether there is a place. A guest without an address, by a Unix socket, counts in all only."""
        near = None if address is None else neighbourhood(address)
        if near is not None and self._count[near] >= self._max_per_address and not self._made_way(near):
            return False
        if len(self) >= self._max_guests and not self._made_way(None):
            return False
        self._address_of[guest] = near
        if near is not None:
            self._count[near] += 1
        return True

    def leave(self, guest: Guest) -> None:
        self._resting.pop(guest, None)
        near = self._address_of.pop(guest, None)
        if near is not None:
            self._count[near] -= 1
            if not self._count[near]:
                del self._count[near]

    def rest(self, guest: Guest) -> None:
        """It has asked nothing, or was answered."""
        if guest in self._address_of:
            self._resting[guest] = None

    def work(self, guest: Guest) -> None:
        self._resting.pop(guest, None)

    def _made_way(self, near: str | None) -> bool:
        resting = (each for each in self._resting if near is None or self._address_of[each] == near)
        oldest = next(resting, None)
        if oldest is None:
            return False
        self.leave(oldest)
        oldest.make_way()
        return True


def neighbourhood(address: str) -> str:
    """One household usually has a whole IPv6 network of 64 bits, and can take a new address for every connection."""
    try:
        known = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(known, IPv6Address):
        return str(known)
    return str(known.ipv4_mapped) if known.ipv4_mapped else known.exploded[:19]
