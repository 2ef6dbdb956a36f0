"""A folder of engines, each in a folder of its own that appeared whole: looked at before any of them is used."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.digest import sha256_by_path
from edge_runtime.engines.key import EngineKey
from edge_runtime.engines.receipt import RECEIPT_NAME, Receipt, receipt_in
from edge_runtime.errors import EdgeVLError
from edge_runtime.manifest import ENGINES
from edge_runtime.plain_names import refuse_odd_name
from edge_runtime.progress import Progress, silent
from edge_runtime.publish import UNWRITABLE, named_setup_faults, unwritable_error
from edge_runtime.spec import Role

WAIT_S = 0.2


@dataclass(frozen=True)
class Found:
    """An engine that may be used, or, where there is none, why; "" where there never was one."""

    receipt: Receipt | None
    fault: str = ""


def usual_folder(bundle: Path) -> Path:
    """Beside the manifest, which never changes; where that cannot be written to, in the user's cache."""
    beside = bundle / ENGINES
    if os.access(beside if beside.exists() else bundle, os.W_OK):
        return beside
    return user_cache() / "edge-vl" / "engines"


def folders_to_look_in(bundle: Path, given: Path | None) -> tuple[Path, ...]:
    """Where engines of this bundle may lie: the folder that was given, else beside it and in the user's cache."""
    if given is not None:
        return (given,)
    beside = bundle / ENGINES
    try:
        usual = usual_folder(bundle)
    except EdgeVLError:  # who has no cache has nothing in it
        return (beside,)
    return (beside,) if usual == beside else (beside, usual)


def user_cache() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if cache.is_absolute():  # its specification says to ignore others
        return cache
    try:
        return Path.home() / ".cache"
    except RuntimeError as fault:  # a service's user, say
        what, why = (
            "there is no place for engines",
            "the bundle is read-only, and this user has no home folder",
        )
        raise EdgeVLError("EVL-OUT-UNWRITABLE", what, why, "say where they go with --engines DIR") from fault


class Shelf:
    """Engines of any bundles, libraries and GPUs may lie here side by side: a folder's name has its key's digest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def check(self) -> None:
        """EVL-OUT-UNWRITABLE where `make` would be refused; nothing is made."""
        folder = Path(os.path.abspath(self.folder))  # noqa: PTH100
        refuse_odd_name(folder, UNWRITABLE)
        there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
        if not there.is_dir():
            raise unwritable_error(self.folder, os.strerror(errno.ENOTDIR))
        if there != folder and not os.access(there, os.W_OK):
            raise unwritable_error(self.folder, os.strerror(errno.EACCES))

    def make(self) -> None:
        """EVL-OUT-UNWRITABLE where it cannot be."""
        refuse_odd_name(Path(os.path.abspath(self.folder)), UNWRITABLE)  # noqa: PTH100
        with named_setup_faults(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    def path(self, key: EngineKey) -> Path:
        return self.folder / key.folder

    def plan(self, receipt: Receipt) -> Path:
        return self.path(receipt.key) / receipt.plan

    def receipt(self, folder: str) -> Receipt:
        """EVL-ENGINE-DAMAGED where there is none any more, or it is not as it was written."""
        try:
            return receipt_in(self.folder / folder)
        except OSError as error:
            what, fix = f"the engine {folder} is gone", "run `edge-vl build` again"
            raise EdgeVLError("EVL-ENGINE-DAMAGED", what, f"{error.strerror}", fix) from error

    def receipts(self) -> Iterator[Receipt]:
        """Of every engine that says what it is; whether one is whole is for `look` to say."""
        for folder in sorted(self.folder.glob("*-*")):
            try:
                receipt = receipt_in(folder)
            except (EdgeVLError, OSError):
                continue  # nobody can know what it was to be; `unreadable` names it
            if folder == self.path(receipt.key):
                yield receipt

    def unreadable(self, role: Role) -> Iterator[str]:
        """Engines for this role, by their names, that do not say what they are."""
        faults = (
            (folder.name, fault_of_receipt(folder)) for folder in sorted(self.folder.glob(f"{role}[-.]*"))
        )
        return (f"{name}: {fault}" for name, fault in faults if fault)

    def look(self, key: EngineKey, progress: Progress = silent, is_trusted: bool = False) -> Found:
        """The engine with this key if it is whole, bit for bit; of a trusted one the size alone is looked at."""
        folder = self.path(key)
        try:
            if not folder.is_dir():
                return Found(None)
            receipt = receipt_in(folder)
            fault = fault_of(folder, receipt, key) or (
                "" if is_trusted else damage_in(folder, receipt, progress)
            )
            return Found(None, fault) if fault else Found(receipt)
        except EdgeVLError as error:
            return Found(None, f"{error.what}: {error.why}")
        except FileNotFoundError as error:
            return Found(None, f"{Path(str(error.filename)).name} is missing")
        except OSError as error:
            return Found(None, f"it cannot be read: {error.strerror}")

    @contextmanager
    def locked(self, key: EngineKey, waiting: Callable[[], None]) -> Iterator[None]:
        """Nobody else makes or removes this engine meanwhile. `waiting` is called now and then while somebody does; the
        lock of a dead process is no lock."""
        path = self.folder / f".{key.folder}.lock"
        with named_setup_faults(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            while not is_taken(descriptor, path):
                waiting()
                time.sleep(WAIT_S)
            yield
        finally:
            os.close(descriptor)

    def strangers(self, key: EngineKey) -> Iterator[tuple[Path, str]]:
        """Engines of this name that are for something else, and for what."""
        for folder in sorted(self.folder.glob(f"{key.name}-*")):
            if folder != self.path(key) and (words := strangeness_in(folder, key)):
                yield folder, words

    def remove(self, key: EngineKey) -> None:
        """What a kill leaves of it is not whole, and said to be so."""
        with named_setup_faults(self.path(key)):
            shutil.rmtree(self.path(key))


def is_taken(descriptor: int, path: Path) -> bool:
    with named_setup_faults(path):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def strangeness_in(folder: Path, key: EngineKey) -> str:
    """As `EngineKey.strangeness`; "" of a copy under another name too."""
    try:
        return key.strangeness(receipt_in(folder).key)
    except EdgeVLError as error:
        return f"{error.what}: {error.why}"
    except OSError as error:
        return f"its receipt cannot be read: {error.strerror}"


def fault_of_receipt(folder: Path) -> str:
    try:
        receipt_in(folder)
    except EdgeVLError as error:
        return error.what
    except OSError as error:
        return f"{RECEIPT_NAME} cannot be read ({error.strerror})"
    return ""


def fault_of(folder: Path, receipt: Receipt, key: EngineKey) -> str:
    if receipt.key != key:
        return key.strangeness(receipt.key)
    size = (folder / receipt.plan).stat().st_size
    return "" if size == receipt.plan_bytes else f"{receipt.plan} has {size} bytes of {receipt.plan_bytes}"


def damage_in(folder: Path, receipt: Receipt, progress: Progress) -> str:
    (digest,) = sha256_by_path(folder, {receipt.plan: receipt.plan_bytes}, progress).values()
    is_whole = digest == receipt.plan_sha256
    return "" if is_whole else f"{receipt.plan} is not what was built: its sha256 differs"
