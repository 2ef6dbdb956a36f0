"""Text to token ids and back, with control tokens out of reach of untrusted text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, decoders, models

from edge_runtime.errors import EdgeVLError

FILE_LIMIT_BYTES = 64 << 20  # the largest known tokenizer.json files are about 20 MiB
LONG = 1 << 14  # characters
LARGEST_ID = (1 << 32) - 1
# UTF-8 never uses these bytes, so a vocabulary may lack them and still spell every text.
BYTES_OUTSIDE_UTF8 = frozenset({0xC0, 0xC1, *range(0xF5, 0x100)})
PROBE = 'Aa 1.,\n\t<x> {"k": [0]} \x00 \u00e9 \u4e2d \U0001f642'


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """A byte-level BPE tokenizer read from tokenizer.json. Nothing here ever adds BOS or EOS.

    Control tokens are the added tokens flagged special, and added tokens that do not read as
    ordinary text (`<|User|>`). Only `split_control` recognises them.
    Safe to share between threads.
    """

    core: tokenizers.Tokenizer = field(repr=False)
    control: dict[str, int]  # every control token and its id
    special_ids: frozenset[int]  # what `decode` skips: the tokens the file flags special
    control_pattern: re.Pattern[str] = field(repr=False)
    missing_bytes: bytes = b""  # bytes the vocabulary cannot spell; empty for a complete one
    control_ids: frozenset[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "control_ids", frozenset(self.control.values()))
        for token in self.control:
            self.encode(token)  # raises where control ids cannot be kept out of plain text
        check_reversible(self)

    @staticmethod
    def open(path: Path) -> Tokenizer:
        """Read a tokenizer.json. Raises EdgeVLError EVL-TOKENIZER-* for anything unusable."""
        core = core_from_file(path)
        added = [token for token in core.get_added_tokens_decoder().items() if token[1].content]
        special_ids = frozenset(id_ for id_, token in added if token.special)
        control = [(id_, token) for id_, token in added if is_control(token)]
        core.add_special_tokens([special_from_added(token) for _, token in control if not token.special])
        # With this set, tokens flagged special are not looked for in text.
        core.encode_special_tokens = True
        ids = {token.content: id_ for id_, token in control}
        pattern = pattern_from_added(token for _, token in control)
        return Tokenizer(core, ids, special_ids, pattern, missing_bytes_of(core))

    def encode(self, text: str) -> list[int]:
        """Ids of untrusted text: control tokens in it come out as the characters they are made of."""
        check_spellable(text, self.missing_bytes)
        ids = self._ids(text)
        if not self.control_ids.isdisjoint(ids):
            raise EdgeVLError(
                "EVL-TOKENIZER-CONTROL",
                "this text would turn into a control token",
                "the tokenizer spells a control token by ordinary merges",
                "use the model's original tokenizer.json",
            )
        return ids

    def _ids(self, text: str) -> list[int]:
        # The library gives up Python's lock for batches only: a long text would stop every other thread.
        if len(text) >= LONG:
            return list(self.core.encode_batch([text], add_special_tokens=False)[0].ids)
        return list(self.core.encode(text, add_special_tokens=False).ids)

    def split_control(self, text: str) -> list[str | int]:
        """The text in order: control tokens as ids, what lies between them as non-empty strings."""
        pieces: list[str | int] = []
        start = 0
        for match in self.control_pattern.finditer(text):
            token = match[match.lastindex or 0]
            pieces += [text[start : match.start()], self.control[token]]
            start = match.end()
        pieces.append(text[start:])
        return [piece for piece in pieces if piece != ""]

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        """Text of ids; bytes that are not UTF-8 become U+FFFD, ids without a token nothing."""
        return str(self.core.decode(self.visible_ids(ids, skip_special), skip_special_tokens=False))

    def bytes_of(self, token_id: int, skip_special: bool = True) -> bytes:
        """The bytes one id adds to the text; `decode` is these, joined, as UTF-8."""
        for visible in self.visible_ids((token_id,), skip_special):
            token = self.core.id_to_token(visible)
            return b"" if token is None else bytes_from_token(token)
        return b""

    def id_of(self, token: str) -> int | None:
        """The id of exactly this token, control token or not."""
        found = self.core.token_to_id(token)
        return None if found is None else int(found)

    def visible_ids(self, ids: Iterable[int], skip_special: bool) -> list[int]:
        kept = [int(id_) for id_ in ids]
        if any(not 0 <= id_ <= LARGEST_ID for id_ in kept):
            raise EdgeVLError(
                "EVL-TOKEN-IDS",
                "there is a token id that cannot be one",
                f"got {min(kept)} to {max(kept)}, token ids lie between 0 and {LARGEST_ID}",
                "give ids that this model's tokenizer made",
            )
        return [id_ for id_ in kept if id_ not in self.special_ids] if skip_special else kept


def bytes_by_symbol() -> dict[str, int]:
    """Byte-level BPE's alphabet: printable Latin-1 is itself, the rest follows from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in printable)
    shifted = {chr(0x100 + index): byte for index, byte in enumerate(others)}
    return {**{chr(byte): byte for byte in printable}, **shifted}


BYTES_BY_SYMBOL = bytes_by_symbol()


