"""The shapes an engine is built for."""

from __future__ import annotations

from dataclasses import dataclass

Shape = tuple[int, ...]

LARGEST = (1 << 31) - 1


@dataclass(frozen=True)
class ShapeRange:
    """One input: what it may be at least and at most, and what the kernels are chosen for."""

    minimum: tuple[int, ...]
    optimum: tuple[int, ...]
    maximum: tuple[int, ...]

    def __post_init__(self) -> None:
        if not len(self.minimum) == len(self.optimum) == len(self.maximum):
            raise ValueError(f"shapes of different rank: {self}")
        for low, middle, high in zip(self.minimum, self.optimum, self.maximum, strict=True):
            if not 1 <= low <= middle <= high <= LARGEST:
                raise ValueError(f"not 1 <= minimum <= optimum <= maximum: {self}")

    def __str__(self) -> str:
        return " .. ".join(str(list(shape)) for shape in (self.minimum, self.optimum, self.maximum))


@dataclass(frozen=True)
class Profile:
    """A range for every dynamic input; an engine holds kernels for each of its profiles."""

    name: str
    inputs: dict[str, ShapeRange]

    def __post_init__(self) -> None:
        if not self.name or not self.inputs:
            raise ValueError("a profile has a name and at least one input")
