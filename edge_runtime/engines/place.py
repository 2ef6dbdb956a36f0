"""What an engine is good for: one version of one library, and one kind of GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EngineName = Literal["tensorrt", "tensorrt-rtx"]

TITLES: dict[EngineName, str] = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT-RTX"}


@dataclass(frozen=True)
class Gpu:
    """As its driver tells: `architecture` as in "sm87", `driver` the newest CUDA that it understands."""

    name: str
    architecture: str
    driver: str


@dataclass(frozen=True)
class Place:
    """`gpu` is None where none answered: TensorRT-RTX builds for every GPU it knows then."""

    engine: EngineName
    version: str
    gpu: Gpu | None

    def takes(self, built: Place) -> bool:
        """Whether an engine built there runs here: one for any GPU runs on every one of them."""
        return (self.engine, self.version) == (built.engine, built.version) and built.gpu in (self.gpu, None)

    @property
    def title(self) -> str:
        return f"{TITLES[self.engine]} {self.version}"

    @property
    def target(self) -> str:
        if self.gpu is None:
            return "any GPU"
        return f"{self.gpu.name} ({self.gpu.architecture}, CUDA {self.gpu.driver})"
