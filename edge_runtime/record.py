"""Strict JSON to frozen dataclasses and back: unknown, missing and mistyped keys are errors by path."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import math
import types
import typing
from typing import Any, Literal, NoReturn, TypeVar, Union, cast

from edge_runtime.errors import EdgeVLError

T = TypeVar("T")
Pairs = list[tuple[str, object]]

MANIFEST_CODE = "EVL-BUNDLE-MANIFEST"
INTEGER_LIMIT = 1 << 63
CONTAINER_LIMIT = 1_000_000  # 16 MiB of "[]," would otherwise cost 400 MiB of Python lists
KIND_NAMES: dict[object, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a finite number",
    str: "text",
    types.NoneType: "null",
}


class MismatchError(Exception):
    """A value that does not fit its declared type; `path` names the key."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(problem)
        self.path = path


def record_from_json(
    cls: type[T], value: object, where: str = "edge-vl.json", code: str = MANIFEST_CODE
) -> T:
    """The dataclass `cls` made of parsed JSON; keys without a default must be there, others must not."""
    try:
        return cast(T, read_value(cls, value, ""))
    except MismatchError as mismatch:
        path, problem = mismatch.path, str(mismatch)
    fix = "make this file again with this edge-vl, or copy it again from where it came"
    raise EdgeVLError(code, f"{where} is not valid", f"{path or 'top level'}: {problem}", fix)


def json_from_record(record: object) -> dict[str, object]:
    """Plain dicts, lists and scalars in declared order, equal for equal records."""
    assert dataclasses.is_dataclass(record), f"{record!r} is not a record"
    # Read back before it leaves: what is written can be read, and 10000 in a float field becomes 10000.0.
    canonical = read_value(type(record), plain_from_value(record), "")
    return cast("dict[str, object]", plain_from_value(canonical))


def json_from_bytes(data: bytes, where: str = "edge-vl.json", code: str = MANIFEST_CODE) -> object:
    """Parsed JSON text; repeated keys, NaN, numbers beyond 64 bits and bombs are errors."""
    try:
        return parsed_json(data)
    except ValueError as fault:
        problem = str(fault)
    fix = "make this file again with this edge-vl, or copy it again from where it came"
    raise EdgeVLError(code, f"{where} is not valid", f"not the JSON we write: {problem}", fix)


def parsed_json(data: bytes) -> object:
    """As `json_from_bytes`, of files that are not ours; a ValueError says what is wrong."""
    if data.count(b"[") + data.count(b"{") > CONTAINER_LIMIT:
        raise ValueError(f"more than {CONTAINER_LIMIT} lists and objects")
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=dict_from_pairs,
            parse_int=int_from_digits,
            parse_float=float_from_digits,
            parse_constant=refuse_constant,
        )
    except RecursionError:
        raise ValueError("lists or objects are nested too deeply") from None


