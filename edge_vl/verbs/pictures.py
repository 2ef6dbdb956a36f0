"""A folder of pictures, read whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import overload

from PIL import Image

from edge_runtime.errors import EdgeVLError, listed, one_line
from edge_runtime.picture import picture_from_file
from edge_runtime.picture_folder import contents_of
from edge_runtime.picture_limits import PictureLimits


class Pictures(Sequence[Image.Image]):
    """Opened when they are asked for: decoded, a folder of photographs is more than a machine holds."""

    def __init__(self, sources: Sequence[Path | Image.Image]) -> None:
        self._sources = sources

    def after(self, first: Sequence[Image.Image]) -> Pictures:
        """These, behind a few others."""
        return Pictures((*first, *self._sources))

    def __len__(self) -> int:
        return len(self._sources)

    @overload
    def __getitem__(self, place: int) -> Image.Image: ...

    @overload
    def __getitem__(self, place: slice) -> Pictures: ...

    def __getitem__(self, place: int | slice) -> Image.Image | Pictures:
        if isinstance(place, slice):
            return Pictures(self._sources[place])
        source = self._sources[place]
        return source if isinstance(source, Image.Image) else picture_from_file(source, PictureLimits())


def pictures_from_folder(folder: Path | None, note: Callable[[str], None]) -> Pictures:
    """One that is broken is an error, at once; what is no picture is passed over, and noted."""
    if folder is None:
        return Pictures(())
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
    pictures = Pictures(contents.pictures)
    for _ in pictures:
        pass
    return pictures
