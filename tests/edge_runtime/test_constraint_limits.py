"""What a constraint may cost: what is refused when it is made, when it is compiled, and never fetched."""

from __future__ import annotations

import json
import resource
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demo.walkthrough import CHECKPOINT
from edge_runtime.constraint import (
    MOST_OPTIONS,
    MOST_PATTERNS,
    PATTERN_LIMIT,
    SCHEMA_LIMIT_BYTES,
    Choice,
    Constraint,
    JsonSchema,
    Regex,
)
from edge_runtime.constraint_grammar import Grammar, check_constraint, words_from
from edge_runtime.constraint_vocabulary import Vocabulary
from edge_runtime.errors import EdgeVLError
from edge_runtime.tokenizer import Tokenizer

TIME_LIMIT_S = 20.0  # what is allowed takes a tenth of it on a quiet machine
MEMORY_LIMIT_MIB = 256


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    tokenizer = Tokenizer.open(CHECKPOINT / "tokenizer.json")
    end = tokenizer.id_of("<｜end▁of▁sentence｜>")
    assert end is not None
    return Vocabulary.of(tokenizer, 1152, end)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("nonsense", "not JSON"),
        ('{"maximum": NaN}', "NaN is no JSON number"),
        ('{"maximum": ' + "9" * 5000 + "}", "not JSON"),
        ("[]", "list, not an object"),
        ("null", "NoneType, not an object"),
        ("false", "bool, not an object"),
        ("1", "int, not an object"),
        ('{"x-guidance": {"lenient": true}}', "'x-guidance' is no part"),
        ('{"items":' * 5000 + "{}" + "}" * 5000, "nested too deeply"),
        (" " * SCHEMA_LIMIT_BYTES + "{}", f"{SCHEMA_LIMIT_BYTES + 2} bytes"),
        (json.dumps({"enum": ["x"] * 200_000}), f"the limit is {SCHEMA_LIMIT_BYTES}"),
    ],
)
def test_what_is_no_schema_is_refused_when_it_is_made(text: str, why: str) -> None:
    with pytest.raises(EdgeVLError) as caught:
        JsonSchema(text)
    assert caught.value.code == "EVL-CONSTRAINT-SCHEMA"
    assert why in caught.value.why


def test_a_schema_that_is_not_written_down_says_how() -> None:
    document: Any = {"type": "object"}
    with pytest.raises(EdgeVLError) as caught:
        JsonSchema(document)
    assert (caught.value.code, caught.value.why) == ("EVL-CONSTRAINT-SCHEMA", "got dict, wanted its text")
    assert "json.dumps(schema)" in caught.value.fix


@pytest.mark.parametrize("pattern", [None, 5, b"a"])
def test_an_expression_is_text(pattern: Any) -> None:
    with pytest.raises(EdgeVLError) as caught:
        Regex(pattern)
    assert caught.value.code == "EVL-CONSTRAINT-REGEX"
    assert caught.value.why == f"got {type(pattern).__name__}, wanted text"


@pytest.mark.parametrize(
    ("options", "kind"),
    [([1], "int"), (["a", None], "NoneType"), (None, "NoneType"), (5, "int"), (b"ab", "bytes")],
)
def test_a_choice_is_of_texts(options: Any, kind: str) -> None:
    with pytest.raises(EdgeVLError) as caught:
        Choice(options)
    assert (caught.value.code, caught.value.why) == ("EVL-CONSTRAINT-CHOICE", f"got {kind}, wanted texts")


def test_a_choice_may_be_any_row_of_texts() -> None:
    rows: list[Any] = [["a", "b", "a"], ("a", "b"), (each for each in "ab"), {"a": 1, "b": 2}]
    assert [Choice(row).options for row in rows] == [("a", "b")] * 4
    assert Choice("ab").options == ("ab",)


@pytest.mark.parametrize("text", ["true", "{}", '{"type": "object"}', "\n{}\n"])
def test_the_smallest_schemas_are_taken(text: str) -> None:
    check_constraint(JsonSchema(text))


def patterned(count: int) -> dict[str, Any]:
    return {"properties": {f"p{i}": {"type": "string", "pattern": f"^{i}$"} for i in range(count)}}


def test_as_many_patterns_as_are_allowed_and_one_more() -> None:
    JsonSchema(json.dumps(patterned(MOST_PATTERNS)))
    with pytest.raises(EdgeVLError, match=f"{MOST_PATTERNS + 1} different patterns"):
        JsonSchema(json.dumps(patterned(MOST_PATTERNS + 1)))


