"""Where a calibration lays what it has found so far, so that a killed one goes on instead of beginning again."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import EdgeVLError
from edge_runtime.publish import named_write_faults, sync

Found = Mapping[str, npt.NDArray[Any]]
KEY = "__key__"
FIRST = "key"  # the piece that is laid before all others
MATTERS = "bundle, recipe, set of samples, number of threads or version of the software"  # that keys are of
SAVE_SECONDS = 20.0


class Desk:
    """A folder beside the output, made when something is first laid on it.

    `key` names everything that decides what is found. What was laid down under another key is an EdgeVLError: it is
    never used, and never thrown away unasked. Every piece appears whole or not at all.
    """

    def __init__(self, out: Path, key: str, save_seconds: float = SAVE_SECONDS) -> None:
        self.folder = out.with_name(f".{out.name}.desk")
        self._out, self._key = out, key
        self._save_seconds, self._saved = save_seconds, time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether so much time has gone by that what was found since should be laid down."""
        return time.monotonic() - self._saved >= self._save_seconds

    def check(self) -> None:
        """That what lies here, if anything does, was laid down under this key; to be asked before anything else is."""
        if self.take(FIRST) is None and any(self.folder.glob("*.npz")):
            raise self._error(self._path(FIRST), "it is missing, so nothing says what the others belong to")

    def found(self, name: str) -> Found:
        """What was laid down by that name in this run."""
        laid = self.take(name)
        if laid is None:
            raise self._error(self._path(name), "it was removed while it was needed")
        return laid

    def take(self, name: str) -> Found | None:
        """What was laid down by that name, or None."""
        path = self._path(name)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                found = {each: archive[each] for each in archive.files}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError, BadZipFile) as fault:
            raise self._error(path, "it cannot be read") from fault
        if KEY not in found or str(found.pop(KEY)) != self._key:
            raise self._error(path, f"it was begun with another {MATTERS}")
        return found

    def lay(self, name: str, found: Found) -> None:
        with named_write_faults(self._out):
            self.folder.mkdir(mode=0o700, exist_ok=True)
            if not self._path(FIRST).exists():
                self._write(FIRST, {})
            self._write(name, found)
        self._saved = time.monotonic()

    def clear(self) -> None:
        """After the output is there, and where what was found is of no use to anyone.

        The key goes last: what a kill leaves here still says what it belongs to.
        """
        with suppress(OSError):  # as below: the output is there, whatever else stays
            for path in self.folder.glob("*.npz"):
                if path != self._path(FIRST):
                    path.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, name: str, found: Found) -> None:
        path = self._path(name)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **{KEY: np.array(self._key)}, **found)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync(self.folder)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"

    def _error(self, path: Path, why: str) -> EdgeVLError:
        what = f"the calibration that was begun in {self.folder} does not fit"
        fix = "repeat the command that began it to the end, or remove that folder to begin again"
        return EdgeVLError("EVL-CALIBRATE-DESK", what, f"{path.name}: {why}", fix)
