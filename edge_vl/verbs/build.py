"""`edge-vl build`."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from edge_runtime.bundle import Bundle
from edge_runtime.engines.shelf import Shelf, usual_folder
from edge_runtime.errors import EdgeVLError, MachineFault
from edge_vl.signals import Stopped
from edge_vl.verbs.built import Verdict, json_from_made, json_from_verdicts, show_made, show_verdicts
from edge_vl.verbs.folders import refuse_checkpoint
from edge_vl.verbs.tried import json_from_trial, show_trial, trial_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_runtime.dialects import Dialect
    from edge_runtime.engines.place import Place
    from edge_vl.terminal import Terminal
    from export.engines.need import Room
    from export.engines.workshop import Made, Order

    Batch = tuple[Bundle, list[Order]]


def run(arguments: Namespace, terminal: Terminal) -> int:
    from edge_runtime.engines.selection import dialect_for, place_here

    refuse_checkpoint(arguments.bundle)
    place = place_here(arguments.engine)
    bundles = opened_bundles(arguments, terminal)
    dialect = dialect_for(place, bundles[0].manifest.dialects)
    context = bundles[0].manifest.max_context if arguments.max_context is None else arguments.max_context
    batches = [(bundle, orders_for(bundle, dialect, place, context)) for bundle in bundles]
    shelf = Shelf(arguments.engines or usual_folder(arguments.bundle))
    room = room_for(arguments.memory_mib)
    verdicts = verdicts_on([order for _, orders in batches for order in orders], room, shelf, terminal)
    if arguments.dry_run:
        shelf.check()
        return told_verdicts(verdicts, room, arguments, terminal)
    check_verdicts(verdicts, room)
    shelf.make()
    every = made_and_told(batches, shelf, room.free_mib, arguments, terminal)
    trial = trial_of(bundles, dialect, place, context, shelf, terminal)
    if arguments.json:
        terminal.json(json_from_made(every, shelf) | {"trial": json_from_trial(trial)})
    else:
        show_trial(trial, terminal)
    return 0


def opened_bundles(arguments: Namespace, terminal: Terminal) -> list[Bundle]:
    """The bundle, and the one whose engines stand in for its own, if one was named."""
    bundle = Bundle.open(arguments.bundle, arguments.trust_bundle, terminal.progress)
    if arguments.fallback is None:
        return [bundle]
    refuse_checkpoint(arguments.fallback)
    other = Bundle.open(arguments.fallback, arguments.trust_bundle, terminal.progress)
    why = unfitness(other, bundle)
    if not why:
        return [bundle, other]
    what = f"{arguments.fallback} cannot stand in for {arguments.bundle}"
    fix = "name the float bundle that this one was calibrated from, or leave --fallback out"
    raise EdgeVLError("EVL-BUILD-FALLBACK", what, why, fix)


def unfitness(other: Bundle, bundle: Bundle) -> str:
    """Why its engines cannot answer for those of `bundle`; "" where they can."""
    if other.spec != bundle.spec:
        return "it is another model"
    if other.manifest.provenance.checkpoint_sha256 != bundle.manifest.provenance.checkpoint_sha256:
        return "it was exported from another checkpoint"
    return "" if other.manifest.calibration is None else "it is quantised itself"


def orders_for(bundle: Bundle, dialect: Dialect, place: Place, context: int) -> list[Order]:
    from export.engines.serving import Serving
    from export.engines.workshop import orders_of

    return orders_of(bundle, dialect, place, Serving(context))


def room_for(memory_mib: int | None) -> Room:
    """What the user says overrules what is seen, pieces and all."""
    from export.engines.need import Room, room_here

    return room_here() if memory_mib is None else Room(memory_mib)


def verdicts_on(orders: Sequence[Order], room: Room, shelf: Shelf, terminal: Terminal) -> list[Verdict]:
    """An engine that is there needs nothing; to look takes hashing, so only what would not fit is looked for."""
    from export.engines.need import shortage

    def is_there(order: Order) -> bool:
        return shelf.look(order.key, terminal.progress).receipt is not None

    whys = [shortage(order.need, room) for order in orders]
    return [
        Verdict(order, "" if why and is_there(order) else why)
        for order, why in zip(orders, whys, strict=True)
    ]


def told_verdicts(verdicts: Sequence[Verdict], room: Room, arguments: Namespace, terminal: Terminal) -> int:
    if arguments.json:
        terminal.json(json_from_verdicts(verdicts, room))
    else:
        show_verdicts(verdicts, room, terminal)
    return 1 if any(verdict.shortage for verdict in verdicts) else 0


def check_verdicts(verdicts: Sequence[Verdict], room: Room) -> None:
    """EVL-BUILD-MEMORY before anything is built, where one engine cannot be."""
    from export.engines.need import remedy_of_shortage

    for verdict in verdicts:
        if verdict.shortage:
            what = f"{verdict.order.shape.name} cannot be built on this machine as it is"
            fix = remedy_of_shortage(verdict.order.need, room)
            raise MachineFault("EVL-BUILD-MEMORY", what, verdict.shortage, fix)


def made_and_told(
    batches: Sequence[Batch], shelf: Shelf, limit_mib: int, arguments: Namespace, terminal: Terminal
) -> list[Made]:
    """Whoever stops the work is told what of it is there."""
    from export.engines.workshop import Workshop

    every: list[Made] = []
    total = sum(len(orders) for _, orders in batches)
    try:
        for bundle, orders in batches:
            for made in Workshop(bundle, shelf, limit_mib, terminal.progress).made(orders):
                every.append(made)
                if not arguments.json:
                    show_made(made, shelf, terminal)
    except BaseException as fault:
        stopped = terminal.signals.stop_behind(fault)
        if stopped is None or not every:
            raise
        kept = f"the same command goes on: {len(every)} of {total} engines are there"
        raise Stopped(stopped.number, kept) from fault
    return every
