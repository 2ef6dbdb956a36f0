"""A model's tokens as llguidance reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.errors import EdgeVLError
from edge_runtime.sampling import Ids
from edge_runtime.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llguidance import LLTokenizer

SPECIAL = b"\xff"  # llguidance's mark of tokens that no text spells; UTF-8 never uses this byte
# Models answer "User: ...\n\nAssistant:" with a blank and their answer; without it they are at a loss.
LEAD = " "


@dataclass(frozen=True, eq=False)
class TokenBytes:
    """A tokenizer as llguidance wants one. What text cannot spell is special: control tokens, ids without a token."""

    tokenizer: Tokenizer
    size: int
    eos_token_id: int
    bos_token_id: None = None

    @property
    def tokens(self) -> list[bytes]:
        """As many as the model has logits."""
        control, bytes_of = self.tokenizer.control_ids, self.tokenizer.bytes_of
        spelled = (b"" if id_ in control else bytes_of(id_, skip_special=False) for id_ in range(self.size))
        return [text or SPECIAL + b"<[%d]>" % id_ for id_, text in enumerate(spelled)]

    def __call__(self, text: bytes) -> list[int]:
        return self.tokenizer.encode(text.decode("utf-8"))


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """A model's tokens, in the order of their bytes; made once, as that takes a moment."""

    trie: LLTokenizer
    size: int
    leading: Ids  # tokens that begin with `LEAD`

    @classmethod
    def of(cls, tokenizer: Tokenizer, size: int, eos: int) -> Vocabulary:
        """`size` is how many logits the model has, `eos` its end token."""
        check_library()
        from llguidance import LLTokenizer, TokenizerWrapper

        wrapper = TokenizerWrapper(TokenBytes(tokenizer, size, eos))
        leading = [id_ for id_, text in enumerate(wrapper.tokens) if text.startswith(LEAD.encode())]
        return cls(LLTokenizer(wrapper), size, np.array(leading, dtype=np.int64))

    @classmethod
    def of_bytes(cls) -> Vocabulary:
        """A token a byte: enough to tell what is wrong with a constraint before any model is there."""
        check_library()
        from llguidance import LLTokenizer

        trie = LLTokenizer("byte")
        return cls(trie, trie.vocab_size, np.array([ord(LEAD)]))


def check_library() -> None:
    try:
        import llguidance  # noqa: F401
    except ImportError as error:
        raise EdgeVLError(
            "EVL-CONSTRAINT-MISSING",
            "answers cannot be held to a constraint here",
            "the library llguidance is not installed",
            "pip install 'edge-vl[schema]'",
        ) from error
