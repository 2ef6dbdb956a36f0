"""How a question is to be answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_runtime.constraint import Constraint
from edge_runtime.errors import EdgeVLError
from edge_runtime.sampling import Sampling

DEFAULT_MAX_TOKENS = 512
MOST_LOGPROBS = 20


@dataclass(frozen=True)
class Request:
    """How to answer. `max_tokens` None asks for as many as fit, up to 512. Under a constraint the answer ends where
    that is fulfilled, and the model's own stop strings are text like any other. `logprobs` is how many of the likeliest
    tokens are told beside each chosen one, 0 its own alone; None tells none."""

    max_tokens: int | None = None
    sampling: Sampling = Sampling()
    stop: Sequence[str] = ()
    constraint: Constraint | None = None
    logprobs: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.stop, str):  # a text is a sequence of one-letter texts, and never meant so
            object.__setattr__(self, "stop", (self.stop,))
        if self.max_tokens is not None and (type(self.max_tokens) is not int or self.max_tokens < 1):
            raise EdgeVLError(
                "EVL-MAX-TOKENS",
                "max_tokens is out of range",
                f"got {self.max_tokens!r}, wanted a whole number, 1 or more",
                "give max_tokens a value in that range or leave it out",
            )
        told = self.logprobs
        if told is not None and (type(told) is not int or not 0 <= told <= MOST_LOGPROBS):
            raise EdgeVLError(
                "EVL-LOGPROBS",
                "logprobs is out of range",
                f"got {told!r}, wanted a whole number, 0 to {MOST_LOGPROBS}",
                "give logprobs a value in that range or leave it out",
            )
