"""Which engine answers: the one that was asked for, or the fastest that is here and was found to be right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.backends.backend import Backend
from edge_runtime.backends.native.backend import NativeBackend
from edge_runtime.backends.ort import OrtBackend, check_cache
from edge_runtime.backends.provider import CPU, PROVIDERS, Provider
from edge_runtime.backends.provider_probe import ProvidersHere, provider_for_engine, providers_here
from edge_runtime.backends.shared import MixedBackend, SharedBackend
from edge_runtime.bundle import Bundle
from edge_runtime.cuda.device import Device
from edge_runtime.dialects import Dialect, Precision
from edge_runtime.engines.collection import Collection, Search, check_whole
from edge_runtime.engines.gpu import gpu_here
from edge_runtime.engines.library import MODULES, Library, opened_library
from edge_runtime.engines.place import TITLES, EngineName, Gpu
from edge_runtime.engines.selection import dialect_for, dialect_for_onnxruntime, place_of
from edge_runtime.engines.shelf import Shelf, folders_to_look_in
from edge_runtime.engines.trial import Candidate, RoleTrial, check_tried, subject_of, trial_in
from edge_runtime.errors import EdgeVLError, MachineFault, typed
from edge_runtime.manifest import GraphEntry
from edge_runtime.progress import Progress, silent
from edge_runtime.spec import Role

AUTO = "auto"
ENGINES = (AUTO, *PROVIDERS, *MODULES)
NO_GPU = "no GPU answers here"


@dataclass(frozen=True)
class Wish:
    """`max_context` is the most tokens that will be held, None as many as can be. `engines` is the folder to look for
    built engines in, None the usual ones."""

    engine: str = AUTO
    max_context: int | None = None
    engines: Path | None = None
    is_trusted: bool = False


@dataclass(frozen=True)
class Choice:
    """`why` says in a line why it is this engine, and why not a faster one."""

    backend: Backend
    max_context: int | None
    why: str


@dataclass(frozen=True)
class Ground:
    """What is asked for what there is on this machine."""

    gpu: Callable[[], Gpu | None] = gpu_here
    library: Callable[[EngineName], Library] = opened_library
    device: Callable[[], Device] = Device
    providers: Callable[[], ProvidersHere] = providers_here
    provider: Callable[[str], Provider] = provider_for_engine


def check_engine(name: str) -> None:
    if name not in ENGINES:
        what, why = f"there is no engine {name!r} here", f"this edge-vl has {', '.join(ENGINES)}"
        raise EdgeVLError("EVL-ENGINE-UNKNOWN", what, why, "choose one of these, or leave --engine out")


def check_folder(bundle: Bundle, wish: Wish) -> None:
    """EVL-ENGINE-ABSENT where a folder was named that there is not: nothing less would be said of a slip of the pen."""
    if wish.engines is not None and not wish.engines.is_dir():
        what, why = f"there are no engines in {wish.engines}", "there is no such folder"
        command = typed("edge-vl build", bundle.folder, "--engines", wish.engines)
        fix = f"run `{command}`, or leave --engines out"
        raise EdgeVLError("EVL-ENGINE-ABSENT", what, why, fix)


def chosen(bundle: Bundle, wish: Wish, ground: Ground = Ground(), progress: Progress = silent) -> Choice:
    """EVL-ENGINE-* and EVL-GPU-* where the engine that was asked for cannot be had; "auto" takes the CPU if nothing
    else. EVL-BUNDLE-DIALECT where ONNX Runtime is what is left, and the bundle has no graphs for it."""
    check_engine(wish.engine)
    check_folder(bundle, wish)
    for name in MODULES:
        if wish.engine == name:
            return Native(bundle, wish, ground, progress).choice(name, ground.gpu())
    if wish.engine != AUTO:
        provider = ground.provider(wish.engine)
        return Choice(OrtBackend(bundle, provider=provider), wish.max_context, "it was asked for")
    gpu = gpu_or_fault(ground)
    if isinstance(gpu, str):
        bundle.graph("decoder", "ort")
        return Choice(OrtBackend(bundle, provider=CPU), wish.max_context, gpu)
    return fastest(Native(bundle, wish, ground, progress), gpu)


def gpu_or_fault(ground: Ground) -> Gpu | str:
    """Where a driver gives no answer, nothing else is asked of it: that would take minutes to say the same."""
    try:
        return ground.gpu() or NO_GPU
    except EdgeVLError as error:
        return told(error)


def fastest(native: Native, gpu: Gpu) -> Choice:
    """Engines that were built and tried, then ONNX Runtime on the GPU, then on the CPU."""
    faults: list[str] = []
    for name in MODULES:
        found = native.choice_or_fault(name, gpu)
        if isinstance(found, Choice):
            return found
        faults.append(f"{TITLES[name]}: {found}")
    try:
        here = native.ground.providers()
    except EdgeVLError as error:  # with why it has come to this
        why = "; ".join((error.why, *faults))
        raise type(error)(error.code, error.what, why, error.fix) from error
    decoder = native.bundle.graph("decoder", "ort")
    unfit = {each.engine: why for each in here.usable if (why := unfitness(each, decoder))}
    provider = next(each for each in here.usable if each.engine not in unfit)
    faults += [f"{engine}: {why}" for engine, why in {**here.faults, **unfit}.items()]
    return Choice(OrtBackend(native.bundle, provider=provider), native.wish.max_context, "; ".join(faults))


def unfitness(provider: Provider, decoder: GraphEntry) -> str:
    """Why a provider cannot run this decoder; the CPU's can run any."""
    try:
        check_cache(decoder, provider)
    except EdgeVLError as error:
        return told(error)
    return ""