def test_patterns_count_once_however_often_they_stand() -> None:
    date = {"type": "string", "format": "date"}
    check_constraint(JsonSchema(json.dumps({"properties": {f"p{i}": date for i in range(50)}})))


def test_names_of_properties_are_no_patterns() -> None:
    named = {"pattern": {"type": "string"}, "format": {"type": "integer"}, "patternProperties": {"const": 1}}
    check_constraint(JsonSchema(json.dumps({"properties": named})))


@pytest.mark.parametrize("pattern", ["", "a" * (PATTERN_LIMIT + 1), "a\nb", "\t", "\x00", "\\", "a\\\\\\"])
def test_what_is_no_expression_is_refused_when_it_is_made(pattern: str) -> None:
    with pytest.raises(EdgeVLError) as caught:
        Regex(pattern)
    assert caught.value.code == "EVL-CONSTRAINT-REGEX"


@pytest.mark.parametrize(
    "options", [[], [""], ["a", ""], [f"{i}" for i in range(MOST_OPTIONS + 1)], ["x" * 65_537]]
)
def test_what_is_no_choice_is_refused_when_it_is_made(options: list[str]) -> None:
    with pytest.raises(EdgeVLError) as caught:
        Choice(options)
    assert caught.value.code == "EVL-CONSTRAINT-CHOICE"


def test_one_text_is_a_choice_of_one_and_repeated_ones_count_once() -> None:
    assert Choice("yes").options == ("yes",)
    assert Choice(["b", "a", "b"]).options == ("b", "a")


@pytest.mark.parametrize("make", [JsonSchema, Regex, lambda text: Choice([text])])
def test_text_that_is_no_unicode_is_refused(make: Callable[[str], Constraint]) -> None:
    with pytest.raises(EdgeVLError, match="EVL-TEXT-UNICODE"):
        make('{"const": "\ud800"}')


def conjoined(count: int) -> dict[str, Any]:
    return {"allOf": [{"type": "string", "pattern": f"(ab|c{i})*d"} for i in range(count)]}


def nested(depth: int) -> dict[str, Any]:
    return {"type": "array", "items": nested(depth - 1)} if depth else {"type": "integer"}


def laughs(levels: int, combine: str) -> dict[str, Any]:
    each = {f"a{i}": {combine: [{"$ref": f"#/$defs/a{i - 1}"}] * 3} for i in range(1, levels)}
    return {"$ref": f"#/$defs/a{levels - 1}", "$defs": {"a0": {"type": "integer"}, **each}}


BOMBS: dict[str, dict[str, Any] | str] = {
    "repeated repetition": "(a{1,1000}){1,1000}",
    "thrice repeated repetition": "((a{1,1000}){1,1000}){1,1000}",
    "repetition of anything": "(.{1,1000}){1,1000}b",
    "many states": ".*a.{40}",
    "many maybes": "a?" * 1000 + "a" * 2000,
    "many maybe parts": "([^a]*b)?" * 450,
    "many repeated parts": "(.{0,1000}x){0,1000}" * 200,
    "many words": "(\\w*\\s?)?" * 300 + "[a-z]" * 200,
    "many brackets": "(" * 2000 + "a" + ")" * 2000,
    "many stars": "(" * 90 + "a" + "*)*" * 90,
    "a large enum": {"enum": [f"value {i}" for i in range(4000)]},
    "many properties": {"properties": {f"p{i}": True for i in range(4000)}},
    "many named and others": {
        "properties": {f"{i * 7919}": {} for i in range(3000)},
        "additionalProperties": {"type": "string"},
    },
    "many alternatives": {"anyOf": [{"properties": {f"k{i}": {}}, "type": "object"} for i in range(1000)]},
    "many of each": {"allOf": [{"anyOf": [{"required": [f"p{i}"]}, {"required": [f"q{i}"]}]} for i in range(300)]},
    "patterns that must all match": conjoined(MOST_PATTERNS),
    "patterns that must not meet": {
        "patternProperties": {f"^a{i}.*b{i}$": {} for i in range(MOST_PATTERNS)},
        "properties": {f"p{i}": True for i in range(3000)},
    },
    "deep arrays": nested(400),
    "a reference to itself": {"$ref": "#"},
    "references in a circle": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    "a billion items": laughs(20, "prefixItems"),
    "a billion conditions": laughs(20, "allOf"),
    "a billion alternatives": laughs(20, "anyOf"),
    "a long text": {"type": "string", "pattern": "^(.*a.{100}b|c.*d){3,500}$", "minLength": 500},
    "a long list": {"type": "array", "items": nested(2), "minItems": 100_000, "maxItems": 10**9},
    "odd numbers": {"type": "integer", "minimum": -(10**18), "maximum": 10**18, "multipleOf": 7919},
}  # fmt: skip


def peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def followed(bomb: dict[str, Any] | str, vocabulary: Vocabulary) -> None:
    """As a request would: made, checked, compiled, and forty tokens said."""
    constraint = Regex(bomb) if isinstance(bomb, str) else JsonSchema(json.dumps(bomb))
    check_constraint(constraint)
    matcher = Grammar(constraint, vocabulary).matcher()
    draws = np.random.default_rng(0)
    for _ in range(40):
        tokens = matcher.allowed()[:-1]  # the end token has the last of these ids
        if matcher.is_ended or not tokens.size:
            return
        matcher.take(int(draws.choice(tokens)))


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_or_cheap(name: str, vocabulary: Vocabulary) -> None:
    before, start = peak_mib(), time.perf_counter()
    with suppress(EdgeVLError):  # anything else would be a fault of ours
        followed(BOMBS[name], vocabulary)
    assert time.perf_counter() - start < TIME_LIMIT_S
    assert peak_mib() - before < MEMORY_LIMIT_MIB


@pytest.mark.parametrize("key", ["$ref", "$schema", "$id"])
def test_nothing_is_fetched_for_a_schema(key: str, vocabulary: Vocabulary, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"
        found = outcome({key: address, "type": "object"}, vocabulary)
        with pytest.raises(TimeoutError):
            server.accept()
    assert "127.0.0.1" not in found


def test_no_file_is_read_for_a_schema(vocabulary: Vocabulary, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"type": "integer"}', encoding="utf-8")
    for reference in (other.as_uri(), str(other), "other.json"):
        found = outcome({"$ref": reference}, vocabulary)
        assert found.startswith("EVL-CONSTRAINT-SCHEMA"), found


def outcome(document: dict[str, Any], vocabulary: Vocabulary) -> str:
    try:
        Grammar(JsonSchema(json.dumps(document)), vocabulary)
    except EdgeVLError as error:
        return f"{error.code} {error.why}"
    return "taken"


def test_an_answer_that_meets_a_limit_on_its_way_is_told_so(vocabulary: Vocabulary) -> None:
    with pytest.raises(EdgeVLError) as caught:
        followed("(.{1,1000}){1,1000}b", vocabulary)
    assert caught.value.code == "EVL-CONSTRAINT-STUCK"
    assert caught.value.exit_status == 2


@pytest.mark.parametrize("constraint", [JsonSchema('{"type": "strange"}'), Regex("["), Regex("[^\\s\\S]")])
def test_what_is_wrong_is_known_before_there_is_a_model(
    constraint: Constraint, vocabulary: Vocabulary
) -> None:
    with pytest.raises(EdgeVLError) as early:
        check_constraint(constraint)
    with pytest.raises(EdgeVLError) as late:
        Grammar(constraint, vocabulary)
    assert (early.value.code, early.value.why) == (late.value.code, late.value.why)


def test_a_missing_library_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(EdgeVLError) as caught:
        check_constraint(Choice(["a"]))
    assert caught.value.code == "EVL-CONSTRAINT-MISSING"
    assert caught.value.fix == "pip install 'edge-vl[schema]'"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("NoExtensionBias\n<non-verbose/>", "no text satisfies it"),
        ("Invalid type: strange\n  while processing #", "Invalid type: strange"),
        (
            'at 2(8): invalid regex "[" (in regex): regex parse error:\n  [\nerror: unclosed\n  1 | %x',
            "unclosed",
        ),
        ('at 2(8): invalid regex "\\b" (in regex): no look-around\n  1 | %x', "no look-around"),
        ("Resource 'http://host/x' is not present", "Resource … is not present"),
        ("panicked at /root/a/src/b.rs:12:3 twice", "panicked at … twice"),
        ("not supported. Enable 'this' option", "not supported."),
        ("x" * 900, "x" * 200),
    ],
)
def test_words_of_the_library_are_told_without_what_is_of_no_use(message: str, words: str) -> None:
    assert words_from(message) == words
