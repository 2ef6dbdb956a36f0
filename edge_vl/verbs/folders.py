"""Bundles and checkpoints are both folders: taking one for the other is said at once."""

from __future__ import annotations

import os
from pathlib import Path

from edge_runtime.errors import EdgeVLError, typed
from edge_runtime.manifest import MANIFEST_NAME

CONFIG_NAME = "config.json"


def has_file(folder: Path, name: str) -> bool:
    return os.path.isfile(folder / name)  # noqa: PTH113  (False, not an error, where the path cannot be)


def refuse_checkpoint(folder: Path) -> None:
    """Where a bundle is wanted."""
    if has_file(folder, CONFIG_NAME) and not has_file(folder, MANIFEST_NAME):
        raise EdgeVLError(
            "EVL-BUNDLE-IS-CHECKPOINT",
            f"{folder} is a checkpoint, not a bundle",
            f"it has {CONFIG_NAME} and no {MANIFEST_NAME}",
            f"make a bundle of it with `{typed('edge-vl export', folder, 'BUNDLE')}`",
        )


def refuse_bundle(folder: Path) -> None:
    """Where a checkpoint is wanted."""
    if has_file(folder, MANIFEST_NAME) and not has_file(folder, CONFIG_NAME):
        raise EdgeVLError(
            "EVL-CHECKPOINT-IS-BUNDLE",
            f"{folder} is a bundle, not a checkpoint",
            f"it has {MANIFEST_NAME} and no {CONFIG_NAME}",
            "give the checkpoint folder that it was exported from",
        )
