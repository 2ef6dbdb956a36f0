"""What a stage has learnt so far, on disk: replaced whole, so a kill at any moment loses minutes at most."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from edge_runtime.errors import EdgeVLError

State = dict[str, Any]


def save_state(path: Path, state: State) -> None:
    """The old state or the new one, never between."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One run at a time teaches a stage in a folder; the lock goes with the process that holds it."""
    with path.with_suffix(".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            why = "another run is teaching this stage in this folder"
            raise EdgeVLError(
                "EVL-TRAIN-BUSY", f"{path.name} is in use", why, "wait for it, or train in another folder"
            ) from error
        yield


def load_state(path: Path, recipe: str) -> State | None:
    """None where nothing was saved; a state of another recipe is refused, not mixed in."""
    if not path.exists():
        return None
    try:
        state: State = torch.load(path, weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        fix = f"remove {path.name}; the stage starts anew"
        raise EdgeVLError("EVL-TRAIN-STATE", f"{path} cannot be read", str(error)[:200], fix) from error
    if state["recipe"] != recipe:
        why = "it was made by another recipe or another version of the training code"
        raise EdgeVLError(
            "EVL-TRAIN-STATE", f"{path} does not fit", why, "train in an empty folder, or remove the file"
        )
    return state
