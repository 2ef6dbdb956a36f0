"""A folder that appears whole or not at all, whatever happens to the process that writes it."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import secrets
import shutil
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.plain_names import refuse_odd_name

LOCK_NAME = "lock"
UNWRITABLE = "EVL-OUT-UNWRITABLE"
SETTLE_S = 0.05  # a sweeper holds a dead lock for microseconds
AT_FDCWD, RENAME_NOREPLACE = -100, 1
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
DENIED = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """An empty folder to fill, which becomes `out` when the body ends well and vanishes when it does not.

    `out` must not exist and is never replaced. Full disks and refused writes become EdgeVLErrors,
    in the body too. What a killed process left beside `out` is swept by the next one.
    """
    refuse_odd_name(place_of(out), UNWRITABLE)
    with staged(out, sync_tree) as folder:
        folder.mkdir()
        yield folder


@contextmanager
def staged_file(out: Path) -> Iterator[Path]:
    """The same for a path to write a file at. Whether `out` can be made is known before the body spends minutes."""
    with staged(out, sync) as file:
        yield file


@contextmanager
def staged(out: Path, sync_whole: Callable[[Path], None]) -> Iterator[Path]:
    """A path beside `out`, not made yet; what the body leaves there is synced and renamed to `out`."""
    target = place_of(out)
    with named_write_faults(target):
        check_parent(target)
        with named_setup_faults(target):
            sweep_leftovers(target)
        if os.path.lexists(target):
            raise exists_error(target)
        with locked_stage(target) as stage:
            made = stage / target.name
            yield made
            sync_whole(made)
            rename_without_replacing(made, target)
            sync(target.parent)


@contextmanager
def staged_file_if_wanted(out: Path | None) -> Iterator[Path | None]:
    """As `staged_file`; None for callers that were not asked for a file."""
    if out is None:
        yield None
    else:
        with staged_file(out) as path:
            yield path


def check_free_space(parent: Path, need_bytes: int) -> None:
    """Refuses to begin what cannot end: EVL-DISK-FULL names both figures."""
    target = place_of(parent / "out")
    with named_write_faults(target):
        check_parent(target)
        free_bytes = shutil.disk_usage(target.parent).free
    if need_bytes > free_bytes:
        why = f"{-(-need_bytes >> 20)} MiB are needed, {free_bytes >> 20} MiB are free"
        fix = "free space or choose another disk"
        raise EdgeVLError("EVL-DISK-FULL", f"the disk of {parent} is too full", why, fix)


@contextmanager
def named_write_faults(target: Path) -> Iterator[None]:
    """What the system says about writing becomes an error with a remedy; other faults pass unchanged."""
    try:
        yield
    except OSError as fault:
        error = write_error(fault, target)
        if error is None:
            raise
        raise error from fault


@contextmanager
def named_setup_faults(target: Path) -> Iterator[None]:
    """Before the body runs, whatever the system refuses is about the place of the output."""
    try:
        yield
    except OSError as fault:
        raise write_error(fault, target) or unwritable_error(target, f"{fault.strerror}") from fault


def write_error(fault: OSError, target: Path) -> EdgeVLError | None:
    what, why = f"{target} cannot be written", f"{fault.strerror}"
    if fault.errno in FULL:
        fix = "free space or choose another disk; nothing half-made was left"
        return EdgeVLError("EVL-DISK-FULL", what, why, fix)
    if not is_about(fault, target):
        return None
    if fault.errno == errno.EIO:
        return MachineFault("EVL-DISK-FAULT", what, why, "check the disk and its cable, then run it again")
    return unwritable_error(target, why) if fault.errno in DENIED else None


def is_about(fault: OSError, target: Path) -> bool:
    """Whether the output was refused, and not, say, a checkpoint beside it that the body reads."""
    if not isinstance(fault.filename, (str, bytes)):
        return True
    path = Path(os.path.abspath(os.fsdecode(fault.filename)))  # noqa: PTH100
    stages = [place for place in (path, *path.parents) if is_stage_name(place.name, target)]
    return bool(stages) or path in (target, target.parent)


def is_stage_name(name: str, target: Path) -> bool:
    return re.fullmatch(rf"\.{re.escape(target.name)}\.[0-9a-f]{{16}}\.(partial|swept)", name) is not None


def unwritable_error(target: Path, why: str) -> EdgeVLError:
    fix = "choose a place in an existing folder that you may write to"
    return EdgeVLError(UNWRITABLE, f"{target} cannot be written", why, fix)


def exists_error(target: Path) -> EdgeVLError:
    what, why = f"{target} is already there", "nothing that exists is ever replaced"
    return EdgeVLError("EVL-OUT-EXISTS", what, why, "choose another name, or remove it first")


def place_of(out: Path) -> Path:
    """The folder that it would lie in, by its real name, and its own name, which may be that of a link: it is refused then."""
    if out.name in ("", ".."):
        return Path(os.path.abspath(out))  # noqa: PTH100  (there already, whatever it is)
    try:
        return Path(os.path.realpath(out.parent), out.name)  # resolve() would raise where links go in circles
    except ValueError:  # no name that a file could have
        return Path(os.path.abspath(out))  # noqa: PTH100


def check_parent(target: Path) -> None:
    try:
        is_name = bool(target.name) and b"\0" not in os.fsencode(target)
    except UnicodeEncodeError:
        is_name = False
    if not is_name:
        raise unwritable_error(target, "it is not the name of a new folder")
    if not target.parent.is_dir():
        raise unwritable_error(target, f"the folder {target.parent} is not there")


def leftovers(target: Path) -> list[Path]:
    """The staging folders of `target`, of the living and of the dead; other users' are not ours to judge."""
    with os.scandir(target.parent) as entries:
        found = [Path(entry.path) for entry in entries if is_stage_name(entry.name, target)]
    return sorted(path for path in found if is_own_folder(path))


