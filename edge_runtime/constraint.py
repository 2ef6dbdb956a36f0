"""What an answer can be held to: a JSON schema, a regular expression, or a choice of texts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from edge_runtime.errors import EdgeVLError
from edge_runtime.given_texts import texts_from_given
from edge_runtime.tokenizer import check_spellable

# What compiling and matching cost grows with these; `docs/decisions.md` has what was measured.
SCHEMA_LIMIT_BYTES = 64 << 10
PATTERN_LIMIT = 4096  # characters, of an expression or of all expressions of a schema
MOST_PATTERNS = 16  # different ones in a schema: what several of them have in common takes exponential time
MOST_OPTIONS = 1000
OPTIONS_LIMIT_BYTES = 64 << 10
STEERING_KEY = "x-guidance"  # the library's own, no part of JSON schema


@dataclass(frozen=True)
class JsonSchema:
    """The answer is JSON that a schema (draft 2020-12) describes. Raises EdgeVLError EVL-CONSTRAINT-SCHEMA."""

    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            refuse_schema(
                f"got {type(self.text).__name__}, wanted its text", "write it down: json.dumps(schema)"
            )
        check_spellable(self.text, b"")
        if (size := len(self.text.encode())) > SCHEMA_LIMIT_BYTES:
            refuse_schema(f"it has {size} bytes, the limit is {SCHEMA_LIMIT_BYTES}", "shorten it")
        document = self.document
        if STEERING_KEY in document:
            refuse_schema(f"{STEERING_KEY!r} is no part of JSON schema", "leave that key out")
        patterns = set(patterns_in(document))
        if len(patterns) > MOST_PATTERNS or sum(map(len, patterns)) > PATTERN_LIMIT:
            refuse_schema(
                f"it has {len(patterns)} different patterns and formats of {sum(map(len, patterns))} characters",
                f"keep to {MOST_PATTERNS} of {PATTERN_LIMIT} characters in all",
            )

    @property
    def document(self) -> dict[str, object]:
        """The schema; `true` is the empty one."""
        try:
            found = json.loads(self.text, parse_constant=refuse_constant)
        except ValueError as error:
            refuse_schema(f"it is not JSON: {error}", "correct it", error)
        except RecursionError as error:
            refuse_schema("it is nested too deeply", "make it flatter", error)
        if found is True:
            return {}
        if not isinstance(found, dict):
            refuse_schema(
                f"it is {type(found).__name__}, not an object or true", "write a schema that allows something"
            )
        return found


@dataclass(frozen=True)
class Regex:
    """The whole answer matches an expression in the syntax of Rust's regex crate, without look-around. Raises
    EdgeVLError EVL-CONSTRAINT-REGEX."""

    pattern: str

    def __post_init__(self) -> None:
        if not isinstance(self.pattern, str):
            refuse_regex(f"got {type(self.pattern).__name__}, wanted text", "give its text")
        check_spellable(self.pattern, b"")
        if not 0 < len(self.pattern) <= PATTERN_LIMIT:
            refuse_regex(
                f"it has {len(self.pattern)} characters, wanted 1 to {PATTERN_LIMIT}",
                "write one of such a length",
            )
        if any(ord(letter) < 0x20 for letter in self.pattern):
            refuse_regex("it holds a control character", "spell it: \\n, \\t or \\x00")
        if trailing_backslashes(self.pattern) % 2:
            refuse_regex("it ends with half an escape", "write \\\\ for a backslash")


@dataclass(frozen=True)
class Choice:
    """The answer is one of these texts. Raises EdgeVLError EVL-CONSTRAINT-CHOICE."""

    options: Sequence[str]

    def __post_init__(self) -> None:
        options = texts_from_given(self.options, lambda why: refuse_choice(why, "give a list of texts"))
        object.__setattr__(self, "options", options)
        for option in self.options:
            check_spellable(option, b"")
        size = sum(len(option.encode()) for option in self.options)
        if (
            0 < len(self.options) <= MOST_OPTIONS
            and size <= OPTIONS_LIMIT_BYTES
            and all(map(len, self.options))
        ):
            return
        refuse_choice(
            f"got {len(self.options)} options of {size} bytes in all, wanted 1 to {MOST_OPTIONS} of at most"
            f" {OPTIONS_LIMIT_BYTES} in all, none of them empty",
            "leave out empty options and shorten the list",
        )


Constraint = JsonSchema | Regex | Choice


def patterns_in(document: object) -> Iterator[str]:
    """The expressions of a schema and the names of its formats, wherever they stand."""
    waiting = [document]  # no recursion: how deep the schema is has only been bounded by the parser
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting.extend(part)
        elif isinstance(part, dict):
            waiting.extend(part.values())
            yield from (part[key] for key in ("pattern", "format") if isinstance(part.get(key), str))
            if isinstance(by_pattern := part.get("patternProperties"), dict):
                yield from by_pattern


def trailing_backslashes(text: str) -> int:
    return len(text) - len(text.rstrip("\\"))


def refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def refuse_schema(why: str, fix: str, cause: Exception | None = None) -> NoReturn:
    raise EdgeVLError("EVL-CONSTRAINT-SCHEMA", "the schema cannot be used", why, fix) from cause


def refuse_choice(why: str, fix: str) -> NoReturn:
    raise EdgeVLError("EVL-CONSTRAINT-CHOICE", "this choice cannot be offered", why, fix)


def refuse_regex(why: str, fix: str) -> NoReturn:
    raise EdgeVLError("EVL-CONSTRAINT-REGEX", "the regular expression cannot be used", why, fix)
