"""What is asked of a calibration, and what of it every layer of a bundle gets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from calibration.decision import BLOCKS, Decision, Int4, Int8
from calibration.minmax import scale_from_absmax
from calibration.observer import Observer
from edge_runtime.errors import EdgeVLError
from edge_runtime.spec import Role

VisionChoice = Literal["int8", "fp16"]  # fp16: as the bundle has it
HeadChoice = Literal["int4", "int8", "fp16"]
DecoderChoice = Literal["int4", "int8", "w8a8", "fp16"]  # w8a8: 8-bit products, for long prompts
SidecarChoice = Literal["int8", "fp16"]
Method = Literal["rtn", "gptq", "awq"]  # how 4-bit weights are rounded

VISION: tuple[Role, ...] = ("vision_high", "vision_low", "adaptor")
HEAD = "head"


@dataclass(frozen=True)
class Recipe:
    """`vision` int8 and `decoder` w8a8 mean 8-bit products, whose ranges come from samples; else decoder and head get
    integer weights alone. `embedding` is the table of tokens, `kv` the cache of keys and values.

    `smooth` is how much of the difference between channels moves from what 8-bit products read into their weights:
    nothing at 0, all of it at 1.
    """

    vision: VisionChoice = "int8"
    decoder: DecoderChoice = "int4"
    head: HeadChoice = "int8"
    block: int = BLOCKS[0]
    observer: Observer = "minmax"
    method: Method = "rtn"
    smooth: float = 0.0
    embedding: SidecarChoice = "fp16"
    kv: SidecarChoice = "fp16"

    def __post_init__(self) -> None:
        if not 0 <= self.smooth <= 1:
            why = "it is the share of the difference between channels that moves"
            raise EdgeVLError(
                "EVL-CALIBRATE-SMOOTH", f"nothing is smoothed by {self.smooth}", why, "give 0 to 1"
            )

    @property
    def needs_samples(self) -> bool:
        return self.vision == "int8" or self.needs_answers

    @property
    def needs_answers(self) -> bool:
        """Whether something in the decoder is measured while it answers."""
        return self.needs_moments or self.decoder == "w8a8" or self.kv == "int8"

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
        return {
            name: self.decision(choice, reaches.get(name))
            for name, choice in chosen.items()
            if choice != "fp16"
        }

    def decision(self, choice: DecoderChoice, reach: float | None) -> Decision:
        assert choice != "fp16", "a layer that stays has no decision"
        if choice == "w8a8":
            assert reach is not None, "the caller measures what is asked for"
            return Int8(scale_from_absmax(reach))
        return Int4(self.block) if choice == "int4" else Int8()
