"""What lies in a folder of pictures, told by its names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import EdgeVLError, listed
from edge_runtime.picture import bytes_from_file
from edge_runtime.picture_header import header_from_bytes
from edge_runtime.picture_limits import PictureLimits

# What can be opened, and what cannot and was still meant as a picture: that must not go by in silence.
ENDINGS = frozenset(
    ".png .jpg .jpeg .jpe .jfif .mpo .webp .bmp .dib .gif .tif .tiff .ppm .pgm .pbm .pnm "
    ".heic .heif .avif .jxl .jp2".split()
)


@dataclass(frozen=True)
class PictureFolder:
    """`others` are files that are no pictures; folders in it are not searched."""

    pictures: tuple[Path, ...]
    others: tuple[str, ...]
    folders: int

    def why_empty(self) -> str:
        """What there is instead of pictures."""
        found = []
        if self.others:
            found.append(f"files that are no pictures ({listed(self.others)})")
        if self.folders:
            found.append(
                "a folder, which is not searched"
                if self.folders == 1
                else f"{self.folders} folders, which are not searched"
            )
        return f"there is nothing in it but {' and '.join(found)}" if found else "there is nothing in it"


def contents_of(folder: Path) -> PictureFolder:
    """In the order of their names; hidden ones do not count."""
    seen = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    files = [path for path in seen if not path.is_dir()]
    kinds = {path: is_picture(path) for path in files}
    pictures = tuple(path for path, is_one in kinds.items() if is_one)
    others = tuple(path.name for path, is_one in kinds.items() if not is_one)
    return PictureFolder(pictures, others, len(seen) - len(files))


def is_picture(path: Path) -> bool:
    """A name without an ending says nothing: such a file is looked into."""
    if path.suffix:
        return path.suffix.lower() in ENDINGS
    try:
        header_from_bytes(bytes_from_file(path, PictureLimits()))
    except EdgeVLError:
        return False
    return True
