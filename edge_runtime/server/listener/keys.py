"""API keys: held as digests, compared in constant time."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import log2
from pathlib import Path
from typing import Literal, cast

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.listener.key_file import lines_of_key_file

KeyScope = Literal["infer", "metrics", "admin"]
SCOPES: tuple[KeyScope, ...] = ("infer", "metrics", "admin")
USUAL: frozenset[KeyScope] = frozenset({"infer", "metrics"})
NOTHING: frozenset[KeyScope] = frozenset()

TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750
DIGEST = re.compile(r"sha256:([0-9A-Fa-f]{64})")
NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
MIN_BITS = 128
MAX_KEYS = 1000


@dataclass(frozen=True)
class Holder:
    """Whose key it is, and what it opens. `digest` is never shown."""

    name: str
    scopes: frozenset[KeyScope]
    digest: bytes

    def __repr__(self) -> str:
        return f"Holder({self.name}: {', '.join(sorted(self.scopes))})"


class Keys:
    """Lines of `KEY` or `sha256:HEX`, then perhaps a name, then perhaps scopes, e.g. `sha256:9f86… kitchen infer,metrics`.
    A line that starts with # is a remark. Without scopes a key may infer and read metrics; admin may everything."""

    def __init__(self, path: str | Path) -> None:
        self._holders = holders_from(lines_of_key_file(path))

    def __repr__(self) -> str:
        return f"Keys({len(self._holders)} held)"

    def __len__(self) -> int:
        return len(self._holders)

    def holder_of(self, authorization: str | None) -> Holder | None:
        """`authorization` is the header's value, `Bearer KEY`. Every key is compared, whichever is right."""
        scheme, _, token = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer":
            return None
        shown = sha256(token.strip().encode("utf-8", "surrogatepass")).digest()
        right = [each for each in self._holders if hmac.compare_digest(each.digest, shown)]
        return right[0] if right else None

    def scopes_of(self, authorization: str | None) -> frozenset[KeyScope]:
        """Empty for a key that is not held."""
        holder = self.holder_of(authorization)
        return holder.scopes if holder else NOTHING


def holders_from(lines: Sequence[str]) -> tuple[Holder, ...]:
    """EVL-KEY-LINE names the line that is wrong, never what is in it."""
    told = [(number, line.split()) for number, line in enumerate(lines, 1)]
    holders = tuple(holder_from(number, words) for number, words in told if words and words[0][0] != "#")
    if not holders:
        raise EdgeVLError(
            "EVL-KEY-FILE", "the key file holds no key", "there are only remarks in it", "write a key into it"
        )
    if len(holders) > MAX_KEYS:
        raise EdgeVLError(
            "EVL-KEY-FILE", "the key file holds too many keys", f"it holds {len(holders)}, at most {MAX_KEYS} are read", "remove some"
        )  # fmt: skip
    for part, values in (("key", [h.digest.hex() for h in holders]), ("name", [h.name for h in holders])):
        if len(set(values)) < len(values):
            raise EdgeVLError(
                "EVL-KEY-LINE", f"two lines of the key file have the same {part}", "one of them would never count", "remove one"
            )  # fmt: skip
    return holders


def holder_from(number: int, words: Sequence[str]) -> Holder:
    if len(words) > 3:
        raise bad_line(number, "it has more than three words", "write KEY NAME SCOPE,SCOPE")
    digest = digest_from(number, words[0])
    name = words[1] if len(words) > 1 else f"key-{digest.hex()[:8]}"
    if not NAME.fullmatch(name):
        raise bad_line(number, "its name has other characters than letters, digits, _ . -", "change the name")
    return Holder(name, scopes_from(number, words[2]) if len(words) > 2 else USUAL, digest)


def digest_from(number: int, word: str) -> bytes:
    if word.lower().startswith("sha256:"):
        found = DIGEST.fullmatch(word)
        if found is None:
            raise bad_line(
                number, "what follows sha256: is not 64 hexadecimal digits", "write the key's SHA-256"
            )
        return bytes.fromhex(found[1])
    if not TOKEN.fullmatch(word):
        raise bad_line(
            number, "its key has characters that cannot stand in a header", "use letters and digits"
        )
    if bits_of(word) < MIN_BITS:
        raise bad_line(
            number, f"its key can be guessed: it has less than {MIN_BITS} bits", "use 32 or more random letters and digits"
        )  # fmt: skip
    return sha256(word.encode()).digest()


def bits_of(key: str) -> float:
    """The most it can have, if it was drawn at random."""
    if re.fullmatch(r"[0-9]+", key):
        return len(key) * log2(10)
    if re.fullmatch(r"[0-9a-f]+|[0-9A-F]+", key):
        return len(key) * 4
    return len(key) * 6


def scopes_from(number: int, word: str) -> frozenset[KeyScope]:
    given = word.split(",")
    if not set(given) <= set(SCOPES):
        raise bad_line(number, "it has an unknown scope", f"use {', '.join(SCOPES)}, joined by commas")
    return frozenset(SCOPES) if "admin" in given else frozenset(cast("list[KeyScope]", given))


def bad_line(number: int, why: str, fix: str) -> EdgeVLError:
    return EdgeVLError("EVL-KEY-LINE", f"line {number} of the key file cannot be used", why, fix)
