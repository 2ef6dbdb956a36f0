"""A tokenizer that spells every text byte by byte, for checkpoints that have no text to speak of."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tokenizers.pre_tokenizers import ByteLevel


def tokenizer_json(special_ids: Mapping[str, int]) -> str:
    """The text of a tokenizer.json: 256 byte tokens, and `special_ids` by content."""
    vocab = {symbol: index for index, symbol in enumerate(sorted(ByteLevel.alphabet()))}
    vocab |= special_ids
    added = [
        {
            "id": token_id,
            "content": content,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for content, token_id in sorted(special_ids.items(), key=lambda item: item[1])
    ]
    spelling = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    document = {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": spelling,
        "post_processor": None,
        "decoder": spelling,
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    }
    return json.dumps(document, ensure_ascii=False, indent=1)
