"""What tests ask of a tokenizer that the runtime does not."""

from __future__ import annotations

from edge_runtime.tokenizer import Tokenizer


def ids_with_control(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of a text whose control tokens are meant."""
    ids: list[int] = []
    for piece in tokenizer.split_control(text):
        ids += [piece] if isinstance(piece, int) else tokenizer.encode(piece)
    return ids


def token_count(tokenizer: Tokenizer) -> int:
    """Added ones included; a model's table may have more rows."""
    return int(tokenizer.core.get_vocab_size(with_added_tokens=True))
