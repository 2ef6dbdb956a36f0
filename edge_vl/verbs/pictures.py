"""A folder of pictures, read whole."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from edge_runtime.errors import EdgeVLError
from edge_runtime.picture import PictureLimits, picture_from_file


def pictures_from_folder(folder: Path | None) -> list[Image.Image]:
    if folder is None:
        return []
    if not folder.is_dir():
        raise EdgeVLError(
            "EVL-IMAGES", f"cannot read {folder}", "it is not a folder", "give a folder of pictures"
        )
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    if not files:
        raise EdgeVLError(
            "EVL-IMAGES", f"{folder} is empty", "there is nothing to compare with", "put pictures into it"
        )
    return [picture_from_file(path, PictureLimits()) for path in files]
