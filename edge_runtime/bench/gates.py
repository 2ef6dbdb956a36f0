"""Bars that a bench is held to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gates:
    """None is no bar. Figures are medians of answers, and what was held at most."""

    min_tokens_per_s: float | None = None
    max_first_token_ms: float | None = None
    max_held_mib: float | None = None


@dataclass(frozen=True)
class Gate:
    """`name` is the flag's, with underscores."""

    name: str
    bar: float
    measured: float
    is_passed: bool

    @property
    def words(self) -> str:
        bound = "at least" if self.name.startswith("min") else "at most"
        verdict = "ok" if self.is_passed else "FAILED"
        what = self.name.partition("_")[2].replace("_", " ")
        return f"{what}: {self.measured:g}, {bound} {self.bar:g} wanted  {verdict}"


def judged(gates: Gates, tokens_per_s: float, first_token_ms: float, held_mib: float) -> tuple[Gate, ...]:
    least = [("min_tokens_per_s", gates.min_tokens_per_s, tokens_per_s)]
    most = [
        ("max_first_token_ms", gates.max_first_token_ms, first_token_ms),
        ("max_held_mib", gates.max_held_mib, held_mib),
    ]
    found = [Gate(name, bar, value, value >= bar) for name, bar, value in least if bar is not None]
    found += [Gate(name, bar, value, value <= bar) for name, bar, value in most if bar is not None]
    return tuple(found)
