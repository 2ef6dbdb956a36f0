"""What a loop has done since it was made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Counts:
    """Written by the loop's own thread alone; any other may read."""

    said: int = 0  # tokens of answers
    prompt_tokens: int = 0  # of prompts that were read to their end
    cached_tokens: int = 0  # of those, found in the cache
    pictures: int = 0  # shown
    known_pictures: int = 0  # of those, encoded before
    drafted: int = 0  # tokens that were guessed
    accepted: int = 0  # of those, right
    corrupted: int = 0  # answers that ended because the engine's numbers were none
    progressed: int = 0  # pieces of work that were done
