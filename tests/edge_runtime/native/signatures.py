"""What a TensorRT module offers: classes, members, what arguments they take; read of the module or of a record."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

RECORDS = Path(__file__).with_name("signatures")
CLASSES = (
    "ILogger", "Logger", "Severity", "Runtime", "ICudaEngine", "IExecutionContext", "IRuntimeConfig", "IRuntimeCache",
    "IHostMemory", "Dims", "DataType", "TensorIOMode", "TensorLocation", "TensorFormat",
    "ExecutionContextAllocationStrategy", "DynamicShapesKernelSpecializationStrategy", "CudaGraphStrategy",
    "EngineValidity",
)  # fmt: skip
PREFIX = re.compile(r"\b(?:tensorrt\w*\.)+|\bnvinfer1::(?:v_1_0::)?")
SPECIAL = ("__init__", "__enter__", "__exit__")


@dataclass(frozen=True)
class Argument:
    name: str
    kind: str
    is_optional: bool


@dataclass(frozen=True)
class Signature:
    """One overload of a method, without self."""

    arguments: tuple[Argument, ...]
    result: str
    is_open: bool = False  # takes whatever it is given

    def __str__(self) -> str:
        words = [f"{each.name}: {each.kind}" + " = ..." * each.is_optional for each in self.arguments]
        return f"({', '.join(words)}) -> {self.result}"


@dataclass(frozen=True)
class Member:
    """A method has overloads; a property may be settable; a member of an enumeration has a value."""

    kind: str  # method, property, value
    overloads: tuple[Signature, ...] = ()
    is_settable: bool = False
    value: int | None = None


@dataclass(frozen=True)
class Api:
    library: str
    version: str
    names: frozenset[str]  # of the module
    classes: Mapping[str, Mapping[str, Member]]

    @property
    def title(self) -> str:
        return f"{self.library}-{self.version}"


def api_from_module(module: ModuleType) -> Api:
    names = frozenset(name for name in dir(module) if not name.startswith("_"))
    found = {name: class_named(module, name) for name in CLASSES}
    classes = {name: dict(members_of(kind)) for name, kind in found.items() if kind is not None}
    return Api(module.__name__, str(module.__version__), names, classes)


def class_named(module: ModuleType, name: str) -> type | None:
    holder = module.ILogger if name == "Severity" else module
    return getattr(holder, name, None)


def members_of(kind: type) -> Iterator[tuple[str, Member]]:
    values = getattr(kind, "__members__", {})
    for name, value in values.items():
        yield name, Member("value", value=int(value.value))
    for name in dir(kind):
        if name in values or (name.startswith("_") and name not in SPECIAL):
            continue
        member = getattr(kind, name)
        if isinstance(member, property):
            yield name, Member("property", is_settable=member.fset is not None)
        elif callable(member) and not isinstance(member, type | enum.Enum) and name != "name":
            yield name, Member("method", overloads_from_text(name, member.__doc__ or ""))


def overloads_from_text(name: str, text: str) -> tuple[Signature, ...]:
    """What pybind11 writes into a docstring: one line for each way to call; none where another wrote it."""
    lines = re.findall(rf"^(?:\d+\. )?{name}\((self: .*|\*args.*)\) -> (.*)$", text, re.MULTILINE)
    found = [(arguments, result) for arguments, result in lines if not arguments.startswith("*")]
    return tuple(signature_from_text(*each) for each in found) or (Signature((), "Any", is_open=True),)


def signature_from_text(arguments: str, result: str) -> Signature:
    found = []
    for each in split(PREFIX.sub("", arguments))[1:]:
        name, _, rest = each.partition(": ")
        kind, _, default = rest.partition(" = ")
        found.append(Argument(name, kind, bool(default)))
    return Signature(tuple(found), PREFIX.sub("", result))


def split(text: str) -> list[str]:
    """At the commas that are in no brackets."""
    return [part.strip() for part in re.split(r",\s*(?![^\[<(]*[\]>)])", text)]


def record_from_api(api: Api) -> dict[str, object]:
    classes = {
        kind: {name: word_from_member(member) for name, member in sorted(members.items())}
        for kind, members in sorted(api.classes.items())
    }
    return {
        "library": api.library,
        "version": api.version,
        "names": " ".join(sorted(api.names)),
        "classes": classes,
    }


def word_from_member(member: Member) -> object:
    if member.kind == "method":
        return [str(each) if not each.is_open else "(*)" for each in member.overloads]
    if member.kind == "value":
        return member.value
    return "read and write" if member.is_settable else "read"


def member_from_word(word: object) -> Member:
    if isinstance(word, list):
        return Member("method", tuple(signature_from_word(each) for each in word))
    if isinstance(word, int):
        return Member("value", value=word)
    return Member("property", is_settable=word == "read and write")


def signature_from_word(word: str) -> Signature:
    if word == "(*)":
        return Signature((), "Any", is_open=True)
    arguments, result = word[1:].rsplit(") -> ", 1)
    return signature_from_text(f"self: Any, {arguments}" if arguments else "self: Any", result)


def recorded(title: str) -> Api:
    """By what its file in `signatures/` is called, without the ending."""
    record = json.loads((RECORDS / f"{title}.json").read_text())
    classes = {
        kind: {name: member_from_word(word) for name, word in members.items()}
        for kind, members in record["classes"].items()
    }
    return Api(record["library"], record["version"], frozenset(record["names"].split()), classes)


def recorded_titles() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in RECORDS.glob("*.json")))
