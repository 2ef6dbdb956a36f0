from __future__ import annotations

from pathlib import Path

import pytest

from demo.sizes import SPECIAL_TOKENS, TINY_IDS
from demo.standin_tokenizer import tokenizer_json
from edge_runtime.tokenizer import Tokenizer
from tests.edge_runtime.tokenizer_samples import ids_with_control

SPECIAL = dict(zip(SPECIAL_TOKENS, TINY_IDS, strict=True))


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    (tmp_path / "tokenizer.json").write_text(tokenizer_json(SPECIAL), encoding="utf-8")
    return Tokenizer.open(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("text", ["", "hi", " two  spaces", "\0\n\t", "é 中 🙂", "the User: the"])
def test_every_text_is_one_token_a_byte_and_comes_back(text: str, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(text)
    assert len(ids) == len(text.encode())
    assert tokenizer.decode(ids) == text


def test_the_first_tokens_are_the_visible_ascii_characters(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(range(94)) == "".join(map(chr, range(0x21, 0x7F)))


def test_special_tokens_have_the_ids_that_were_asked_for(tokenizer: Tokenizer) -> None:
    assert tokenizer.control == SPECIAL
    assert ids_with_control(tokenizer, "a" + SPECIAL_TOKENS[2])[1:] == [TINY_IDS[2]]
    assert TINY_IDS[2] not in tokenizer.encode(SPECIAL_TOKENS[2])
