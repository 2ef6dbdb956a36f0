"""The engines that can answer for one bundle on this machine: one of every role, whole, and for one length of context."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.engines.key import digest_of_graph
from edge_runtime.engines.place import Place
from edge_runtime.engines.receipt import Receipt
from edge_runtime.engines.shelf import Shelf, folders_to_look_in
from edge_runtime.errors import EdgeVLError, MachineFault, listed, typed
from edge_runtime.manifest import GraphEntry
from edge_runtime.progress import Progress, silent
from edge_runtime.spec import Role

DECODERS = (frozenset({"decoder"}), frozenset({"decoder.prefill", "decoder.decode"}))
Lying = tuple[Shelf, Receipt]


@dataclass(frozen=True)
class Collection:
    """`receipts` and `plans` are by engine. `context` is how many tokens the decoder's cache has."""

    place: Place
    dialect: Dialect
    context: int
    receipts: Mapping[str, Receipt]
    plans: Mapping[str, Path]


@dataclass(frozen=True)
class Search:
    """`max_context` is the least that the decoder must hold; None is as much as any holds."""

    bundle: Bundle
    dialect: Dialect
    place: Place
    max_context: int | None = None
    is_trusted: bool = False

    def found(self, shelves: Iterable[Shelf], progress: Progress = silent) -> Collection:
        """EVL-ENGINE-ABSENT where one was never built for this, EVL-ENGINE-DAMAGED where one is not whole."""
        every = tuple(shelves)
        lying = [(shelf, receipt) for shelf in every for receipt in shelf.receipts()]
        chosen: dict[str, Lying] = {}
        for entry in self.bundle.manifest.graphs:
            if entry.dialect == self.dialect:
                chosen |= self._of_role(entry, lying, every)
        for shelf, receipt in chosen.values():
            check_whole(shelf, receipt, progress, self.is_trusted)
        context = max(receipt.key.context for _, receipt in chosen.values())
        receipts = {name: receipt for name, (_, receipt) in chosen.items()}
        plans = {name: shelf.plan(receipt) for name, (shelf, receipt) in chosen.items()}
        return Collection(self.place, self.dialect, context, receipts, plans)

    def _of_role(self, entry: GraphEntry, lying: list[Lying], shelves: Sequence[Shelf]) -> dict[str, Lying]:
        digest = digest_of_graph(self.bundle, entry)
        same = [each for each in lying if each[1].key.graph_sha256 == digest]
        fitting = [each for each in same if self.place.takes(each[1].key.place)]
        present = [each for each in fitting if not each[1].key.oldness]
        sets = list(
            decoders_in(present) if entry.role == "decoder" else ({e[1].key.name: e} for e in present)
        )
        if entry.role == "decoder":
            sets = self._long_enough(sets)
        if not sets:
            raise self._absent(entry, same, fitting, shelves)
        # One that was built for this very GPU before one for any.
        return min(sets, key=lambda found: any(each.key.place.gpu is None for _, each in found.values()))

    def _long_enough(self, sets: list[dict[str, Lying]]) -> list[dict[str, Lying]]:
        enough = [length for each in sets if (length := context_of(each)) >= (self.max_context or 0)]
        if not enough:
            return []
        wanted = max(enough) if self.max_context is None else min(enough)
        return [each for each in sets if context_of(each) == wanted]

    def _absent(
        self, entry: GraphEntry, same: list[Lying], fitting: list[Lying], shelves: Sequence[Shelf]
    ) -> EdgeVLError:
        what = f"there is no engine for {entry.role}"
        why = "none was built of this bundle's graph"
        present = [each for each in fitting if not each[1].key.oldness]
        if lengths := sorted({context_of(each) for each in decoders_in(present)}):
            held = ", ".join(map(str, lengths))
            why = f"those that there are hold {held} tokens, {self.max_context} are asked for"
        elif present:
            why = f"there is only {listed(sorted(receipt.key.name for _, receipt in present))}, a part of one"
        elif fitting:
            why = f"one {fitting[0][1].key.oldness}"
        elif same:
            there = same[0][1].key.place
            why = f"one was built by {there.title} for {there.target}; here is {self.place.title}, {self.place.target}"
        elif broken := [words for shelf in shelves for words in shelf.unreadable(entry.role)]:
            why = f"{why}, unless it is {listed(broken)}"
        return EdgeVLError("EVL-ENGINE-ABSENT", what, why, self._advice(shelves))

    def _advice(self, shelves: Sequence[Shelf]) -> str:
        """Where engines were looked for in the one folder that was given, they are to be built there."""
        usual = folders_to_look_in(self.bundle.folder, None)
        given = [shelf.folder for shelf in shelves if shelf.folder not in usual]
        words = ("--engines", given[0]) if given else ()
        return f"run `{typed('edge-vl build', self.bundle.folder, *words)}`, or use --engine onnxruntime"


def check_whole(shelf: Shelf, receipt: Receipt, progress: Progress, is_trusted: bool) -> None:
    """EVL-ENGINE-DAMAGED where it is not, EVL-ENGINE-ABSENT where it is and was built in a way of before."""
    if oldness := receipt.key.oldness:
        what = f"the engine {receipt.key.name} cannot be used"
        raise EdgeVLError("EVL-ENGINE-ABSENT", what, f"it {oldness}", "run `edge-vl build` again")
    found = shelf.look(receipt.key, progress, is_trusted)
    if found.receipt is None:
        what, why = f"the engine {receipt.key.name} cannot be used", found.fault or "it is gone"
        raise MachineFault("EVL-ENGINE-DAMAGED", what, why, "run `edge-vl build` again: it replaces it")


def decoders_in(lying: list[Lying]) -> Iterator[dict[str, Lying]]:
    """Whole decoders: one engine with both profiles, or one for each, built for one context and on one shelf."""
    homes = sorted({(str(shelf.folder), receipt.key.context) for shelf, receipt in lying})
    for home in homes:
        here = [each for each in lying if (str(each[0].folder), each[1].key.context) == home]
        # Of several with one name, one for this very GPU, and the one that takes the most at once: the last remains.
        here.sort(key=lambda each: (each[1].key.place.gpu is not None, each[1].key.longest))
        names = {receipt.key.name: (shelf, receipt) for shelf, receipt in here}
        for wanted in DECODERS:
            if wanted <= names.keys():
                yield {name: names[name] for name in sorted(wanted)}


def context_of(decoder: Mapping[str, Lying]) -> int:
    return max(receipt.key.context for _, receipt in decoder.values())


def plans_of_role(engines: Collection, role: Role) -> dict[str, str]:
    """One or two, by engine, for a process that works elsewhere."""
    names = sorted(name for name, receipt in engines.receipts.items() if receipt.key.role == role)
    return {name: str(engines.plans[name].absolute()) for name in names}
