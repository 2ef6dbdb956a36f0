"""Schemas, a model of a few lines that would say anything, and a reader of answers that knows as much of JSON schema as the
tests use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_runtime.backends.backend import Array, Ints
from edge_runtime.constraint import Constraint
from edge_runtime.constraint_grammar import Grammar
from edge_runtime.constraint_vocabulary import Vocabulary
from edge_runtime.embedding import EmbeddedPrompt
from edge_runtime.prompt import PromptTokens
from edge_runtime.sampling import Sampling, rng_from_seed
from edge_runtime.scores import Scores
from edge_runtime.sequence import KVSequence
from edge_runtime.tokenizer import Tokenizer
from edge_runtime.tokens import Tokens

PROMPT = (1, 2, 3)
CLOSING = '"}],. 0159'  # said a little more often, or random texts would hardly ever end

POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer", "minimum": 0, "maximum": 999}, "y": {"type": "number"}},
    "required": ["x", "y"],
    "additionalProperties": False,
}
TREE = {
    "$defs": {
        "tree": {
            "type": "object",
            "properties": {
                "name": {"enum": ["leaf", "größer", "中", "🙂"]},
                "below": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 2},
            },
            "required": ["name"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/tree",
}
SCHEMAS: dict[str, dict[str, Any]] = {
    "point": POINT,
    "points": {"type": "array", "items": POINT, "minItems": 1, "maxItems": 3},
    "tree": TREE,
    "short": {"type": "string", "minLength": 2, "maxLength": 6},
    "code": {
        "type": "object",
        "properties": {"code": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{1,3}$"}, "ok": {"type": "boolean"}},
        "required": ["code", "ok"],
        "additionalProperties": False,
    },
    "either": {"anyOf": [{"type": "null"}, {"const": {"é": [1, "中"]}}, POINT]},
    "anything": {},
}  # fmt: skip


@dataclass
class Babbler:
    """Random logits that depend on every token so far."""

    tokenizer: Tokenizer
    eos: int
    vocab: int
    seed: int
    capacity: int = 512
    batch: int = 1
    held: list[int] = field(default_factory=list)

    def row(self, row: int) -> Babbler:
        assert row == 0
        return self

    def step(self, embeds: Array, write_index: Ints, logit_index: Ints) -> Scores:
        self.held = [*self.held[: int(write_index[0])], *embeds[0, :, 0].astype(int).tolist()]
        draws = np.random.default_rng([self.seed, *self.held])
        logits = draws.standard_normal((1, 1, self.vocab)).astype(np.float32)
        logits[..., [*self.tokenizer.encode(CLOSING), self.eos]] += 2.0
        return Scores.of(logits)


@dataclass(frozen=True)
class Speaker:
    """What the babbler says to a prompt, with and without a constraint."""

    tokenizer: Tokenizer
    eos: int
    vocab: int
    vocabulary: Vocabulary

    @classmethod
    def of(cls, tokenizer: Tokenizer, eos: int, vocab: int) -> Speaker:
        return cls(tokenizer, eos, vocab, Vocabulary.of(tokenizer, vocab, eos))

    def says(
        self, constraint: Constraint | None, seed: int = 0, limit: int = 200, sampling: Sampling = Sampling()
    ) -> list[int]:
        """The ids, without the end token; as many as `limit` are an answer that was cut."""
        table = np.arange(self.vocab, dtype=np.float32)[:, None]
        sequence = KVSequence(Babbler(self.tokenizer, self.eos, self.vocab, seed), table)
        scores, _ = sequence.prefill(EmbeddedPrompt(PromptTokens(PROMPT, (), 1), table, [], []))
        matcher = None if constraint is None else Grammar(constraint, self.vocabulary).matcher()
        rng = rng_from_seed(seed)
        tokens = Tokens(PROMPT, sampling, rng, self.eos, limit, matcher)
        while tokens.reason is None:
            token = tokens.choose(scores)
            if token is not None and tokens.reason is None:
                scores = sequence.append(token)
        return tokens.ids

    def text(self, ids: list[int], constraint: Constraint) -> str:
        spelled = b"".join(map(self.tokenizer.bytes_of, ids)).decode(
            "utf-8"
        )  # strictly: nothing is patched up
        return spelled.removeprefix(Grammar(constraint, self.vocabulary).matcher().lead)


def is_valid(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    if "$ref" in schema:
        return is_valid(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root)
    if "anyOf" in schema:
        return any(is_valid(value, each, root) for each in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    if "const" in schema:
        return bool(value == schema["const"])
    if "type" in schema:
        return READERS[schema["type"]](value, schema, root)
    return True


def is_object(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    known = schema.get("properties", {})
    return (
        isinstance(value, dict)
        and all(key in value for key in schema.get("required", ()))
        and (schema.get("additionalProperties", True) or set(value) <= set(known))
        and all(is_valid(value[key], known[key], root) for key in known if key in value)
    )


def is_array(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    return (
        isinstance(value, list)
        and schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        and all(is_valid(each, schema.get("items", {}), root) for each in value)
    )


def is_string(value: Any, schema: Mapping[str, Any], _: Mapping[str, Any]) -> bool:
    return (
        isinstance(value, str)
        and schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
        and re.search(schema.get("pattern", ""), value) is not None
    )


def is_number(value: Any, schema: Mapping[str, Any], _: Mapping[str, Any]) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and schema.get("minimum", value) <= value <= schema.get("maximum", value)
        and (schema["type"] == "number" or float(value).is_integer())
    )


READERS = {
    "object": is_object,
    "array": is_array,
    "string": is_string,
    "number": is_number,
    "integer": is_number,
    "boolean": lambda value, *_: isinstance(value, bool),
    "null": lambda value, *_: value is None,
}
