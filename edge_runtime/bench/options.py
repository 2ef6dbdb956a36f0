"""What to measure, checked when made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.bench.gates import Gates
from edge_runtime.choice import Wish, check_engine
from edge_runtime.errors import EdgeVLError
from edge_runtime.picture_source import ImageSource

CONTEXTS = (128, 512, 1024, 2048, 4096)
PROMPT = "Describe this picture in detail."
RUNS = 3
MAX_TOKENS = 32
NO_GATES = Gates()


@dataclass(frozen=True)
class BenchOptions:
    """What to measure. Contexts that the bundle cannot hold are skipped."""

    bundle: Path
    pictures: tuple[ImageSource, ...]
    prompt: str = PROMPT
    runs: int = RUNS
    max_tokens: int = MAX_TOKENS
    contexts: tuple[int, ...] = CONTEXTS
    engine: str = "auto"
    is_trusted: bool = False
    engines: Path | None = None
    gates: Gates = NO_GATES

    def __post_init__(self) -> None:
        assert self.pictures, "an answer is about a picture"
        check_range("--runs", self.runs, 1, 1000)
        check_range("--max-tokens", self.max_tokens, 2, 1 << 20)
        for context in self.contexts:
            check_range("--contexts", context, 2, 1 << 24)
        for name, bar in vars(self.gates).items():
            if bar is not None and not 0 < bar < math.inf:
                flag = f"--{name.replace('_', '-')}"
                fix = f"give {flag} a number above zero"
                raise EdgeVLError("EVL-BENCH-RANGE", f"{flag} is out of range", f"got {bar}", fix)
        check_engine(self.engine)

    @property
    def wish(self) -> Wish:
        return Wish(self.engine, engines=self.engines, is_trusted=self.is_trusted)

    def steps_at(self, context: int) -> int:
        """How many tokens are decoded there."""
        return min(self.max_tokens, context) - 1


def check_range(flag: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        why = f"got {value}, wanted {low} to {high}"
        raise EdgeVLError("EVL-BENCH-RANGE", f"{flag} is out of range", why, f"give {flag} a value in it")
