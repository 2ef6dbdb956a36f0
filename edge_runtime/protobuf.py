"""The protobuf wire format, read strictly and without copying: lengths, kinds and repeats are checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

VARINT, FIXED64, SIZED, FIXED32 = 0, 1, 2, 5
TEXT_LIMIT = 1 << 16


class WireError(Exception):
    """The bytes are not the message they should be."""


class Kind(Enum):
    NUMBER = (VARINT,)
    NUMBERS = (VARINT, SIZED)  # repeated, alone or packed
    FLOAT = (FIXED32,)
    BYTES = (SIZED,)
    SKIPPED = (VARINT, FIXED64, SIZED, FIXED32)  # well-formed, but nobody's business here


@dataclass(frozen=True)
class Field:
    name: str
    kind: Kind
    is_repeated: bool


@dataclass(frozen=True)
class Schema:
    """The fields of one kind of message by number. Anything else in a message is an error:
    a newer reader could find in it what was hidden from this one."""

    name: str
    fields: Mapping[int, Field]


@dataclass
class Allowance:
    """What may still be read, so that neither time nor memory grow without end."""

    fields: int = 1_000_000
    text_bytes: int = 64 << 20

    def take_fields(self, count: int = 1) -> None:
        self.fields -= count
        if self.fields < 0:
            raise WireError("it has more fields than any model")

    def take_text(self, size: int) -> None:
        self.text_bytes -= size
        if size > TEXT_LIMIT or self.text_bytes < 0:
            raise WireError("its names are longer than any model's")


Value = int | memoryview
"""Numbers as unsigned 64-bit, everything else as a view of the file."""


def number_at(data: memoryview, position: int) -> tuple[int, int]:
    """The varint at a position, and the position after it."""
    value = shift = 0
    while True:
        if position >= len(data):
            raise WireError("it ends inside a number")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 63:
            raise WireError("a number is longer than ten bytes")
    if value >= 1 << 64:
        raise WireError("a number does not fit in 64 bits")
    return value, position


def fields_of(data: memoryview, schema: Schema, allowance: Allowance) -> Iterator[tuple[str, Value]]:
    """Name and value of each field that is not skipped, in the order of the file."""
    position, seen = 0, 0
    while position < len(data):
        allowance.take_fields()
        key, position = number_at(data, position)
        field = schema.fields.get(key >> 3)
        if field is None:
            raise WireError(f"a {schema.name} has the unknown field {key >> 3}")
        if (key & 7) not in field.kind.value:
            raise WireError(f"{schema.name}.{field.name} has wire type {key & 7}")
        if not field.is_repeated:
            # protobuf would merge the two; nobody writes that except to confuse two readers.
            if seen >> (key >> 3) & 1:
                raise WireError(f"a {schema.name} has two {field.name}")
            seen |= 1 << (key >> 3)
        value, position = value_at(data, position, key & 7)
        if field.kind is Kind.NUMBERS:
            yield from ((field.name, number) for number in numbers_of(value, allowance))
        elif field.kind is not Kind.SKIPPED:
            yield field.name, value


def value_at(data: memoryview, position: int, wire: int) -> tuple[Value, int]:
    if wire == VARINT:
        return number_at(data, position)
    if wire == SIZED:
        size, position = number_at(data, position)
    else:
        size = 8 if wire == FIXED64 else 4
    if size > len(data) - position:
        raise WireError(f"a field of {size} bytes starts {len(data) - position} bytes before the end")
    return data[position : position + size], position + size


def numbers_of(value: Value, allowance: Allowance) -> Iterator[int]:
    if isinstance(value, int):
        yield value
        return
    position = 0
    while position < len(value):
        allowance.take_fields()
        number, position = number_at(value, position)
        yield number


def signed(value: Value) -> int:
    """An int32 or int64 field: negative numbers are written in two's complement."""
    assert isinstance(value, int)
    return value - (1 << 64) if value >> 63 else value


def view(value: Value) -> memoryview:
    assert isinstance(value, memoryview)
    return value


def text(value: Value, allowance: Allowance) -> str:
    """A string field: UTF-8, of a length that a name can have."""
    encoded = view(value)
    allowance.take_text(len(encoded))
    try:
        return str(encoded, "utf-8")
    except UnicodeDecodeError:
        raise WireError("a name is not UTF-8") from None
