"""The engine libraries of this machine: each is opened in a process of its own, which may crash."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edge_runtime.backends.ort_library import imported_onnxruntime
from edge_runtime.child import child_environment, ending_of
from edge_runtime.engines.library import opened_library
from edge_runtime.errors import EdgeVLError
from edge_runtime.record import json_from_record, parsed_json, record_from_json

LibraryName = Literal["onnxruntime", "tensorrt", "tensorrt-rtx"]
NAMES: tuple[LibraryName, ...] = ("onnxruntime", "tensorrt", "tensorrt-rtx")
CHILD = (sys.executable, "-m", "jetson.libraries")
OPEN_S = 120.0  # TensorRT alone loads for half a minute from a board's card


@dataclass(frozen=True)
class LibraryHere:
    """`fault` is why it cannot be used, "" where it can; `is_installed` is whether there is something to mend."""

    version: str = ""
    fault: str = ""
    is_installed: bool = True


def library_here(name: LibraryName, command: Sequence[str] = CHILD, limit_s: float = OPEN_S) -> LibraryHere:
    try:
        ended = subprocess.run(
            (*command, name),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit_s,
            env=child_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return LibraryHere(fault=f"it was not open after {limit_s:.0f} seconds")
    if ended.returncode != 0:
        return LibraryHere(fault=f"to open it failed: {ending_of(ended)}")
    try:
        return record_from_json(LibraryHere, parsed_json(ended.stdout), "the answer")
    except (ValueError, EdgeVLError) as fault:
        return LibraryHere(fault=f"to open it gave no answer: {fault}")


def opened(name: LibraryName) -> LibraryHere:
    """In this process."""
    try:
        if name == "onnxruntime":
            return LibraryHere(imported_onnxruntime().__version__)
        return LibraryHere(".".join(map(str, opened_library(name).version)))
    except EdgeVLError as error:
        fault = f"{error.what}: {error.why}"
        return LibraryHere(fault=fault, is_installed=error.code != "EVL-ENGINE-MISSING")


def main() -> None:
    (name,) = (each for each in NAMES if each == sys.argv[1])
    sys.stdout.write(json.dumps(json_from_record(opened(name))))


if __name__ == "__main__":
    main()
