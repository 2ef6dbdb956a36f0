from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.embedding import EmbeddedPrompt
from edge_runtime.prompt import PromptTokens

WIDTH = 3
IMAGE_TOKENS = 4
TABLE = np.arange(20 * WIDTH, dtype=np.float16).reshape(20, WIDTH)
IMAGES = [np.full((IMAGE_TOKENS, WIDTH), 100 * (index + 1), dtype=np.float16) for index in range(2)]
IMAGES = [image + np.arange(IMAGE_TOKENS, dtype=np.float16)[:, None] for image in IMAGES]
IDS = (1, 7, *[19] * IMAGE_TOKENS, 8, *[19] * IMAGE_TOKENS, 9, 10)
PROMPT = PromptTokens(IDS, ((2, 0), (7, 1)), IMAGE_TOKENS)


def embedded() -> EmbeddedPrompt:
    return EmbeddedPrompt(PROMPT, TABLE, IMAGES, [b"one", b"two"])


def whole() -> list[list[float]]:
    rows = [TABLE[1], TABLE[7], *IMAGES[0], TABLE[8], *IMAGES[1], TABLE[9], TABLE[10]]
    return [row.tolist() for row in rows]


def test_text_rows_come_from_the_table_and_image_rows_from_the_images() -> None:
    rows = embedded().rows(0, len(PROMPT))
    assert rows.shape == (1, len(PROMPT), WIDTH)
    assert rows[0].tolist() == whole()


def test_every_piece_holds_the_rows_of_the_whole() -> None:
    prompt = embedded()
    for start in range(len(PROMPT)):
        for stop in range(start + 1, len(PROMPT) + 1):
            assert prompt.rows(start, stop)[0].tolist() == whole()[start:stop]


def test_rows_keep_the_type_of_the_table() -> None:
    assert embedded().rows(0, 3).dtype == np.float16


def test_writing_to_rows_does_not_reach_the_table() -> None:
    before = TABLE.copy()
    embedded().rows(0, 2)[:] = -1
    assert np.array_equal(TABLE, before)


def test_keys_are_ids_of_text_and_content_hashes_of_images() -> None:
    keys = embedded().keys
    assert keys[:2] == (1, 7)
    assert keys[2:6] == tuple((b"one", row) for row in range(IMAGE_TOKENS))
    assert keys[7:11] == tuple((b"two", row) for row in range(IMAGE_TOKENS))


def test_every_image_needs_its_rows() -> None:
    with pytest.raises(AssertionError, match="one embedded image per place"):
        EmbeddedPrompt(PROMPT, TABLE, IMAGES[:1], [b"one", b"two"])
