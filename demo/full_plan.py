"""What is measured at full size: a model, pictures, and what `calibrate` is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibration.recipe import Recipe
from demo.random_checkpoint import spec_named
from demo.rivals.pictures import write_pictures
from edge_runtime.spec import ModelSpec

SEEN = 1  # pictures where their number changes no size and no kernel
# What `calibrate` is asked for, by a name of ours.
CHOICES: Mapping[str, dict[str, Any]] = {
    "w4": {"vision": "fp16", "decoder": "int4", "head": "int4"},
    "w8": {"vision": "fp16", "decoder": "int8", "head": "int8"},
    "w8a8": {"vision": "fp16", "decoder": "w8a8", "head": "int8"},
    "default": {"vision": "int8", "decoder": "int4", "head": "int8"},
    "gptq": {"vision": "int8", "decoder": "int4", "head": "int8", "method": "gptq"},
}
ENGINES = ("w4", "w8", "w8a8", "default")  # GPTQ's integers are others in the same graph as the default's


@dataclass(frozen=True)
class Plan:
    """`images` go through ranges for memory, `compared` of them through float and ranges in turn for time."""

    size: str
    folder: Path
    images: int
    compared: int
    context: int
    choices: tuple[str, ...] = tuple(CHOICES)

    @property
    def spec(self) -> ModelSpec:
        return spec_named(self.size)

    @property
    def pictures(self) -> Path:
        count = max(self.images, self.compared, SEEN)
        folder = self.folder / "pictures"
        write_pictures(folder, range(count))
        return folder

    def options(self, choice: str) -> list[str]:
        """Of `calibrate`."""
        words = [word for role, chosen in CHOICES[choice].items() for word in (f"--{role}", chosen)]
        if Recipe(**CHOICES[choice]).needs_samples:
            words += ["--images", str(self.pictures), "--limit", str(SEEN)]
        return words
