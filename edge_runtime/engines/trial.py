"""What became of a bundle's engines when they were tried on the GPU beside ONNX Runtime: a record that lies on the shelf."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect, Precision
from edge_runtime.engines.key import DIGITS, digest_of_graph
from edge_runtime.engines.place import Place
from edge_runtime.engines.receipt import Receipt
from edge_runtime.engines.sealed import damaged_error, sealed, unsealed
from edge_runtime.errors import EdgeVLError
from edge_runtime.record import bytes_from_json, json_from_record
from edge_runtime.replacing import replaced_file
from edge_runtime.spec import Role

LIMIT = 16 << 20
CODE = "EVL-ENGINE-TRIAL"


@dataclass(frozen=True)
class Subject:
    """What a trial is about: the graphs of a bundle in a dialect, for so many tokens, on one place."""

    graphs_sha256: str
    dialect: Dialect
    context: int
    place: Place

    @property
    def file_name(self) -> str:
        digest = hashlib.sha256(bytes_from_json(json_from_record(self))).hexdigest()
        return f"trial-{digest[:DIGITS]}.json"


@dataclass(frozen=True)
class Candidate:
    """The engine of a role, or both of a decoder: their folders on the shelf, and in the same order the sha256 of their
    plans, which records of before do not have. `fault` is why it is of no use, "" where it answers as the reference
    does; `ms` is what the role takes of one answer."""

    engines: tuple[str, ...]
    precision: Precision
    is_fallback: bool
    sqnr_db: float | None
    ms: float | None
    fault: str
    plan_sha256s: tuple[str, ...] = ()

    @property
    def plans(self) -> frozenset[tuple[str, str]]:
        """Folder and sha256 of each; none where the record does not say. One that was built again has the same folder,
        and is another plan."""
        return frozenset(zip(self.engines, self.plan_sha256s, strict=False))


@dataclass(frozen=True)
class RoleTrial:
    role: Role
    reference_ms: float
    candidates: tuple[Candidate, ...]

    @property
    def best(self) -> Candidate | None:
        """The fastest that is right."""
        right = [each for each in self.candidates if not each.fault and each.ms is not None]
        return min(right, key=lambda each: each.ms or 0.0, default=None)

    @property
    def winner(self) -> Candidate | None:
        """The best, where ONNX Runtime is not faster."""
        best = self.best
        return best if best is not None and (best.ms or 0.0) < self.reference_ms else None

    def words(self, picked: Candidate | None) -> str:
        """Why it is not the first candidate that answers; "" where it is."""
        first = self.candidates[0]
        if picked is first:
            return ""
        why = first.fault or "it is not faster"
        if picked is None:
            return f"{self.role} is left to ONNX Runtime: {why}"
        return f"{self.role} is answered by the {picked.precision} engine instead: {why}"


@dataclass(frozen=True)
class Trial:
    subject: Subject
    reference: str
    date: str
    edge_vl_version: str
    roles: tuple[RoleTrial, ...]

    @property
    def plans(self) -> frozenset[tuple[str, str]]:
        """Of all that were tried."""
        return frozenset().union(*(candidate.plans for each in self.roles for candidate in each.candidates))

    @property
    def words(self) -> str:
        """Of those that answer where none was asked for by name."""
        return self.words_of(lambda each: each.winner)

    def words_of(self, pick: Callable[[RoleTrial], Candidate | None]) -> str:
        lost = [words for each in self.roles if (words := each.words(pick(each)))]
        are_faster = all(each.winner is not None for each in self.roles)
        rest = "every engine agrees and is faster" if are_faster else "every engine agrees"
        return f"tried on this GPU beside {self.reference}: {'; '.join(lost) or rest}"


def subject_of(bundle: Bundle, dialect: Dialect, context: int, place: Place) -> Subject:
    graphs = [
        f"{entry.role} {digest_of_graph(bundle, entry)}"
        for entry in bundle.manifest.graphs
        if entry.dialect == dialect
    ]
    return Subject(hashlib.sha256("\n".join(sorted(graphs)).encode()).hexdigest(), dialect, context, place)


def write_trial(shelf: Path, trial: Trial) -> None:
    """In the place of the one before, whole or not at all."""
    with replaced_file(shelf / trial.subject.file_name) as path:
        path.write_bytes(bytes_from_json(sealed(json_from_record(trial))))


def trial_in(subject: Subject, shelves: Iterable[Path]) -> Trial:
    """EVL-ENGINE-UNTRIED where there is none, EVL-ENGINE-TRIAL where it is not as it was written."""
    for shelf in shelves:
        path = shelf / subject.file_name
        if path.is_file():
            trial = unsealed(Trial, path, LIMIT, CODE)
            if trial.subject != subject:  # a copy under another name
                raise damaged_error(path.name, CODE, "it is about other engines")
            return trial
    why = "they were built elsewhere, or the trial did not end"
    raise untried_error("the engines were never tried on this GPU", why)


def check_tried(receipt: Receipt, tried: AbstractSet[tuple[str, str]]) -> None:
    """EVL-ENGINE-UNTRIED where this very plan was not."""
    if (receipt.key.folder, receipt.plan_sha256) not in tried:
        what = f"the engine {receipt.key.name} was never tried as it is"
        raise untried_error(what, "it was built again since, or tried by an edge-vl of before")


def untried_error(what: str, why: str) -> EdgeVLError:
    return EdgeVLError(
        "EVL-ENGINE-UNTRIED", what, why, "run `edge-vl build` here: it tries what it finds built"
    )
