"""A folder of pictures, read whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from edge_runtime.errors import EdgeVLError, listed, one_line
from edge_runtime.picture import picture_from_file
from edge_runtime.picture_folder import contents_of
from edge_runtime.picture_limits import PictureLimits


def pictures_from_folder(folder: Path | None, note: Callable[[str], None]) -> list[Image.Image]:
    """One that is broken is an error; what is no picture is passed over, and noted."""
    if folder is None:
        return []
    if not folder.is_dir():
        raise EdgeVLError(
            "EVL-IMAGES", f"cannot read {folder}", "it is not a folder", "give a folder of pictures"
        )
    contents = contents_of(folder)
    if not contents.pictures:
        fix = "give the folder that the pictures themselves lie in"
        raise EdgeVLError("EVL-IMAGES", f"{folder} has no pictures", contents.why_empty(), fix)
    if contents.others:
        note(one_line(f"not taken for pictures: {listed(contents.others)}"))
    return [picture_from_file(path, PictureLimits()) for path in contents.pictures]