def bytes_from_token(token: str) -> bytes:
    values = [BYTES_BY_SYMBOL.get(symbol) for symbol in token]
    if None in values:  # an added token outside the alphabet stands for itself
        return token.encode("utf-8")
    return bytes(value for value in values if value is not None)


def core_from_file(path: Path) -> tokenizers.Tokenizer:
    core = core_from_json(json_from_file(path), path.name)
    core.no_truncation()
    core.no_padding()
    if not isinstance(core.model, models.BPE) or not isinstance(core.decoder, decoders.ByteLevel):
        kind = f"got {type(core.model).__name__} decoded by {type(core.decoder).__name__}"
        raise unusable(kind)
    if core.model.dropout:
        raise unusable(f"it drops merges at random (dropout {core.model.dropout})")
    return core


def json_from_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_LIMIT_BYTES + 1)
        if len(data) <= FILE_LIMIT_BYTES:
            return data.decode("utf-8")
    except OSError as error:
        raise EdgeVLError(
            "EVL-TOKENIZER-MISSING",
            f"the tokenizer {path.name} cannot be read",
            error.strerror or type(error).__name__,
            "put the model's tokenizer.json where the checkpoint or bundle expects it",
        ) from error
    except UnicodeDecodeError as error:
        raise invalid(path.name, "it is not UTF-8 text") from error
    raise EdgeVLError(
        "EVL-TOKENIZER-SIZE",
        f"{path.name} is too large for a tokenizer",
        f"got more than the limit of {FILE_LIMIT_BYTES >> 20} MiB",
        "use the model's original tokenizer.json",
    )


def core_from_json(text: str, name: str) -> tokenizers.Tokenizer:
    try:
        return tokenizers.Tokenizer.from_str(text)
    except BaseException as error:
        # A panic inside the library arrives as a PanicException, which is no Exception.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise invalid(name, str(error)[:200]) from error
        raise


def invalid(name: str, why: str) -> EdgeVLError:
    return EdgeVLError(
        "EVL-TOKENIZER-INVALID",
        f"{name} is not a tokenizer file",
        why,
        "copy the model's tokenizer.json again, it may be damaged or cut short",
    )


def unusable(why: str) -> EdgeVLError:
    return EdgeVLError(
        "EVL-TOKENIZER-KIND",
        "this tokenizer is not byte-level BPE",
        why,
        "use a DeepSeek-VL checkpoint's own tokenizer.json",
    )


def is_control(token: AddedToken) -> bool:
    """Unflagged added tokens of one character or of letters are vocabulary (DeepSeek has thirteen)."""
    reads_as_text = len(token.content) == 1 or all(c.isalnum() or c.isspace() for c in token.content)
    return token.special or not reads_as_text


def special_from_added(token: AddedToken) -> AddedToken:
    return AddedToken(
        token.content,
        single_word=token.single_word,
        lstrip=token.lstrip,
        rstrip=token.rstrip,
        normalized=token.normalized,
        special=True,
    )


def pattern_from_added(added: Iterable[AddedToken]) -> re.Pattern[str]:
    """One group a token, the longest first, so that the longest match at a place wins."""
    longest_first = sorted(added, key=lambda token: (-len(token.content), token.content))
    return re.compile("|".join(map(pattern_of, longest_first)) or "(?!)")


def pattern_of(token: AddedToken) -> str:
    group = f"({re.escape(token.content)})"
    if token.single_word:
        group = rf"(?<!\w){group}(?!\w)"
    return (r"\s*" if token.lstrip else "") + group + (r"\s*" if token.rstrip else "")


def missing_bytes_of(core: tokenizers.Tokenizer) -> bytes:
    missing = (byte for symbol, byte in BYTES_BY_SYMBOL.items() if core.token_to_id(symbol) is None)
    return bytes(sorted(set(missing) - BYTES_OUTSIDE_UTF8))


def check_unicode(text: str, name: str = "the text") -> bytes:
    """As UTF-8, which lone surrogates have no place in."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise EdgeVLError(
            "EVL-TEXT-UNICODE",
            f"{name} is not valid Unicode",
            f"character {error.start} is the lone surrogate U+{ord(text[error.start]):04X}",
            "send well-formed UTF-8 text",
        ) from error


def check_spellable(text: str, missing_bytes: bytes) -> None:
    """The library drops what it cannot spell without a word; we refuse such text instead."""
    data = check_unicode(text)
    if missing_bytes and len(data.translate(None, missing_bytes)) != len(data):
        raise EdgeVLError(
            "EVL-TEXT-UNSPELLABLE",
            "the text has characters this model's tokenizer cannot spell",
            f"its vocabulary lacks {len(missing_bytes)} of the 256 bytes",
            "leave rare characters out, or use the model's original tokenizer.json",
        )


def check_reversible(tokenizer: Tokenizer) -> None:
    missing = tokenizer.missing_bytes
    probe = "".join(c for c in PROBE if not set(c.encode("utf-8")) & set(missing))
    read_back = tokenizer.decode(tokenizer.encode(probe), skip_special=False)
    if read_back.removeprefix(" ") != probe:  # some files put a space before the first word
        raise unusable("text does not survive being encoded and decoded")