def bytes_from_json(value: object) -> bytes:
    """UTF-8 JSON text, the same bytes for the same value."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def dict_from_pairs(pairs: Pairs) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {shown(repeated)} is there twice")
    return found


def int_from_digits(digits: str) -> int:
    # Length first: turning a million digits into an int takes quadratic time.
    if len(digits) > 20 or abs(int(digits)) >= INTEGER_LIMIT:
        raise ValueError(f"the number {digits[:24]} does not fit in 64 bits")
    return int(digits)


def float_from_digits(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"the number {digits[:24]} is not finite")
    return number


def refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


@functools.cache
def hints_of(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def read_value(kind: object, value: object, path: str) -> object:
    if kind in KIND_NAMES:
        return read_scalar(kind, value, path)
    if dataclasses.is_dataclass(kind):
        return read_record(cast(type, kind), value, path)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return read_literal(arguments, value, path)
    if origin in (Union, types.UnionType):
        return read_value(arm_for(arguments, value, path), value, path)
    if origin is tuple:
        return read_tuple(arguments, value, path)
    assert (origin, *arguments[:1]) == (dict, str), f"no JSON form for {kind}"
    entries = read_object(value, path)
    return {name: read_value(arguments[1], entry, join(path, name)) for name, entry in entries.items()}


def read_scalar(kind: object, value: object, path: str) -> object:
    is_int = type(value) is int and abs(value) < INTEGER_LIMIT
    if kind is float and (is_int or (type(value) is float and math.isfinite(value))):
        return float(cast(float, value))
    if kind is int and is_int:
        return value
    if kind is str and isinstance(value, str):
        return read_text(value, path)
    if (kind is bool and type(value) is bool) or (kind is types.NoneType and value is None):
        return value
    raise MismatchError(path, f"must be {KIND_NAMES[kind]}, got {shown(value)}")


def read_text(text: str, path: str) -> str:
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise MismatchError(path, "is not valid Unicode: it holds half a surrogate pair")
    return text


def read_literal(choices: tuple[object, ...], value: object, path: str) -> object:
    for choice in choices:
        if type(choice) is type(value) and choice == value:
            return choice
    raise MismatchError(path, f"must be one of {', '.join(map(repr, choices))}, got {shown(value)}")


def read_tuple(kinds: tuple[object, ...], value: object, path: str) -> tuple[object, ...]:
    if not isinstance(value, list):
        raise MismatchError(path, f"must be a list, got {shown(value)}")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise MismatchError(path, f"must hold {len(kinds)} values, got {len(value)}")
    return tuple(
        read_value(kind, entry, f"{path}[{index}]")
        for index, (kind, entry) in enumerate(zip(kinds, value, strict=True))
    )


def read_object(value: object, path: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise MismatchError(path, f"must be an object, got {shown(value)}")
    for key in value:
        read_text(key, path)
    return value


def read_record(cls: type, value: object, path: str) -> object:
    entries = read_object(value, path)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in entries:
        if key not in fields:
            raise MismatchError(join(path, key), f"is not a known key{nearest(key, list(fields))}")
    for name, field in fields.items():
        has_default = (field.default, field.default_factory) != (dataclasses.MISSING, dataclasses.MISSING)
        if name not in entries and not has_default:
            raise MismatchError(join(path, name), "is missing")
    hints = hints_of(cls)
    values = {name: read_value(hints[name], entry, join(path, name)) for name, entry in entries.items()}
    try:
        return cls(**values)
    except ValueError as fault:
        problem = str(fault)
    raise MismatchError(path, problem)


def arm_for(arms: tuple[object, ...], value: object, path: str) -> object:
    """The member of a union that a JSON value of this kind can only mean."""
    for arm in arms:
        if is_arm_for(arm, value):
            return arm
    wanted = " or ".join(KIND_NAMES.get(arm, "an object or list") for arm in arms)
    raise MismatchError(path, f"must be {wanted}, got {shown(value)}")


def is_arm_for(arm: object, value: object) -> bool:
    origin = typing.get_origin(arm)
    if origin is Literal:
        return any(type(choice) is type(value) for choice in typing.get_args(arm))
    if isinstance(value, dict):
        return dataclasses.is_dataclass(arm) or origin is dict
    if isinstance(value, list):
        return origin is tuple
    return arm is type(value) or (arm is float and type(value) is int)


def plain_from_value(value: object) -> object:
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: plain_from_value(getattr(value, name)) for name in names}
    if isinstance(value, tuple):
        return [plain_from_value(entry) for entry in value]
    if isinstance(value, dict):
        return {name: plain_from_value(value[name]) for name in sorted(value)}
    return value


def join(path: str, name: str) -> str:
    short = name if len(name) <= 60 else name[:59] + "…"
    return f"{path}.{short}" if path else short


def nearest(key: str, names: list[str]) -> str:
    # Cut first: comparing a key of a million letters would take minutes.
    close = difflib.get_close_matches(key[:60], names, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def shown(value: object) -> str:
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:59] + "…")
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)
