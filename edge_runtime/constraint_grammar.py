"""Constraints compiled by llguidance for a vocabulary."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from edge_runtime.constraint import Choice, Constraint, JsonSchema, Regex
from edge_runtime.constraint_vocabulary import LEAD, Vocabulary
from edge_runtime.errors import EdgeVLError
from edge_runtime.sampling import Ids

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLParserLimits

# The grammar says what may follow, never which tokens spell it: that is for the model to say.
HEAD = '%llguidance {"no_forcing": true}\n'
# One blank, or a line break and how far the next line is set in: a weak model would fill its answer with blanks.
BLANKS = r" |\r?\n( {0,20}|\t{0,10})"
MOST_LEXER_STATES = 50_000  # of 1 to 2 kB each
MOST_SYMBOLS = 20_000  # more would take seconds, and the rows of most would be too long anyway
WORDS_LIMIT = 200
KINDS: dict[type[Constraint], tuple[str, str]] = {
    JsonSchema: ("EVL-CONSTRAINT-SCHEMA", "the schema"),
    Regex: ("EVL-CONSTRAINT-REGEX", "the regular expression"),
    Choice: ("EVL-CONSTRAINT-CHOICE", "the choice"),
}


class Grammar:
    """A constraint compiled for a vocabulary. Raises EdgeVLError EVL-CONSTRAINT-* where that is impossible or too
    costly; nothing is ever fetched for it."""

    def __init__(self, constraint: Constraint, vocabulary: Vocabulary) -> None:
        self._size = vocabulary.size
        state = compiled(constraint, vocabulary)
        begins = GrammarMatcher(state, self._size).allowed()
        # What may begin with a blank by itself is taken as it comes.
        self._has_lead = not np.isin(vocabulary.leading, begins).any()
        self._start = compiled(constraint, vocabulary, LEAD) if self._has_lead else state

    def matcher(self) -> GrammarMatcher:
        """For a new answer."""
        return GrammarMatcher(self._start.deep_copy(), self._size, self._has_lead)


class GrammarMatcher:
    """Where one answer stands under its grammar; a `constraint_matcher.Matcher`."""

    def __init__(self, state: LLMatcher, size: int, has_lead: bool = False) -> None:
        self._state = state
        self._size = size
        self._has_lead = has_lead

    @property
    def lead(self) -> str:
        """What may stand before the answer and is no part of it."""
        return LEAD if self._has_lead else ""

    def allowed(self) -> Ids:
        """Raises EdgeVLError EVL-CONSTRAINT-STUCK where the grammar got too complex, or no token fits."""
        bits = np.frombuffer(self._state.compute_bitmask(), dtype=np.uint8)
        self._check()
        ids: Ids = np.flatnonzero(np.unpackbits(bits, count=self._size, bitorder="little").view(np.bool_))
        return ids

    def take(self, token: int) -> None:
        """Raises as `allowed` does."""
        self._state.consume_token(token)
        self._check()

    @property
    def is_ended(self) -> bool:
        return bool(self._state.is_stopped())

    def _check(self) -> None:
        if self._state.is_error():
            raise EdgeVLError(
                "EVL-CONSTRAINT-STUCK",
                "the answer cannot go on under its constraint",
                words_from(self._state.get_error()),
                "write a simpler schema or expression, with fewer repetitions and alternatives",
            )


def check_constraint(constraint: Constraint) -> None:
    """What is wrong with a constraint whatever the model, as `Grammar` tells it."""
    Grammar(constraint, Vocabulary.of_bytes())


def limits() -> LLParserLimits:
    from llguidance import LLParserLimits

    return LLParserLimits(
        max_lexer_states=MOST_LEXER_STATES, max_grammar_size=MOST_SYMBOLS, verbose_errors=False
    )


def compiled(constraint: Constraint, vocabulary: Vocabulary, lead: str = "") -> LLMatcher:
    """At its beginning, and known to have one."""
    from llguidance import LLMatcher

    state = LLMatcher(vocabulary.trie, grammar_text(constraint, lead), log_level=0, limits=limits())
    if not state.is_error():
        state.compute_bitmask()  # tells whether there is any text at all
    if state.is_error():
        refuse(constraint, state.get_error())
    return state


def grammar_text(constraint: Constraint, lead: str) -> str:
    start = f'{HEAD}start: "{lead}"? ' if lead else f"{HEAD}start: "
    if isinstance(constraint, JsonSchema):
        schema = {**constraint.document, "x-guidance": {"whitespace_pattern": BLANKS}}
        parts = [{"lark_grammar": f"{start}@schema"}, {"name": "schema", "json_schema": schema}]
        return json.dumps({"grammars": parts})
    return f"{start}/{lark_from_constraint(constraint)}/"


def lark_from_constraint(constraint: Regex | Choice) -> str:
    from llguidance import regex_to_lark

    if isinstance(constraint, Regex):
        return str(regex_to_lark(constraint.pattern, ""))
    # One expression of all: as a rule of many texts it would meet the parser's limits.
    return "|".join("".join(map(escaped, option)) for option in constraint.options)


def escaped(letter: str) -> str:
    return letter if letter.isascii() and letter.isalnum() else f"\\x{{{ord(letter):x}}}"


def refuse(constraint: Constraint, message: str) -> NoReturn:
    code, what = KINDS[type(constraint)]
    why = words_from(message)
    raise EdgeVLError(code, f"{what} cannot be used", why, "change that, or write a simpler one")


def words_from(message: str) -> str:
    """What llguidance says, without our grammar, its state, its advice to programmers, addresses and places."""
    if (told := re.search(r"^error: (.+)$", message, re.MULTILINE)) is not None:
        text = told[1]
    else:
        text = message.split("\n", 1)[0].rpartition(" (in regex): ")[2]
    text = re.split(r" Enable '|; either |; consider ", text, maxsplit=1)[0]
    text = re.sub(r"\S+://\S+|\S+\.rs\b\S*", "…", text)
    return "no text satisfies it" if text == "NoExtensionBias" else text[:WORDS_LIMIT]
