"""Memory of a device that is not there: blocks at addresses of their own, full of garbage, strictly bounded."""

from __future__ import annotations

import ctypes
from bisect import bisect_right
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
GARBAGE = 0xFF  # not-a-number, read as floats; -1, read as integers
FREED = 0xDD
DEVICE_START = 0x0B00_0000_0000  # no address of this process: touching it from the host ends the process
PAGE = 4096
ALIGNMENT = 512
ILLEGAL_ADDRESS = 700


class DeviceFault(Exception):
    """What an operation did wrong while it ran: the context is lost from then on."""

    def __init__(self, code: int, why: str) -> None:
        self.code = code
        self.why = why
        super().__init__(f"{why} [{code}]")


@dataclass(frozen=True)
class Span:
    """Bytes at an address, of the device or pinned ones of the host."""

    address: int
    nbytes: int

    @property
    def stop(self) -> int:
        return self.address + self.nbytes

    def overlaps(self, other: Span) -> bool:
        return self.address < other.stop and other.address < self.stop

    def __str__(self) -> str:
        return f"{self.nbytes} bytes at {self.address:#x}"


@dataclass
class Block:
    span: Span
    content: Bytes
    owner: object = (
        None  # what keeps the bytes of the host alive, freed or not: arrays may still look at them
    )
    is_live: bool = True

    def free(self) -> None:
        self.content[:] = FREED
        self.content = self.content[:0].copy()
        self.is_live = False


@dataclass
class BlockList:
    """All blocks ever handed out, by address; a freed address never comes again."""

    kind: str
    is_open: bool = False  # whether memory of this process that was never asked for is taken too
    _addresses: list[int] = field(default_factory=list)
    _blocks: list[Block] = field(default_factory=list)

    def add(self, block: Block) -> Block:
        at = bisect_right(self._addresses, block.span.address)
        self._addresses.insert(at, block.span.address)
        self._blocks.insert(at, block)
        return block

    def holding(self, address: int) -> Block | None:
        """The block that begins at or before this address, dead or alive."""
        at = bisect_right(self._addresses, address)
        return self._blocks[at - 1] if at else None

    def bytes_of(self, span: Span) -> Bytes:
        block = self.holding(span.address)
        if block is None or span.address >= block.span.stop:
            if self.is_open:
                return np.ctypeslib.as_array((ctypes.c_uint8 * span.nbytes).from_address(span.address))
            raise DeviceFault(ILLEGAL_ADDRESS, f"{span} are no {self.kind} memory")
        if not block.is_live:
            raise DeviceFault(ILLEGAL_ADDRESS, f"{span} are {self.kind} memory that was freed")
        if span.stop > block.span.stop:
            raise DeviceFault(ILLEGAL_ADDRESS, f"{span} reach beyond the {self.kind} block of {block.span}")
        start = span.address - block.span.address
        return block.content[start : start + span.nbytes]

    def holds(self, span: Span) -> bool:
        try:
            self.bytes_of(span)
        except DeviceFault:
            return False
        return True

    @property
    def live(self) -> list[Block]:
        return [block for block in self._blocks if block.is_live]


@dataclass
class FakeMemory:
    """The device's bytes and the pinned ones of the host; `limit` bytes can be held on the device."""

    limit: int
    device: BlockList = field(default_factory=lambda: BlockList("device"))
    pinned: BlockList = field(default_factory=lambda: BlockList("pinned"))
    _next: int = DEVICE_START

    @property
    def used(self) -> int:
        return sum(block.span.nbytes for block in self.device.live)

    def allocate(self, nbytes: int) -> Block | None:
        """None where the limit does not allow it."""
        if self.used + nbytes > self.limit:
            return None
        block = Block(Span(self._next, nbytes), np.full(nbytes, GARBAGE, np.uint8))
        self._next += (nbytes + 2 * ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT  # a gap after each
        return self.device.add(block)

    def pin(self, nbytes: int) -> Block:
        owner = (ctypes.c_uint8 * (nbytes + PAGE))()
        address = -(-ctypes.addressof(owner) // PAGE) * PAGE
        start = address - ctypes.addressof(owner)
        content = np.ctypeslib.as_array(owner)[start : start + nbytes]
        content[:] = GARBAGE
        return self.pinned.add(Block(Span(address, nbytes), content, owner))

    def bytes_of(self, span: Span) -> Bytes:
        """Live bytes of either kind; a DeviceFault where there are none."""
        kind = self.device if span.address >= DEVICE_START and span.address < self._next else self.pinned
        return kind.bytes_of(span)
