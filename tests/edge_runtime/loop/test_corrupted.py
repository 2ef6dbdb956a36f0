"""Where the engine's numbers are none, that answer fails, and no other now or later."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_runtime.assistant import Assistant
from edge_runtime.backends.backend import Array, Ints
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.draft import DraftRules
from edge_runtime.errors import MachineFault
from edge_runtime.loop.loop import Limits, Loop
from edge_runtime.loop.ticket import Ticket
from edge_runtime.request import Request
from edge_runtime.table import Table
from edge_runtime.tokenizer import Tokenizer
from tests.edge_runtime.loop.asking import TEXTS, answers_of, asked_alone, question, run_out
from tests.proof.subject import bundle_below, session_folder

POISON, NOBODY = "~", -1


class Poisoned:
    """A table whose row for one token is no number."""

    def __init__(self, table: Table, token: int) -> None:
        self._table = table
        self._token = token

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self._table.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self._table.shape

    def __getitem__(self, ids: int | Ints) -> Array:
        rows = np.array(self._table[ids])
        rows[np.asarray(ids) == self._token] = np.nan
        return rows


def poison(loop: Loop, bundle: Bundle, token: int | None = None) -> None:
    if token is None:
        (token,) = Tokenizer.open(bundle.tokenizer_path).encode(POISON)
    table = Poisoned(bundle.embedding(), token)
    loop._rows._table = loop._reader._table = table
    for sequence in loop._rows.sequences:
        sequence.table = table


def code_of(ticket: Ticket) -> str:
    with pytest.raises(MachineFault) as caught:
        ticket.answer  # noqa: B018
    return caught.value.code


def test_a_prompt_that_breaks_the_model_fails_alone(loop: Loop, bundle: Bundle, alone: Assistant) -> None:
    poison(loop, bundle)
    texts = (TEXTS[0], f"what {POISON} is it?", TEXTS[1])
    good, bad, other = (loop.submit(question(bundle, text)) for text in texts)
    run_out(loop)
    assert code_of(bad) == "EVL-LOGITS-NONFINITE"
    for ticket, text in ((good, TEXTS[0]), (other, TEXTS[1])):
        assert ticket.answer.token_ids == asked_alone(alone, text, None).token_ids
    assert (loop.corrupted, loop.running, loop._rows.free_count) == (1, 0, 3)


def test_an_answer_that_breaks_off_beside_others_fails_alone(
    loop: Loop, bundle: Bundle, alone: Assistant
) -> None:
    texts = ("where is the lamp?", "why?")
    wanted = [asked_alone(alone, text, None).token_ids for text in texts]
    (fatal, *_) = [token for token in wanted[0] if token not in wanted[1]]
    poison(loop, bundle, fatal)
    bad, good = (loop.submit(question(bundle, text)) for text in texts)
    run_out(loop)
    assert code_of(bad) == "EVL-LOGITS-NONFINITE"
    assert good.answer.token_ids == wanted[1]
    assert loop.corrupted == 1


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("dialect", ["trt10", "trt"])
def test_a_dialect_that_multiplies_what_is_hidden_forgets_it_too(
    dialect: Dialect, slots: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = bundle_below(session_folder(tmp_path_factory), "windowed", dialect=dialect)
    bundle = Bundle.open(path, is_trusted=True)
    backend = OrtBackend(bundle, threads=1, dialect=dialect)
    loop = Loop(bundle, backend, Limits(slots=slots))
    tickets = [loop.submit(question(bundle, "what is it?")) for _ in range(slots)]
    wanted = [answer.token_ids for answer in answers_of(loop, tickets)]
    poison(loop, bundle)
    bad = [loop.submit(question(bundle, f"what is it? a b c d e f g {POISON}")) for _ in range(slots)]
    run_out(loop)
    assert {code_of(each) for each in bad} == {"EVL-LOGITS-NONFINITE"}
    poison(loop, bundle, NOBODY)
    again = [loop.submit(question(bundle, "what is it?")) for _ in range(slots)]
    assert [answer.token_ids for answer in answers_of(loop, again)] == wanted
    backend.close()


@pytest.mark.parametrize("dialect", ["trt10", "trt"])
def test_beside_an_answer_that_breaks_off_in_such_a_dialect_another_loses_nothing(
    dialect: Dialect, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = bundle_below(session_folder(tmp_path_factory), "windowed", dialect=dialect)
    bundle = Bundle.open(path, is_trusted=True)
    backend = OrtBackend(bundle, threads=1, dialect=dialect)
    loop, long = Loop(bundle, backend, Limits(slots=2)), Request(max_tokens=40)
    (first,) = answers_of(loop, [loop.submit(question(bundle, TEXTS[0]))])
    (second,) = answers_of(loop, [loop.submit(question(bundle, TEXTS[4], request=long))])
    asked = question(bundle, TEXTS[0])
    known = {*asked.prompt.ids, *question(bundle, TEXTS[4]).prompt.ids, *second.token_ids}
    poison(loop, bundle, next(token for token in first.token_ids[1:-1] if token not in known))
    company = loop.submit(question(bundle, TEXTS[4], request=long))
    assert code_of(after(loop, loop.submit(asked))) == "EVL-LOGITS-NONFINITE"
    assert after(loop, company).answer.token_ids == second.token_ids
    backend.close()


@pytest.mark.parametrize("drafts", [None, DraftRules(shortest=1)])
def test_what_a_fault_left_in_a_row_is_in_no_later_answer(
    bundle: Bundle, alone: Assistant, drafts: DraftRules | None
) -> None:
    backend = OrtBackend(bundle, threads=1)
    loop = Loop(bundle, backend, Limits(slots=1), drafts=drafts)
    poison(loop, bundle)
    request = Request(max_tokens=40)
    for text in (f"what is it? {POISON} {POISON}", f"{POISON}", f"what is it? a b c {POISON}"):
        assert code_of(after(loop, loop.submit(question(bundle, text)))) == "EVL-LOGITS-NONFINITE"
        (answer,) = answers_of(loop, [loop.submit(question(bundle, "what is it?", request=request))])
        assert answer.token_ids == asked_alone(alone, "what is it?", None, request).token_ids
        assert answer.usage.cached_tokens == 0
    assert loop.corrupted == 3
    backend.close()


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "beside another"])
def test_what_an_answer_broke_off_with_is_no_beginning_of_the_next(
    loop: Loop, bundle: Bundle, alone: Assistant, others: int
) -> None:
    first = question(bundle, TEXTS[0])
    said = asked_alone(alone, TEXTS[0], None).token_ids
    fatal = next(token for token in said[1:-1] if token not in first.prompt.ids)
    poison(loop, bundle, fatal)
    company = [loop.submit(question(bundle, "why?", request=Request(max_tokens=90))) for _ in range(others)]
    assert code_of(after(loop, loop.submit(first))) == "EVL-LOGITS-NONFINITE"
    for each in company:
        after(loop, each)
    poison(loop, bundle, NOBODY)
    longer = replace(first.prompt, ids=(*first.prompt.ids, *said[: said.index(fatal) + 1], said[0]))
    answer = after(loop, loop.submit(replace(first, prompt=longer))).answer
    assert answer.usage.cached_tokens == 0 and len(answer.token_ids) > 0


def after(loop: Loop, ticket: Ticket) -> Ticket:
    run_out(loop)
    return ticket


def test_an_assistant_forgets_what_a_fault_left(bundle: Bundle, alone: Assistant) -> None:
    with Assistant(bundle, OrtBackend(bundle, threads=1)) as assistant:
        parts = assistant._parts
        assert parts is not None
        (token,) = assistant.tokenizer.encode("?")
        sound, parts.sequence.table = parts.sequence.table, Poisoned(parts.table, token)
        object.__setattr__(parts, "table", parts.sequence.table)
        with pytest.raises(MachineFault):
            assistant.ask(TEXTS[0])
        parts.sequence.table = sound
        object.__setattr__(parts, "table", sound)
        answer = assistant.ask(TEXTS[0], request=Request(max_tokens=12))
    assert (answer.usage.cached_tokens, answer.text) == (0, asked_alone(alone, TEXTS[0], None).text)
