from __future__ import annotations

import mmap
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.protobuf import (
    TEXT_LIMIT,
    Allowance,
    Field,
    Kind,
    Schema,
    Value,
    WireError,
    fields_of,
    number_at,
    signed,
    text,
)

SCHEMA = Schema(
    "Thing",
    {
        1: Field("count", Kind.NUMBER, False),
        2: Field("dims", Kind.NUMBERS, True),
        3: Field("body", Kind.BYTES, False),
        4: Field("parts", Kind.BYTES, True),
        5: Field("rate", Kind.FLOAT, False),
        6: Field("rest", Kind.SKIPPED, True),
    },
)


def varint(value: int) -> bytes:
    groups = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def field(number: int, wire: int, payload: bytes) -> bytes:
    return varint(number << 3 | wire) + payload


def block(number: int, payload: bytes) -> bytes:
    return field(number, 2, varint(len(payload)) + payload)


def read(data: bytes, allowance: Allowance | None = None) -> list[tuple[str, object]]:
    def plain(value: Value) -> object:
        return value if isinstance(value, int) else bytes(value)

    found = fields_of(memoryview(data), SCHEMA, allowance or Allowance())
    return [(name, plain(value)) for name, value in found]


@given(st.integers(0, (1 << 64) - 1), st.binary(max_size=3))
def test_every_varint_reads_back(value: int, after: bytes) -> None:
    encoded = varint(value)
    assert number_at(memoryview(encoded + after), 0) == (value, len(encoded))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 9])
def test_a_varint_that_ends_early_is_refused(data: bytes) -> None:
    with pytest.raises(WireError, match="ends inside a number"):
        number_at(memoryview(data), 0)


def test_a_varint_that_never_ends_is_refused_after_ten_bytes() -> None:
    with pytest.raises(WireError, match="longer than ten bytes"):
        number_at(memoryview(b"\xff" * (1 << 24)), 0)


def test_a_varint_beyond_64_bits_is_refused() -> None:
    with pytest.raises(WireError, match="does not fit in 64 bits"):
        number_at(memoryview(b"\xff" * 9 + b"\x02"), 0)


def test_negative_numbers_are_in_twos_complement() -> None:
    assert signed((1 << 64) - 5) == -5
    assert signed((1 << 63) - 1) == (1 << 63) - 1


def test_fields_come_in_file_order_and_skipped_ones_not_at_all() -> None:
    data = (
        block(4, b"x") + field(1, 0, varint(300)) + block(6, b"?" * 9) + block(4, b"") + field(5, 5, b"abcd")
    )
    assert read(data) == [("parts", b"x"), ("count", 300), ("parts", b""), ("rate", b"abcd")]


def test_repeated_numbers_may_be_packed_or_alone() -> None:
    data = block(2, varint(1) + varint(700)) + field(2, 0, varint(9))
    assert read(data) == [("dims", 1), ("dims", 700), ("dims", 9)]


@pytest.mark.parametrize("wire", [0, 1, 2, 5])
def test_skipped_fields_may_have_any_wire_type(wire: int) -> None:
    payload = {0: varint(5), 1: bytes(8), 2: varint(2) + b"ab", 5: bytes(4)}[wire]
    assert read(field(6, wire, payload)) == []


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (block(7, b""), "a Thing has the unknown field 7"),
        (field(0, 0, b"\x01"), "a Thing has the unknown field 0"),
        (field(1, 2, b"\x00"), "Thing.count has wire type 2"),
        (field(3, 0, b"\x00"), "Thing.body has wire type 0"),
        (field(6, 3, b""), "Thing.rest has wire type 3"),
        (field(6, 7, b""), "Thing.rest has wire type 7"),
        (field(1, 0, b"\x01") * 2, "a Thing has two count"),
        (block(3, b"") * 2, "a Thing has two body"),
        (block(3, b"abc")[:-1], "a field of 3 bytes starts 2 bytes before the end"),
        (field(3, 2, varint((1 << 64) - 1)), "a field of 18446744073709551615 bytes starts 0 bytes before"),
        (field(5, 5, b"abc"), "a field of 4 bytes starts 3 bytes before the end"),
        (field(6, 1, b"abc"), "a field of 8 bytes starts 3 bytes before the end"),
        (field(1, 0, b""), "ends inside a number"),
        (block(2, b"\x80"), "ends inside a number"),
    ],
)  # fmt: skip
def test_broken_messages_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(WireError) as caught:
        read(data)
    assert why in str(caught.value)


def test_more_fields_than_allowed_are_refused() -> None:
    with pytest.raises(WireError, match="more fields than any model"):
        read(block(4, b"") * 11, Allowance(fields=10))


def test_packed_numbers_count_as_fields() -> None:
    with pytest.raises(WireError, match="more fields than any model"):
        read(block(2, b"\x01" * 100), Allowance(fields=10))


def test_a_gigabyte_of_payload_costs_no_time_and_no_copy() -> None:
    view = memoryview(mmap.mmap(-1, 1 << 30))
    head = varint(4 << 3 | 2) + varint((1 << 30) - 10)
    view[: len(head)] = head
    start = time.perf_counter()
    with pytest.raises(WireError):  # the zeros after the payload are field 0
        list(fields_of(view, SCHEMA, Allowance()))
    assert time.perf_counter() - start < 0.1


def test_names_must_be_utf_8_of_a_sane_length() -> None:
    assert text(memoryview("größe".encode()), Allowance()) == "größe"
    with pytest.raises(WireError, match="not UTF-8"):
        text(memoryview(b"\xff"), Allowance())
    with pytest.raises(WireError, match="longer than any"):
        text(memoryview(bytes(TEXT_LIMIT + 1)), Allowance())
    with pytest.raises(WireError, match="longer than any"):
        text(memoryview(b"abc"), Allowance(text_bytes=2))


@given(st.binary(max_size=200))
def test_noise_is_read_or_refused(data: bytes) -> None:
    try:
        found = read(data)
    except WireError:
        return
    assert len(found) <= len(data)
