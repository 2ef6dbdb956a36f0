"""Guessing ahead changes how many steps an answer takes, and nothing of the answer."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.answer import Piece
from edge_runtime.backends.backend import Array, Floats, Ints
from edge_runtime.constraint import Choice, Regex
from edge_runtime.draft import DraftRules
from edge_runtime.embedding import EmbeddedPrompt
from edge_runtime.errors import MachineFault
from edge_runtime.prompt import PromptTokens
from edge_runtime.request import Request
from edge_runtime.sampling import Sampling
from edge_runtime.scores import Scores
from edge_runtime.sequence import KVSequence
from edge_runtime.tokenizer import Tokenizer
from edge_runtime.voice import Voice
from tests.checkpoints import EOS_ID, IMAGE_ID, write_tokenizer
from tests.edge_runtime.fake_backend import VOCAB, fake_spec

TABLE = np.arange(VOCAB, dtype=np.float32)[:, None]
EAGER = DraftRules(most=7, longest=3, shortest=1, rest=2)
SONG = "row row row your boat, row row row your boat, gently down, gently down, row row "
PROMPT = "sing: row row row your boat, gently down the stream. "


@dataclass
class Reciter:
    """Likeliest is what a text says next; every logit follows from all that the cache holds up to the row. From
    `broken_from` on what it says is no number."""

    text: list[int]
    prompt: int
    strength: float = 9.0
    capacity: int = 400
    broken_from: int = 1 << 30
    batch: int = 1
    steps: int = 0
    cache: Ints = field(default_factory=lambda: np.full(400, -1, dtype=np.int64))

    def row(self, row: int) -> Reciter:
        assert row == 0
        return self

    def step(self, embeds: Array, write_index: Ints, logit_index: Ints) -> Scores:
        ids, start = embeds[0, :, 0].astype(np.int64), int(write_index[0])
        assert start + ids.size <= self.capacity, "a step may not leave the cache"
        self.cache[start : start + ids.size] = ids
        self.steps += 1
        rows = [self._logits(start + int(place)) for place in logit_index[0]]
        return Scores.of(np.stack(rows)[None])

    def _logits(self, place: int) -> Floats:
        seed = zlib.crc32(self.cache[: place + 1].tobytes())
        logits = np.random.Generator(np.random.PCG64(seed)).normal(size=VOCAB).astype(np.float32)
        said = place + 1 - self.prompt
        logits[self.text[said] if said < len(self.text) else EOS_ID] += self.strength
        return logits if place < self.broken_from else np.full_like(logits, np.nan)


@dataclass(frozen=True)
class Heard:
    ids: list[int]
    text: str
    reason: str | None
    logprobs: object
    pieces: list[Piece]
    keys: list[object]
    steps: int
    drafted: int
    right: int


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return Tokenizer.open(folder / "tokenizer.json")


def heard(
    tokenizer: Tokenizer,
    drafts: DraftRules | None,
    request: Request = Request(max_tokens=60),
    text: str = SONG,
    strength: float = 9.0,
    prompt_ids: tuple[int, ...] = (),
    stops: tuple[str, ...] = (),
) -> Heard:
    prompt = PromptTokens(prompt_ids or tuple(tokenizer.encode(PROMPT)), (), 4)
    limit = request.max_tokens or 0
    room = len(prompt) + limit
    decoder = Reciter(tokenizer.encode(text), len(prompt), strength, room - 1)  # the last token is not fed
    sequence = KVSequence(decoder, TABLE)
    speaker = Voice(tokenizer, fake_spec(), room, drafts).speaker(prompt, request, stops)
    scores, _ = sequence.prefill(EmbeddedPrompt(prompt, TABLE, [], []))
    told, drafted, right = [speaker.saying.hear(scores)], 0, 0
    while speaker.saying.reason is None:
        found = speaker.step(sequence, told.append)
        drafted, right = drafted + found.guessed, right + found.right
    saying = speaker.saying
    return Heard(
        list(saying.ids), saying.text, saying.reason, saying.logprobs, told, list(sequence.keys),
        decoder.steps, drafted, right,
    )  # fmt: skip


def assert_same(one: Heard, other: Heard) -> None:
    assert (one.ids, one.text, one.reason) == (other.ids, other.text, other.reason)
    assert (one.pieces, one.logprobs, one.keys) == (other.pieces, other.logprobs, other.keys)


def test_a_text_that_repeats_takes_fewer_steps(tokenizer: Tokenizer) -> None:
    plain, guessed = (heard(tokenizer, drafts) for drafts in (None, DraftRules()))
    assert_same(plain, guessed)
    assert plain.drafted == 0 and plain.steps == len(plain.ids)
    assert guessed.steps <= plain.steps // 2 and guessed.steps == plain.steps - guessed.right


REQUESTS = st.builds(
    Request,
    max_tokens=st.sampled_from([1, 2, 3, 7, 20, 60]),
    sampling=st.builds(
        Sampling,
        temperature=st.sampled_from([0.0, 0.7, 1.5]),
        top_k=st.sampled_from([0, 5]),
        top_p=st.sampled_from([1.0, 0.8]),
        repetition_penalty=st.sampled_from([1.0, 1.3]),
        seed=st.integers(0, 1000),
    ),
    stop=st.sampled_from([(), ("boat",), ("ow y",), ("gently down, g",), (" ", "zzz")]),
    constraint=st.sampled_from(
        [None, Regex("(row |your |boat, |[a-z])*"), Choice(["row row row row", "row row your boat"])]
    ),
    logprobs=st.sampled_from([None, 0, 3]),
)


@settings(max_examples=60, deadline=None)
@given(
    request=REQUESTS,
    strength=st.sampled_from([0.0, 3.0, 9.0]),
    text=st.sampled_from([SONG, "ab" * 30, "größer 中🙂中🙂中🙂 größer 中🙂", "one", ""]),
)
def test_every_answer_is_the_one_without_guesses(
    tokenizer: Tokenizer, request: Request, strength: float, text: str
) -> None:
    plain, guessed = (heard(tokenizer, drafts, request, text, strength) for drafts in (None, EAGER))
    assert_same(plain, guessed)
    assert guessed.steps <= plain.steps


def test_a_guess_beyond_the_end_of_an_answer_is_not_made(tokenizer: Tokenizer) -> None:
    for limit in range(1, 30):  # a step beyond the last token that is fed is an error
        found = heard(tokenizer, EAGER, Request(max_tokens=limit))
        assert len(found.ids) == limit and found.reason == "length"


def test_pictures_places_in_the_prompt_are_not_guessed_as_text(tokenizer: Tokenizer) -> None:
    row = tokenizer.encode("row row ")
    prompt = (*row, IMAGE_ID, IMAGE_ID, *row, IMAGE_ID)
    plain, guessed = (
        heard(tokenizer, drafts, text="row row row zzz", prompt_ids=prompt) for drafts in (None, EAGER)
    )
    assert_same(plain, guessed)


def test_a_fault_in_the_middle_of_a_guess_leaves_what_was_right_before_it(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(PROMPT + SONG)
    prompt = PromptTokens(tuple(tokenizer.encode(PROMPT)), (), 4)
    decoder = Reciter(tokenizer.encode(SONG), len(prompt), broken_from=len(prompt) + 30)
    sequence, told = KVSequence(decoder, TABLE), list[Piece]()
    speaker = Voice(tokenizer, fake_spec(), 400, EAGER).speaker(prompt, Request(max_tokens=60), ())
    scores, _ = sequence.prefill(EmbeddedPrompt(prompt, TABLE, [], []))
    told.append(speaker.saying.hear(scores))
    with pytest.raises(MachineFault) as caught:
        all(speaker.step(sequence, told.append) for _ in range(60))
    assert caught.value.code == "EVL-LOGITS-NONFINITE"
    assert sequence.keys == [*prompt.ids, *speaker.saying.ids] == ids[: len(sequence.keys)]
    assert "".join(piece.text for piece in told) == SONG[: len("".join(piece.text for piece in told))]
    assert len(speaker.saying.ids) == 31
