"""Engines that were built, tried beside ONNX Runtime on this GPU, and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from edge_runtime.backends.ort_library import imported_onnxruntime
from edge_runtime.bundle import Bundle
from edge_runtime.engines.collection import Search
from edge_runtime.engines.jury import Ask, Jury, Side, asked
from edge_runtime.engines.shelf import Shelf
from edge_runtime.engines.trial import Subject, Trial, subject_of, trial_in, write_trial
from edge_runtime.errors import EdgeVLError
from edge_runtime.record import json_from_record

if TYPE_CHECKING:
    from edge_runtime.dialects import Dialect
    from edge_runtime.engines.place import Place
    from edge_vl.terminal import Terminal

NO_GPU = "no GPU answers here; whether the engines are right and fast is for a machine with one to say"


@dataclass(frozen=True)
class Untried:
    why: str


def trial_of(
    bundles: Sequence[Bundle], dialect: Dialect, place: Place, context: int, shelf: Shelf, terminal: Terminal
) -> Trial | Untried:
    if place.gpu is None:
        return Untried(NO_GPU)
    try:
        imported_onnxruntime()
    except EdgeVLError as error:
        return Untried(f"{error.what}; it is what engines are compared with")
    return tried(bundles, dialect, place, context, shelf, terminal)


def tried(
    bundles: Sequence[Bundle],
    dialect: Dialect,
    place: Place,
    context: int,
    shelf: Shelf,
    terminal: Terminal,
    ask: Ask = asked,
) -> Trial:
    """Of the first bundle's engines; those of a second one stand in where one is wrong or slow. What was tried before,
    plan for plan, is not tried again."""
    sides = tuple(
        Side(
            bundle,
            Search(bundle, dialect, place, context, is_trusted=True).found([shelf]),
            is_fallback=number > 0,
        )
        for number, bundle in enumerate(bundles)
    )
    subject = subject_of(bundles[0], dialect, sides[0].engines.context, place)
    receipts = [receipt for side in sides for receipt in side.engines.receipts.values()]
    known = known_trial(subject, shelf)
    if known is not None and known.plans == {(each.key.folder, each.plan_sha256) for each in receipts}:
        return known
    trial = Jury(subject, sides, ask, terminal.progress).trial(datetime.now(timezone.utc).date().isoformat())
    write_trial(shelf.folder, trial)
    return trial


def known_trial(subject: Subject, shelf: Shelf) -> Trial | None:
    """What cannot be read any more is tried again."""
    try:
        return trial_in(subject, [shelf.folder])
    except EdgeVLError:
        return None


def show_trial(trial: Trial | Untried, terminal: Terminal) -> None:
    if isinstance(trial, Untried):
        terminal.line(f"not tried: {trial.why}")
        return
    rows = [("role", "engine", "alike", "ms", "ONNX Runtime", "verdict")]
    for each in trial.roles:
        for candidate in each.candidates:
            alike = "" if candidate.sqnr_db is None else f"{candidate.sqnr_db:.1f} dB"
            ms = "" if candidate.ms is None else f"{candidate.ms:.1f}"
            verdict = candidate.fault or ("taken" if candidate is each.winner else "not the fastest")
            rows.append((each.role, candidate.precision, alike, ms, f"{each.reference_ms:.1f}", verdict))
    terminal.table(rows)
    terminal.line(trial.words)


def json_from_trial(trial: Trial | Untried) -> dict[str, object]:
    if isinstance(trial, Untried):
        return {"untried": trial.why}
    taken = {each.role: list(each.winner.engines) if each.winner else "onnxruntime" for each in trial.roles}
    return {**json_from_record(trial), "taken": taken, "words": trial.words}
