"""What a dialect's decoder gives and takes beside the model itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DecoderForm:
    """`capacity` None lets the cache be as long as its owner likes; no `candidates` means logits alone."""

    head_parts: int = 1
    candidates: int = 0
    capacity: int | None = None

    def __post_init__(self) -> None:
        assert self.head_parts >= 1 and self.candidates >= 0


PLAIN = DecoderForm()
