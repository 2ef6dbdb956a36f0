"""What is known of a built engine: what it was built for, what is in it, what building took, and its hash."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_runtime.dialects import Precision
from edge_runtime.engines.key import EngineKey
from edge_runtime.engines.sealed import sealed, unsealed
from edge_runtime.manifest import SHA256
from edge_runtime.record import bytes_from_json, json_from_record
from edge_runtime.spec import check

RECEIPT_NAME, RECEIPT_LIMIT = "engine.json", 16 << 20
CODE = "EVL-ENGINE-DAMAGED"


@dataclass(frozen=True)
class Contents:
    """Of each profile; None is what no source told."""

    attention_layers: int  # that there are
    fused_attention: tuple[int | None, ...]
    constant_bytes: tuple[dict[str, int] | None, ...]
    activation_bytes: tuple[int | None, ...]

    @property
    def least_fused(self) -> int | None:
        """Attention layers that are fused in every profile; None where a profile does not tell."""
        known = [count for count in self.fused_attention if count is not None]
        return min(known) if len(known) == len(self.fused_attention) else None

    @property
    def attention_told(self) -> str:
        """For people; empty where there is no attention."""
        if not self.attention_layers:
            return ""
        if self.least_fused is None:
            return f"whether attention is fused in its {self.attention_layers} layers is not told"
        return f"attention fused in {self.least_fused} of {self.attention_layers} layers"


@dataclass(frozen=True)
class Cost:
    seconds: float
    peak_held_mib: float
    peak_resident_mib: float


@dataclass(frozen=True)
class Receipt:
    key: EngineKey
    precision: Precision
    plan: str
    plan_bytes: int
    plan_sha256: str
    contents: Contents
    cost: Cost
    edge_vl_version: str
    warnings: tuple[str, ...]

    def __post_init__(self) -> None:
        check("/" not in self.plan and self.plan not in ("", ".", ".."), f"{self.plan!r} is no file's name")
        check(self.plan_bytes > 0, "an engine has no bytes")
        check(SHA256.fullmatch(self.plan_sha256) is not None, "the sha256 of the plan is not 64 hex digits")


def write_receipt(folder: Path, receipt: Receipt) -> None:
    with (folder / RECEIPT_NAME).open("xb") as file:
        file.write(bytes_from_json(sealed(json_from_record(receipt))))


def receipt_in(folder: Path) -> Receipt:
    """EVL-ENGINE-DAMAGED where it is not as it was written; FileNotFoundError where there is none."""
    return unsealed(Receipt, folder / RECEIPT_NAME, RECEIPT_LIMIT, CODE)
