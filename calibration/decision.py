"""What becomes of one layer: 4-bit or 8-bit weights, 8-bit products, or nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_runtime.errors import EdgeVLError

BLOCKS = (128, 64, 32)  # rows of K that share a scale; all that every engine fuses
INT8_LIMIT = 127  # -128 is left out, so that the range is as wide on both sides of zero


@dataclass(frozen=True)
class Float:
    """The layer stays as it is; `reason` says why where that was not asked for."""

    reason: str = ""


@dataclass(frozen=True)
class Int4:
    """4-bit weights, one scale for each column of each block of K."""

    block: int = BLOCKS[0]

    def __post_init__(self) -> None:
        if self.block not in BLOCKS:
            why = f"blocks have {', '.join(map(str, sorted(BLOCKS)))} rows"
            raise EdgeVLError(
                "EVL-QUANT-BLOCK", f"there are no blocks of {self.block}", why, "choose one of these"
            )


@dataclass(frozen=True)
class Int8:
    """8-bit weights, one scale for each column. With a scale for the activations the product itself is 8-bit."""

    activation_scale: float | None = None

    def __post_init__(self) -> None:
        scale = self.activation_scale
        if scale is not None and not (math.isfinite(scale) and scale > 0):
            what, why = "a layer cannot be made INT8", f"{scale} is no scale for its input"
            raise EdgeVLError("EVL-QUANT-SCALE", what, why, "calibrate with samples that reach the layer")


Decision = Float | Int4 | Int8


def decision_for_shape(asked: Decision, rows: int, columns: int) -> Decision:
    """What of `asked` a (rows, columns) weight can have: the largest block that divides it, or Float with the reason.

    Engines find the block's size from the shapes alone, so a block can never be cut short.
    """
    if not isinstance(asked, Int4):
        return asked
    if columns % 2:
        return Float(f"two 4-bit weights share a byte, and a row has {columns}")
    fitting = [block for block in BLOCKS if block <= asked.block and rows % block == 0]
    if not fitting:
        return Float(f"{rows} rows do not part into blocks of {BLOCKS[-1]}")
    return Int4(fitting[0])
