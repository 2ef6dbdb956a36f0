"""What can befall the bytes of a file, one mishap at a time, so that a failing example can be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

SPAN = 1 << 16  # places are shares of a file, in 65536ths, so that one example fits files of any size


@dataclass(frozen=True)
class Flip:
    """One bit is another."""

    place: int
    bit: int

    def applied(self, data: bytes) -> bytes:
        changed = bytearray(data)
        changed[at(data, self.place)] ^= 1 << self.bit
        return bytes(changed)


@dataclass(frozen=True)
class Cut:
    """The file ends early."""

    place: int

    def applied(self, data: bytes) -> bytes:
        return data[: at(data, self.place)]


@dataclass(frozen=True)
class Insert:
    """Bytes that were not there; at the very end where `place` is the span."""

    place: int
    extra: bytes

    def applied(self, data: bytes) -> bytes:
        start = len(data) * self.place // SPAN
        return data[:start] + self.extra + data[start:]


@dataclass(frozen=True)
class Drop:
    """Bytes that are there no more."""

    place: int
    count: int

    def applied(self, data: bytes) -> bytes:
        start = at(data, self.place)
        return data[:start] + data[start + self.count :]


@dataclass(frozen=True)
class Overwrite:
    """Bytes that are others, as many as before."""

    place: int
    extra: bytes

    def applied(self, data: bytes) -> bytes:
        start = at(data, self.place)
        return data[:start] + self.extra[: len(data) - start] + data[start + len(self.extra) :]


@dataclass(frozen=True)
class Blank:
    """A page of zeros, as a disk leaves that lost power."""

    place: int
    count: int = 4096

    def applied(self, data: bytes) -> bytes:
        return Overwrite(self.place, bytes(self.count)).applied(data)


Mishap = Flip | Cut | Insert | Drop | Overwrite | Blank


def at(data: bytes, place: int) -> int:
    return min(len(data) * place // SPAN, len(data) - 1)


places = st.integers(0, SPAN - 1)
noise = st.binary(min_size=1, max_size=12)
counts = st.integers(1, 64)
flips = st.builds(Flip, places, st.integers(0, 7))
mishaps: st.SearchStrategy[Mishap] = st.one_of(
    flips,
    st.builds(Cut, places),
    st.builds(Insert, st.integers(0, SPAN), noise),
    st.builds(Drop, places, counts),
    st.builds(Overwrite, places, noise),
    st.builds(Blank, places),
)


def befall(path: Path, mishap: Mishap) -> bool:
    """Replaces the file by its damaged self, never writing into it; False where nothing changed."""
    before = path.read_bytes()
    after = mishap.applied(before)
    replace_file(path, after)
    return after != before


def replace_file(path: Path, data: bytes) -> None:
    # The file may be another folder's too, or mapped: it keeps its content.
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def twin_of(folder: Path, twin: Path) -> Path:
    """A copy of the folder whose files are the same files, to be replaced one by one."""
    for path in sorted(folder.rglob("*")):
        place = twin / path.relative_to(folder)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.hardlink_to(path)
    return twin
