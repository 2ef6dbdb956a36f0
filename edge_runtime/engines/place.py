"""What an engine is good for: one version of one library, and one kind of GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_runtime.record import json_from_record

EngineName = Literal["tensorrt", "tensorrt-rtx"]

TITLES: dict[EngineName, str] = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT-RTX"}


@dataclass(frozen=True)
class Gpu:
    """As its driver tells: `architecture` as in "sm87", `driver` the newest CUDA that it understands. All boards of a
    family may have these in common: what tells one from another is how many `multiprocessors` are switched on, and
    `shared_gib`, the board's memory where the GPU has none of its own. 0 is what was not told."""

    name: str
    architecture: str
    driver: str
    multiprocessors: int = 0
    shared_gib: int = 0

    @property
    def title(self) -> str:
        told = (
            self.architecture,
            f"{self.multiprocessors} multiprocessors" if self.multiprocessors else "",
            f"{self.shared_gib} GiB shared" if self.shared_gib else "",
            f"CUDA {self.driver}",
        )
        return f"{self.name} ({', '.join(filter(None, told))})"


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
        return "any GPU" if self.gpu is None else self.gpu.title


def json_from_place(place: Place) -> dict[str, object]:
    """Without what the GPU did not tell: engines from before that was asked keep their names, and are found to be
    for another GPU."""
    told = json_from_record(place)
    if place.gpu is not None:
        told["gpu"] = {name: value for name, value in json_from_record(place.gpu).items() if value != 0}
    return told
