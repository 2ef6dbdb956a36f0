from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from edge_runtime.embedding import EmbeddedPrompt
from edge_runtime.prompt import PromptTokens
from edge_runtime.sampling import Sampling, rng_from_seed
from edge_runtime.scores import Scores
from edge_runtime.sequence import KVSequence, generate
from tests.edge_runtime.fake_decoder import FakeDecoder, embedded, next_token, table

NEVER = -1
PROMPT = (3, 1, 4, 1, 5, 9, 2, 6)


def sequence_on(decoder: FakeDecoder, chunk_tokens: int = 100) -> KVSequence:
    return KVSequence(decoder, table(), chunk_tokens)


def answer(sequence: KVSequence, prompt: EmbeddedPrompt, limit: int = 6, eos: int = NEVER) -> list[int]:
    scores, _ = sequence.prefill(prompt)
    return list(generate(sequence, scores, prompt.prompt.ids, Sampling(), rng_from_seed(0), eos, limit))


def expected(prompt: tuple[int, ...], limit: int = 6) -> list[int]:
    ids = list(prompt)
    for _ in range(limit):
        ids.append(next_token(np.asarray(ids)))
    return ids[len(prompt) :]


def test_every_token_follows_from_all_tokens_before_it() -> None:
    assert answer(sequence_on(FakeDecoder()), embedded(*PROMPT)) == expected(PROMPT)


def test_stops_at_the_end_token_without_an_extra_step() -> None:
    decoder = FakeDecoder()
    first, second, eos = expected(PROMPT, 3)
    assert answer(sequence_on(decoder), embedded(*PROMPT), eos=eos) == [first, second]
    assert decoder.steps == 3  # the prompt and two tokens


def test_an_answer_that_ends_at_once_costs_no_step_beyond_the_prompt() -> None:
    decoder = FakeDecoder()
    assert answer(sequence_on(decoder), embedded(*PROMPT), eos=expected(PROMPT, 1)[0]) == []
    assert decoder.steps == 1


def test_the_last_token_of_a_full_answer_is_not_fed() -> None:
    decoder = FakeDecoder()
    assert len(answer(sequence_on(decoder), embedded(*PROMPT), limit=4)) == 4
    assert decoder.steps == 1 + 3


def test_an_answer_that_nobody_reads_on_is_not_computed() -> None:
    decoder = FakeDecoder()
    sequence = sequence_on(decoder)
    scores, _ = sequence.prefill(embedded(*PROMPT))
    tokens = generate(sequence, scores, PROMPT, Sampling(), rng_from_seed(0), NEVER, limit=9)
    assert list(islice(tokens, 2)) == expected(PROMPT, 2)
    assert decoder.steps == 2


def test_the_repetition_penalty_sees_the_prompt_and_the_answer_so_far() -> None:
    sequence = sequence_on(FakeDecoder())
    logits = np.zeros(97, dtype=np.float32)
    logits[[10, 11, 12]] = 1.0, 0.9, 0.8
    tokens = generate(
        sequence,
        Scores.of(logits[None, None]),
        (10,),
        Sampling(repetition_penalty=2.0),
        rng_from_seed(0),
        NEVER,
        1,
    )
    assert list(tokens) == [11]


@pytest.mark.parametrize("chunk_tokens", [1, 2, 3, 7, 8, 9])
def test_chunks_of_any_size_give_the_same_answer(chunk_tokens: int) -> None:
    decoder = FakeDecoder()
    assert answer(sequence_on(decoder, chunk_tokens), embedded(*PROMPT)) == expected(PROMPT)
    assert all(len(ids) <= chunk_tokens for _, ids in decoder.fed)
    assert sum(len(ids) for _, ids in decoder.fed) == len(PROMPT) + 5


def test_a_second_prompt_feeds_only_what_is_new() -> None:
    decoder = FakeDecoder()
    sequence = sequence_on(decoder)
    sequence.prefill(embedded(*PROMPT))
    scores, cached = sequence.prefill(embedded(*PROMPT, 50, 51))
    assert cached == len(PROMPT)
    assert decoder.fed[-1] == (len(PROMPT), [50, 51])
    assert int(scores.logits.argmax()) == expected((*PROMPT, 50, 51), 1)[0]


def test_tokens_of_an_answer_are_reused_where_the_next_prompt_repeats_them() -> None:
    decoder = FakeDecoder()
    sequence = sequence_on(decoder)
    found = answer(sequence, embedded(*PROMPT), limit=4)
    again = (*PROMPT, *found, 60)
    scores, cached = sequence.prefill(embedded(*again))
    assert cached == len(PROMPT) + 3, "the last token of an answer was never fed"
    assert int(scores.logits.argmax()) == expected(again, 1)[0]


