"""What `edge-vl build` tells: what it will take, and what was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from edge_runtime.engines.shelf import Shelf

if TYPE_CHECKING:
    from edge_vl.terminal import Terminal
    from export.engines.need import Room
    from export.engines.workshop import Made, Order

MIB = 1 << 20


@dataclass(frozen=True)
class Verdict:
    """`shortage` is why an engine cannot be built, "" where it can, or is there already."""

    order: Order
    shortage: str


def show_verdicts(verdicts: Sequence[Verdict], room: Room, terminal: Terminal) -> None:
    rows = [("engine", "graph", "memory", "on disk", "verdict")]
    for verdict in verdicts:
        order, need = verdict.order, verdict.order.need
        graph = f"{order.entry.dialect}, {order.entry.precision}"
        memory, disk = f"{need.held_mib} MiB", f"{need.plan_mib} MiB"
        rows.append((order.shape.name, graph, memory, disk, verdict.shortage or "fits"))
    terminal.table(rows)
    aside = "" if room.contiguous_mib is None else f", {room.contiguous_mib} MiB of it in one piece"
    terminal.line(f"estimates; one engine is built at a time; {room.free_mib} MiB are free{aside}")


def json_from_verdicts(verdicts: Sequence[Verdict], room: Room) -> dict[str, object]:
    engines = [
        {
            "engine": verdict.order.shape.name,
            "role": verdict.order.entry.role,
            "dialect": verdict.order.entry.dialect,
            "precision": verdict.order.entry.precision,
            **asdict(verdict.order.need),
            "fits": not verdict.shortage,
            "shortage": verdict.shortage or None,
        }
        for verdict in verdicts
    ]
    place = verdicts[0].order.key.place
    return {"dry_run": True, "place": asdict(place), "room": asdict(room), "engines": engines}


def show_made(made: Made, shelf: Shelf, terminal: Terminal) -> None:
    receipt = made.receipt
    if made.fault:
        terminal.line(f"{receipt.key.name}: what lay there was of no use ({made.fault})")
    contents, cost = receipt.contents, receipt.cost
    told = [f"{receipt.plan_bytes / MIB:.1f} MiB", receipt.precision]
    if contents.attention_told:
        told.append(contents.attention_told)
    if made.is_new:
        told += [f"{cost.seconds:.1f} s", f"{cost.peak_held_mib:.0f} MiB held"]
    else:
        told.append("there already")
    if receipt.warnings:
        told.append(f"{len(receipt.warnings)} warnings, told by --json")
    terminal.line(f"{receipt.key.name}: {', '.join(told)}: {shelf.plan(receipt)}")


def json_from_made(every: Sequence[Made], shelf: Shelf) -> dict[str, object]:
    engines = [
        {
            "engine": made.receipt.key.name,
            "role": made.receipt.key.role,
            "dialect": made.receipt.key.dialect,
            "path": str(shelf.plan(made.receipt)),
            "bytes": made.receipt.plan_bytes,
            "precision": made.receipt.precision,
            **asdict(made.receipt.contents),
            **asdict(made.receipt.cost),
            "is_new": made.is_new,
            "replaced": made.fault or None,
            "warnings": list(made.receipt.warnings),
        }
        for made in every
    ]
    return {"place": asdict(every[0].receipt.key.place), "engines": engines}