def is_own_folder(path: Path) -> bool:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False  # its owner was quicker
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def sweep_leftovers(target: Path) -> None:
    """Removes what killed processes left; EVL-OUT-BUSY if a living one writes the same `target`."""
    for stage in leftovers(target):
        if stage.suffix == ".partial" and not is_swept(stage):
            time.sleep(SETTLE_S)
            if not is_swept(stage):
                what, why = f"{target} is being made right now", f"another process holds {stage.name}"
                raise EdgeVLError("EVL-OUT-BUSY", what, why, "wait until it ends, or choose another name")
        remove(stage.with_suffix(".swept"))


def is_swept(stage: Path) -> bool:
    """Moves a dead stage aside, so that its newborn owner, if it has one, sees that it is gone."""
    try:
        descriptor = open_lock(stage)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        stage.rename(stage.with_suffix(".swept"))
    except BlockingIOError:
        return False
    except FileNotFoundError:
        return True
    finally:
        os.close(descriptor)
    return True


def open_lock(stage: Path) -> int:
    return os.open(stage / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


@contextmanager
def locked_stage(target: Path) -> Iterator[Path]:
    """A new folder beside `target` that is locked while its maker lives, and gone afterwards."""
    while (held := new_stage(target)) is None:
        pass  # swept in the moment between making and locking it: make another
    stage, descriptor = held
    try:
        yield stage
    finally:
        with undisturbed():
            remove(stage)
            os.close(descriptor)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Signals wait for the end of this: cleaning up is short, and what is left would be gigabytes. One that comes while another
    is already ending us says nothing new; any other comes afterwards."""
    came = list[int]()
    kept: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():  # no other may
        found = {
            number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        kept = {number: each for number, each in found.items() if each not in (None, signal.SIG_IGN)}
    try:
        for number in kept:
            signal.signal(number, lambda number, _: came.append(number))
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
        if came and sys.exc_info()[0] is None:
            signal.raise_signal(came[0])


def new_stage(target: Path) -> tuple[Path, int] | None:
    """A stage and the descriptor that holds its lock; None if a sweeper took it for a dead one."""
    stage = target.with_name(f".{target.name}.{secrets.token_hex(8)}.partial")
    with named_setup_faults(target):
        try:
            stage.mkdir()
            descriptor = lock_of_newborn(stage)
        except BaseException:
            remove(stage)
            raise
    return None if descriptor is None else (stage, descriptor)


def lock_of_newborn(stage: Path) -> int | None:
    try:
        descriptor = open_lock(stage)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.path.samestat((stage / LOCK_NAME).stat(), os.fstat(descriptor)):
            return descriptor
    except FileNotFoundError:
        pass  # swept between the two lines above
    except OSError:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def remove(stage: Path) -> None:
    # What cannot be removed now is swept by the next run; the first error is the one the user needs.
    shutil.rmtree(stage, ignore_errors=True)


def sync_tree(folder: Path) -> None:
    """Every file, then every folder, is on the disk before the name that promises them."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(Path(parent, name))
        sync(Path(parent))


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as fault:
        if fault.errno != errno.EINVAL:  # said by file systems whose folders need no syncing
            raise
    finally:
        os.close(descriptor)


def rename_without_replacing(folder: Path, target: Path) -> None:
    """rename() would replace an empty folder: the kernel's exclusive rename does not."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    places = (AT_FDCWD, os.fsencode(folder), AT_FDCWD, os.fsencode(target))
    if renameat2 is not None and renameat2(*places, RENAME_NOREPLACE) == 0:
        return
    if renameat2 is not None and ctypes.get_errno() == errno.EEXIST:
        raise exists_error(target)
    # Not every file system has it; where the reason is another one, the plain rename meets it too.
    rename_if_absent(folder, target)


def rename_if_absent(folder: Path, target: Path) -> None:
    """For file systems without an exclusive rename; only an empty folder made in this instant is replaced."""
    if os.path.lexists(target):
        raise exists_error(target)
    try:
        folder.rename(target)
    except OSError as fault:
        if fault.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise exists_error(target) from fault
        raise