def test_a_prompt_that_parts_early_overwrites_the_cache_from_there() -> None:
    sequence = sequence_on(FakeDecoder())
    answer(sequence, embedded(*PROMPT))
    other = (*PROMPT[:3], 40, 41, 42)
    scores, cached = sequence.prefill(embedded(*other))
    assert cached == 3
    assert int(scores.logits.argmax()) == expected(other, 1)[0]


def test_the_same_prompt_again_feeds_its_last_token_only() -> None:
    decoder = FakeDecoder()
    sequence = sequence_on(decoder)
    before, _ = sequence.prefill(embedded(*PROMPT))
    after, cached = sequence.prefill(embedded(*PROMPT))
    assert cached == len(PROMPT) - 1
    assert decoder.fed[-1] == (len(PROMPT) - 1, [PROMPT[-1]])
    assert np.array_equal(before.logits, after.logits)


def test_a_shorter_prompt_forgets_what_follows_it() -> None:
    sequence = sequence_on(FakeDecoder())
    sequence.prefill(embedded(*PROMPT))
    scores, cached = sequence.prefill(embedded(*PROMPT[:4]))
    assert cached == 3
    assert int(scores.logits.argmax()) == expected(PROMPT[:4], 1)[0]


def image_prompt(question: tuple[int, ...], digest: bytes) -> EmbeddedPrompt:
    """BOS, an image of four rows, the question."""
    prompt = PromptTokens((1, *[90] * 4, *question), ((1, 0),), 4)
    value = float(digest[0])
    return EmbeddedPrompt(prompt, table(), [np.full((4, 1), value, dtype=np.float32)], [digest])


def test_a_second_question_about_an_image_feeds_only_its_own_tokens() -> None:
    decoder = FakeDecoder()
    sequence = sequence_on(decoder)
    sequence.prefill(image_prompt((20, 21), b"\x11"))
    _, cached = sequence.prefill(image_prompt((30, 31, 32), b"\x11"))
    assert cached == 5
    assert decoder.fed[-1] == (5, [30, 31, 32])


def test_another_image_is_fed_although_its_ids_are_the_same() -> None:
    decoder = FakeDecoder()
    sequence = sequence_on(decoder)
    sequence.prefill(image_prompt((20, 21), b"\x11"))
    _, cached = sequence.prefill(image_prompt((20, 21), b"\x12"))
    assert cached == 1
    assert decoder.fed[-1] == (1, [0x12] * 4 + [20, 21])


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_prefill_that_broke_down_leaves_a_cache_that_answers_rightly(fails_at: int) -> None:
    decoder = FakeDecoder(fails_at=fails_at)
    sequence = sequence_on(decoder, chunk_tokens=3)
    with pytest.raises(MemoryError):
        sequence.prefill(embedded(*PROMPT))
    assert len(sequence.keys) == 3 * (fails_at - 1), "only whole steps count"
    assert answer(sequence, embedded(*PROMPT)) == expected(PROMPT)


def test_a_prompt_that_broke_down_does_not_leave_keys_of_the_one_before() -> None:
    decoder = FakeDecoder()
    sequence = sequence_on(decoder)
    sequence.prefill(embedded(*PROMPT))
    decoder.fails_at = 2
    with pytest.raises(MemoryError):
        sequence.prefill(embedded(*PROMPT[:2], 70, 71, 72, 73))  # overwrote two rows before it stopped
    assert answer(sequence, embedded(*PROMPT)) == expected(PROMPT)


def test_a_token_that_broke_down_is_fed_again() -> None:
    decoder = FakeDecoder(fails_at=3)
    sequence = sequence_on(decoder)
    scores, _ = sequence.prefill(embedded(*PROMPT))
    tokens = generate(sequence, scores, PROMPT, Sampling(), rng_from_seed(0), NEVER, limit=6)
    with pytest.raises(MemoryError):
        list(tokens)
    assert len(sequence.keys) == len(PROMPT) + 1
    assert answer(sequence, embedded(*PROMPT)) == expected(PROMPT)


def test_a_prompt_may_fill_the_cache_to_its_last_row() -> None:
    decoder = FakeDecoder(capacity=len(PROMPT))
    assert answer(sequence_on(decoder), embedded(*PROMPT), limit=1) == expected(PROMPT, 1)


def test_several_tokens_fed_at_once_say_what_they_say_one_by_one() -> None:
    decoder, single = FakeDecoder(), FakeDecoder()
    together, alone = sequence_on(decoder), sequence_on(single)
    for sequence in (together, alone):
        sequence.prefill(embedded(*PROMPT))
    found = together.append(20, 21, 22).logits[0]
    wanted = [alone.append(each).logits[0, 0] for each in (20, 21, 22)]
    assert np.array_equal(found, np.stack(wanted))
    assert together.keys == alone.keys == [*PROMPT, 20, 21, 22]
    assert decoder.steps == single.steps - 2
