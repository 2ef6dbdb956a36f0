"""fp32 logits through our runtime against transformers, prompt by prompt."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.backends.backend import Floats
from edge_runtime.sequence import KVSequence
from tests.proof.conftest import Note
from tests.proof.subject import CONTEXT, Opened, Subject, pictures

BAR = 1e-4
PROMPTS = {
    "no image": "User: why is the sea on a map blue?\n\nAssistant:",
    "one image": "User: <image>what is in the middle?\n\nAssistant:",
    "two images": "User: <image>is it the same as<image>?\n\nAssistant:",
}


@pytest.fixture(scope="module")
def opened(subject: Subject) -> Opened:
    return subject.opened()


@pytest.fixture(params=list(PROMPTS))
def text(request: pytest.FixtureRequest) -> str:
    return PROMPTS[request.param]


def test_a_picture_becomes_the_rows_that_transformers_makes_of_it(
    subject: Subject, opened: Opened, note: Note
) -> None:
    shown = pictures(2)
    for image, pixels in zip(opened.encoded(shown), opened.pixels(shown), strict=True):
        difference = largest_difference(image.rows.astype(np.float32), subject.oracle.image_rows(pixels))
        note("largest fp32 difference of image rows", difference)
        assert difference <= BAR


def test_every_row_has_the_logits_of_transformers(
    subject: Subject, opened: Opened, text: str, note: Note
) -> None:
    prompt, shown = opened.raw_prompt(text), pictures(text.count("<image>"))
    wanted = subject.oracle.logits(prompt.ids, opened.pixels(shown))
    decoder = opened.backend.decoder(batch=1, capacity=CONTEXT)
    every = np.arange(len(prompt), dtype=np.int64)[None]
    rows = opened.embedded(prompt, shown).rows(0, len(prompt))
    found = decoder.step(rows, np.zeros(1, dtype=np.int64), every).logits[0]
    note("largest fp32 difference of logits, one piece", largest_difference(found, wanted))
    assert largest_difference(found, wanted) <= BAR


@pytest.mark.parametrize("chunk_tokens", [1000, 16, 7])
def test_a_prefill_in_chunks_ends_with_the_logits_of_transformers(
    subject: Subject, opened: Opened, text: str, chunk_tokens: int, note: Note
) -> None:
    prompt, shown = opened.raw_prompt(text), pictures(text.count("<image>"))
    wanted = subject.oracle.logits(prompt.ids, opened.pixels(shown))[-1]
    decoder = opened.backend.decoder(batch=1, capacity=CONTEXT)
    sequence = KVSequence(decoder, opened.bundle.embedding(), chunk_tokens)
    scores, cached = sequence.prefill(opened.embedded(prompt, shown))
    found = scores.logits[0, 0]
    note("largest fp32 difference of logits, chunks", largest_difference(found, wanted))
    assert cached == 0
    assert largest_difference(found, wanted) <= BAR


def test_a_prompt_that_shares_a_beginning_with_the_cache_has_the_logits_of_transformers(
    subject: Subject, opened: Opened, note: Note
) -> None:
    shown = pictures(1)
    first, second = (
        opened.raw_prompt(f"User: <image>{text}\n\nAssistant:") for text in ("what?", "where is it?")
    )
    sequence = KVSequence(
        opened.backend.decoder(batch=1, capacity=CONTEXT), opened.bundle.embedding(), chunk_tokens=5
    )
    sequence.prefill(opened.embedded(first, shown))
    scores, cached = sequence.prefill(opened.embedded(second, shown))
    found = scores.logits[0, 0]
    wanted = subject.oracle.logits(second.ids, opened.pixels(shown))[-1]
    note("largest fp32 difference of logits, prefix reused", largest_difference(found, wanted))
    assert cached > opened.bundle.spec.image_tokens
    assert largest_difference(found, wanted) <= BAR


def largest_difference(found: Floats, wanted: Floats) -> float:
    assert found.shape == wanted.shape
    return float(np.abs(found - wanted).max())
