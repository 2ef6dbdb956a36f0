"""Holds a fake class to the real one: no member that it lacks, no argument that it refuses, nothing set that it has not."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from tests.edge_runtime.native.signatures import Api, Member, Signature

# What some versions have and others lack; whatever else the fakes offer is in all of them.
ONLY_SOME: Mapping[str, frozenset[str]] = {
    "Runtime": frozenset({"get_engine_validity"}),
    "ICudaEngine": frozenset({"create_runtime_config", "get_aliased_input_tensor"}),
    "IExecutionContext": frozenset({"get_runtime_config", "is_stream_capturable"}),
    "IRuntimeConfig": frozenset(
        {
            "get_execution_context_allocation_strategy", "set_execution_context_allocation_strategy",
            "dynamic_shapes_kernel_specialization_strategy", "cuda_graph_strategy",
            "create_runtime_cache", "get_runtime_cache", "set_runtime_cache",
        }
    ),
    "IRuntimeCache": frozenset({"serialize", "deserialize", "reset"}),
}  # fmt: skip
ARGUMENTS_OF_SOME = {("ICudaEngine", "create_execution_context"): frozenset({"runtime_config"})}
INTEGERS = ("int", "typing.SupportsInt")
BUFFERS = ("buffer", "typing_extensions.Buffer")


class Drift(Exception):
    """The fake offers what no real class has, or in another way."""


class NotOffered(Exception):
    """The real class has this and the fake does not: write it."""


class Word(enum.Enum):
    """As pybind11's enumerations: ordered among themselves, no integers but with a number."""

    def __int__(self) -> int:
        return int(self.value)

    def __index__(self) -> int:
        return int(self.value)

    def __lt__(self, other: object) -> bool:
        return isinstance(other, type(self)) and int(self) < int(other)

    def __le__(self, other: object) -> bool:
        return isinstance(other, type(self)) and int(self) <= int(other)

    def __gt__(self, other: object) -> bool:
        return isinstance(other, type(self)) and int(self) > int(other)

    def __ge__(self, other: object) -> bool:
        return isinstance(other, type(self)) and int(self) >= int(other)


def words_from_api(api: Api, name: str) -> type[Word]:
    values = {each: member.value for each, member in api.classes[name].items() if member.kind == "value"}
    make: Any = Word
    words: type[Word] = make(name, values)
    return words


class Surface:
    """Base of every fake class. `_members` are those of the real one, `_kinds` the classes that arguments may have."""

    _members: Mapping[str, Member] = {}
    _kinds: Mapping[str, type] = {}
    _title: str = ""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in self._members:
            raise NotOffered(f"{self._title}.{name}")
        raise AttributeError(f"{self._title!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_"):
            member = self._members.get(name)
            if member is None:
                raise AttributeError(f"{self._title!r} object has no attribute {name!r}")
            if not member.is_settable:
                raise AttributeError(f"property of {self._title!r} object has no setter")
        object.__setattr__(self, name, value)


def fitted(kind: type[Surface], api: Api, kinds: Mapping[str, type]) -> type[Surface]:
    """The fake class as a version has it; Drift where that version cannot be faked with it."""
    name = kind.__name__
    members = api.classes.get(name, {})
    body: dict[str, Any] = {"_members": members, "_kinds": kinds, "_title": f"{api.library}.{name}"}
    for each in offered(kind):
        member = members.get(each)
        if member is not None:
            body |= guarded(kind, each, member)
        elif each in ONLY_SOME.get(name, frozenset()):
            body[each] = property(absent(f"{api.library}.{name}", each))
        else:
            raise Drift(f"{api.title} has no {name}.{each}")
    return type(name, (kind,), body)


def offered(kind: type[Surface]) -> list[str]:
    """Public members that the fake classes themselves define."""
    theirs = kind.__mro__[: kind.__mro__.index(Surface)]
    return sorted({name for each in theirs for name in vars(each) if not name.startswith("_")})


def absent(title: str, name: str) -> Callable[[object], Any]:
    def refuse(_: object) -> Any:
        raise AttributeError(f"{title!r} object has no attribute {name!r}")

    return refuse


def guarded(kind: type[Surface], name: str, member: Member) -> dict[str, Any]:
    found = inspect.getattr_static(kind, name)
    is_property = isinstance(found, property)
    if is_property != (member.kind == "property"):
        raise Drift(f"{kind.__name__}.{name} is a {member.kind} of the real class")
    if is_property:
        if found.fset is not None and not member.is_settable:
            raise Drift(f"{kind.__name__}.{name} cannot be set in the real class")
        return {}
    if member.kind == "value":
        return {}
    taken = set(list(inspect.signature(found).parameters)[1:])
    theirs = [{argument.name for argument in each.arguments} for each in member.overloads]
    known = set[str]().union(*theirs, ARGUMENTS_OF_SOME.get((kind.__name__, name), frozenset()))
    if not any(names <= taken for names in theirs) or not taken <= known:
        raise Drift(f"{kind.__name__}.{name} takes {sorted(taken)}, the real one {theirs}")
    return {name: checked(name, found, member.overloads, taken)}


def checked(
    name: str, function: Callable[..., Any], overloads: tuple[Signature, ...], taken: set[str]
) -> Callable[..., Any]:
    """Refuses, as pybind11 does, arguments that no overload takes."""

    def call(self: Surface, *positional: object, **named: object) -> Any:
        for overload in overloads:
            bound = bound_to(overload, positional, named, self._kinds)
            if bound is None:
                continue
            if not set(bound) <= taken:
                raise NotOffered(f"{self._title}.{name}{overload}")
            return function(self, **bound)
        ways = "\n".join(f"    {index + 1}. {each}" for index, each in enumerate(overloads))
        raise TypeError(
            f"{name}(): incompatible function arguments. The following argument types are supported:\n{ways}\n"
            f"Invoked with: {positional}, {named}"
        )

    return call


def bound_to(
    overload: Signature,
    positional: tuple[object, ...],
    named: Mapping[str, object],
    kinds: Mapping[str, type],
) -> dict[str, object] | None:
    """Arguments by name; None where they do not fit."""
    names = [each.name for each in overload.arguments]
    if (
        len(positional) > len(names)
        or set(named) & set(names[: len(positional)])
        or not set(named) <= set(names)
    ):
        return None
    given = dict(zip(names, positional, strict=False)) | dict(named)
    for argument in overload.arguments:
        if argument.name not in given:
            if not argument.is_optional:
                return None
        elif not takes(argument.kind, given[argument.name], kinds):
            return None
    return given


def takes(kind: str, value: object, kinds: Mapping[str, type]) -> bool:
    if kind in INTEGERS:
        return hasattr(value, "__index__") and not isinstance(value, Word)
    if kind in BUFFERS:
        return is_buffer(value)
    plain: dict[str, type] = {"str": str, "bool": bool, "tuple": tuple, "list": list}
    wanted = plain.get(kind) or kinds.get(kind)
    return wanted is not None and isinstance(value, wanted)


def is_buffer(value: object) -> bool:
    try:
        memoryview(value).release()  # type: ignore[arg-type]
    except TypeError:
        return False
    return True
