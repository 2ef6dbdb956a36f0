"""Token ids in, printable text out: whole characters only, and nothing past a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

from edge_runtime.errors import EdgeVLError
from edge_runtime.given_texts import texts_from_given
from edge_runtime.tokenizer import Tokenizer

MOST_STOP_STRINGS = 64
LONGEST_STOP_STRING = 1024  # characters; both bound the work done for one token


@dataclass(frozen=True)
class StopHit:
    """Where a stop string ends the text: the text before `start` stays, the rest goes."""

    start: int
    text: str


class TextStream:
    """Feed ids one at a time, get the text that is certain by then.

    All pieces joined, `finish()` included, are `tokenizer.decode` of all ids, cut before the stop
    string that is completed first (of two completed by the same character, the longer one). Where
    the tokens lie makes no difference to that. Work per token does not grow with the text.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        stop_strings: Iterable[str] = (),
        skip_special: bool = True,
        lead: str = "",
        own_stops: Iterable[str] = (),
    ) -> None:
        """`lead` is a character that may stand first and is no part of the text: no stop string sees it. `own_stops` are the
        model's, which count for nothing against the bounds of those that were asked for."""
        assert len(lead) < 2, "it comes whole"
        self._lead = lead
        self.tokenizer = tokenizer
        stops = (*checked_stop_strings(own_stops), *checked_stop_strings(stop_strings))
        self.stop_strings = tuple(dict.fromkeys(stops))
        self.skip_special = skip_special
        self.utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.held = ""  # decoded, but perhaps the beginning of a stop string
        self.stop: str | None = None  # the stop string that ended the text
        self.is_finished = False

    @property
    def is_stopped(self) -> bool:
        return self.stop is not None

    def feed(self, token_id: int) -> str:
        """The text this id makes certain, often none. After a stop every id is dropped."""
        assert not self.is_finished, "the stream was finished"
        if self.is_stopped:
            return ""
        return self.release(self.utf8.decode(self.tokenizer.bytes_of(token_id, self.skip_special)))

    def finish(self) -> str:
        """What was held back; characters that were never completed come out as U+FFFD."""
        assert not self.is_finished, "the stream was finished"
        self.is_finished = True
        if self.is_stopped:
            return ""
        piece = self.release(self.utf8.decode(b"", final=True))
        rest, self.held = self.held, ""
        return piece + rest

    def release(self, text: str) -> str:
        if text and self._lead:
            text, self._lead = text.removeprefix(self._lead), ""
        known = len(self.held)
        text, self.held = self.held + text, ""
        if (hit := first_stop(text, known, self.stop_strings)) is not None:
            self.stop = hit.text
            return text[: hit.start]
        certain = len(text) - held_length(text, self.stop_strings)
        self.held = text[certain:]
        return text[:certain]


def checked_stop_strings(stop_strings: Iterable[str]) -> tuple[str, ...]:
    """Each once. Raises EdgeVLError EVL-STOP-STRINGS."""
    stops = texts_from_given(stop_strings, lambda why: refuse_stops(why, "give a text, or a list of texts"))
    if len(stops) > MOST_STOP_STRINGS or not all(0 < len(stop) <= LONGEST_STOP_STRING for stop in stops):
        refuse_stops(
            f"got {len(stops)} of {min(map(len, stops))} to {max(map(len, stops))} characters,"
            f" wanted at most {MOST_STOP_STRINGS} of 1 to {LONGEST_STOP_STRING}",
            "leave out empty stop strings and shorten the list",
        )
    return stops


def refuse_stops(why: str, fix: str) -> NoReturn:
    raise EdgeVLError("EVL-STOP-STRINGS", "the stop strings cannot be used", why, fix)


def first_stop(text: str, known: int, stop_strings: tuple[str, ...]) -> StopHit | None:
    """The stop that a reader of single characters would meet first; none ends in text[:known]."""
    hits: list[tuple[int, int, str]] = []
    for stop in stop_strings:
        start = text.find(stop, max(0, known - len(stop) + 1))
        if start >= 0:
            hits.append((start + len(stop), start, stop))
    if not hits:
        return None
    _, start, stop = min(hits)
    return StopHit(start, stop)


def held_length(text: str, stop_strings: tuple[str, ...]) -> int:
    """How long an end of the text could still grow into a stop string."""
    longest = max(map(len, stop_strings), default=1) - 1
    for length in range(min(longest, len(text)), 0, -1):
        if any(stop.startswith(text[-length:]) for stop in stop_strings if len(stop) > length):
            return length
    return 0
