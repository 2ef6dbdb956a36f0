"""How a question is to be answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_runtime.constraint import Constraint
from edge_runtime.errors import EdgeVLError
from edge_runtime.sampling import Sampling
from edge_runtime.textstream import checked_stop_strings

DEFAULT_MAX_TOKENS = 512
MOST_LOGPROBS = 20


@dataclass(frozen=True)
class Request:
    """How to answer. `max_tokens` None asks for as many as fit, up to 512. Under a constraint the answer ends where
    that is fulfilled, and the model's own stop strings are text like any other. `logprobs` is how many of the likeliest
    tokens are told beside each chosen one, 0 its own alone; None tells none. Raises EdgeVLError for what nobody could
    answer so, before any model is there."""

    max_tokens: int | None = None
    sampling: Sampling = Sampling()
    stop: Sequence[str] = ()
    constraint: Constraint | None = None
    logprobs: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop", checked_stop_strings(self.stop))
        self._check_kind("sampling", self.sampling, isinstance(self.sampling, Sampling), "a Sampling")
        is_constraint = self.constraint is None or isinstance(self.constraint, Constraint)
        self._check_kind("constraint", self.constraint, is_constraint, "a JsonSchema, a Regex or a Choice")
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

    @staticmethod
    def _check_kind(name: str, value: object, is_right: bool, wanted: str) -> None:
        if not is_right:
            raise EdgeVLError(
                "EVL-REQUEST-KIND",
                f"{name} is nothing that can be asked for",
                f"got {type(value).__name__}, wanted {wanted}",
                f"give {name} one of edge_vl's own, or leave it out",
            )
