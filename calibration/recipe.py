"""What is asked of a calibration, and what of it every layer of a bundle gets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from calibration.decision import BLOCKS, Decision, Int4, Int8
from calibration.minmax import scale_from_absmax
from calibration.observer import Observer
from edge_runtime.dialects import Precision
from edge_runtime.errors import EdgeVLError
from edge_runtime.spec import Role

VisionChoice = Literal["int8", "fp16"]  # fp16: as the bundle has it
DecoderChoice = Literal["int4", "int8", "fp16"]
Method = Literal["rtn", "gptq", "awq"]  # how 4-bit weights are rounded

VISION: tuple[Role, ...] = ("vision_high", "vision_low", "adaptor")
HEAD = "head"


@dataclass(frozen=True)
class Recipe:
    """`vision` int8 means 8-bit products, whose ranges come from samples; decoder and head get integer weights alone.

    `smooth` is how much of the difference between channels moves from what 8-bit products read into their weights:
    nothing at 0, all of it at 1.
    """

    vision: VisionChoice = "int8"
    decoder: DecoderChoice = "int4"
    head: DecoderChoice = "int8"
    block: int = BLOCKS[0]
    observer: Observer = "minmax"
    method: Method = "rtn"
    smooth: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.smooth <= 1:
            why = "it is the share of the difference between channels that moves"
            raise EdgeVLError(
                "EVL-CALIBRATE-SMOOTH", f"nothing is smoothed by {self.smooth}", why, "give 0 to 1"
            )

    @property
    def needs_samples(self) -> bool:
        return self.vision == "int8" or self.needs_moments

    @property
    def needs_moments(self) -> bool:
        """Whether 4-bit weights are rounded with a look at what they are multiplied with."""
        return self.method != "rtn" and "int4" in (self.decoder, self.head)

    def decisions(
        self, role: Role, layers: Iterable[str], reaches: Mapping[str, float]
    ) -> dict[str, Decision]:
        """By layer name; layers that stay as they are do not come up."""
        if role in VISION:
            every = layers if self.vision == "int8" else ()
            return {name: Int8(scale_from_absmax(reaches[name])) for name in every}
        chosen = {name: self.head if name == HEAD else self.decoder for name in layers}
        return {name: self.weights_in(choice) for name, choice in chosen.items() if choice != "fp16"}

    def weights_in(self, choice: DecoderChoice) -> Decision:
        assert choice != "fp16", "a layer that stays has no decision"
        return Int4(self.block) if choice == "int4" else Int8()

    def precision(self, role: Role, before: Precision) -> Precision:
        """Of most of the role's weights."""
        choice = self.vision if role in VISION else self.decoder
        return before if choice == "fp16" else choice
