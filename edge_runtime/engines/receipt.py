"""What is known of a built engine: what it was built for, what is in it, what building took, and its hash."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.bundle import digest_of
from edge_runtime.dialects import Precision
from edge_runtime.engines.key import EngineKey
from edge_runtime.errors import EdgeVLError
from edge_runtime.manifest import SHA256
from edge_runtime.record import bytes_from_json, json_from_bytes, json_from_record, record_from_json
from edge_runtime.spec import check

RECEIPT_NAME, RECEIPT_LIMIT = "engine.json", 16 << 20
SEAL = "receipt_sha256"  # besides the record
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
    value = json_from_record(receipt)
    with (folder / RECEIPT_NAME).open("xb") as file:
        file.write(bytes_from_json(value | {SEAL: digest_of(value)}))


def receipt_in(folder: Path) -> Receipt:
    """EVL-ENGINE-DAMAGED where it is not as it was written; FileNotFoundError where there is none."""
    path = folder / RECEIPT_NAME
    if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would be to wait for somebody who writes
        raise damaged_error("it is not a regular file")
    with path.open("rb") as file:
        value = json_from_bytes(file.read(RECEIPT_LIMIT), RECEIPT_NAME, CODE)
    said = value.pop(SEAL, None) if isinstance(value, dict) else None
    receipt = record_from_json(Receipt, value, RECEIPT_NAME, CODE)
    check_seal(said, digest_of(value))
    return receipt


def check_seal(said: object, found: str) -> None:
    if said != found:
        raise damaged_error(f"its sha256 is {found[:16]}…, its seal says {said!r:.18}…")


def damaged_error(why: str) -> EdgeVLError:
    return EdgeVLError(CODE, f"{RECEIPT_NAME} is damaged", why, "build the engine again")