def best_of(trial: RoleTrial) -> Candidate | None:
    return trial.best


def winner_of(trial: RoleTrial) -> Candidate | None:
    return trial.winner


def told(error: EdgeVLError) -> str:
    return f"{error.what} ({error.why})"


@dataclass(frozen=True)
class Native:
    """The way to engines of TensorRT's."""

    bundle: Bundle
    wish: Wish
    ground: Ground
    progress: Progress

    def choice(self, name: EngineName, gpu: Gpu | None) -> Choice:
        """Of an engine that was asked for, fast or not. A trial that found some of it wrong is heeded; it need not be there."""
        library, found, shelves = self._found(name, gpu)
        try:
            return self._tried(library, found, shelves, is_asked=True)
        except EdgeVLError as error:
            if error.code != "EVL-ENGINE-UNTRIED":
                raise
        why = "it was asked for; whether it is right was never tried on this GPU"
        backend = NativeBackend(library, found.dialect, found.plans, self.ground.device)
        return self._choice(backend, found.context, why)

    def choice_or_fault(self, name: EngineName, gpu: Gpu) -> Choice | str:
        """Of engines that a trial on this GPU found right and fast; else why there are none."""
        try:
            return self._tried(*self._found(name, gpu))
        except EdgeVLError as error:
            return told(error)

    def _found(self, name: EngineName, gpu: Gpu | None) -> tuple[Library, Collection, list[Shelf]]:
        library = self.ground.library(name)
        if gpu is None:
            fix = "install NVIDIA's driver, or use --engine onnxruntime"
            raise MachineFault("EVL-GPU-DRIVER", f"{library.title} cannot run engines", NO_GPU, fix)
        place = place_of(library, gpu)
        dialect = dialect_for(place, self.bundle.manifest.dialects)
        search = Search(self.bundle, dialect, place, self.wish.max_context, self.wish.is_trusted)
        shelves = [Shelf(each) for each in folders_to_look_in(self.bundle.folder, self.wish.engines)]
        return library, search.found(shelves, self.progress), shelves

    def _tried(
        self, library: Library, found: Collection, shelves: list[Shelf], is_asked: bool = False
    ) -> Choice:
        """EVL-ENGINE-UNTRIED, or EVL-ENGINE-SLOW where ONNX Runtime answers better in every role."""
        subject = subject_of(self.bundle, found.dialect, found.context, found.place)
        trial = trial_in(subject, [shelf.folder for shelf in shelves])
        pick = best_of if is_asked else winner_of
        picked = {each.role: pick(each) for each in trial.roles}
        folders = [folder for each in picked.values() if each is not None for folder in each.engines]
        if not folders:
            what = "no engine answers better than ONNX Runtime"
            fix = "use --engine onnxruntime, or build with another version of the library"
            raise MachineFault("EVL-ENGINE-SLOW", what, trial.words, fix)
        plans = dict(self._plan(folder, found, shelves, trial.plans) for folder in folders)
        precision = self._precision(picked, found.dialect)
        native = NativeBackend(library, found.dialect, plans, self.ground.device)
        left = frozenset(role for role, each in picked.items() if each is None)
        context = self.bundle.manifest.max_context if "decoder" in left else found.context
        why = trial.words_of(pick)
        why = f"it was asked for; {why}" if is_asked else why
        return self._choice(self._told(self._shared(native, left), precision), context, why)

    def _precision(self, picked: Mapping[Role, Candidate | None], engines: Dialect) -> dict[Role, Precision]:
        """Of what will run: of an engine as it was tried, of what is left to ONNX Runtime as the bundle has it."""
        left = dialect_for_onnxruntime(self.bundle.manifest.dialects, engines)
        return {
            role: self.bundle.graph(role, left).precision if each is None else each.precision
            for role, each in picked.items()
        }

    def _told(self, backend: Backend, precision: Mapping[Role, Precision]) -> Backend:
        """With its precisions, where they are not those of the graphs in its dialect."""
        own = {role: self.bundle.graph(role, backend.dialect).precision for role in precision}
        return backend if own == precision else MixedBackend(backend, precision)

    def _shared(self, native: NativeBackend, left: frozenset[Role]) -> Backend:
        """ONNX Runtime answers in the roles that are left to it, as it did when it was tried."""
        if not left:
            return native
        dialect = dialect_for_onnxruntime(self.bundle.manifest.dialects, native.dialect)
        return SharedBackend(native, OrtBackend(self.bundle, dialect=dialect), left)

    def _plan(
        self, folder: str, found: Collection, shelves: list[Shelf], tried: AbstractSet[tuple[str, str]]
    ) -> tuple[str, Path]:
        """By engine. EVL-ENGINE-DAMAGED where it is no longer there, or not as it was; EVL-ENGINE-UNTRIED where it was built
        again since it was tried."""
        for name, plan in found.plans.items():
            if plan.parent.name == folder:  # it was looked at when it was found
                check_tried(found.receipts[name], tried)
                return name, plan
        home = next((shelf for shelf in shelves if (shelf.folder / folder).is_dir()), shelves[0])
        receipt = home.receipt(folder)
        check_whole(home, receipt, self.progress, self.wish.is_trusted)
        check_tried(receipt, tried)
        return receipt.key.name, home.plan(receipt)

    def _choice(self, backend: Backend, context: int, why: str) -> Choice:
        wanted, most = self.wish.max_context, min(context, self.bundle.manifest.max_context)
        return Choice(backend, most if wanted is None else wanted, why)
