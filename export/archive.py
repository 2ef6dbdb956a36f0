"""The zip file that `torch.save` writes, looked through before torch opens it.

torch's restricted reader executes nothing, yet it takes compressed records for weights, unpacks bombs and
makes whatever buffer a pickle asks for. What names tensors and nothing else needs none of that.
"""

from __future__ import annotations

import pickletools
import zipfile
from pathlib import Path

PICKLE_NAME = "data.pkl"
PICKLE_LIMIT_BYTES = 8 << 20  # of 40,000 tensors; read one opcode at a time
KINDS = "BFloat16 Bool Byte Char Double Float Half Int Long Short".split()
KNOWN_GLOBALS = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(f"torch {kind}Storage" for kind in KINDS),
}
IMPORTING = {"STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "NEWOBJ_EX"}  # `torch.save` uses none
ENCRYPTED = 1  # of a member's flag bits


class ArchiveError(Exception):
    """The file is not what `torch.save` writes for named tensors."""


def record_sizes_from_path(path: Path) -> frozenset[int]:
    """The sizes of the records that tensors may lie in. Nothing is unpacked and no name is used as a path."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            check_members(members)
            check_pickle(pickle_of(archive, members))
    except (OSError, ArchiveError):
        raise
    except Exception as error:  # zipfile raises a dozen classes over bad bytes
        raise ArchiveError(f"it is no sound zip file of `torch.save`: {error}") from error
    return frozenset(member.file_size for member in members)


def check_members(members: list[zipfile.ZipInfo]) -> None:
    names = [member.filename for member in members]
    if len(set(names)) != len(names):
        raise ArchiveError("its zip directory names a member twice")
    for member in members:
        # Engines map the file: what is packed would be read as weights, and be wrong without a word.
        is_packed = member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size
        if is_packed or member.flag_bits & ENCRYPTED:
            raise ArchiveError(f"its member {member.filename:.80} is compressed, `torch.save` stores plainly")


def pickle_of(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> bytes:
    found = [member for member in members if member.filename.rpartition("/")[2] == PICKLE_NAME]
    if len(found) != 1:
        raise ArchiveError(f"it has {len(found)} members named {PICKLE_NAME}, wanted one")
    if found[0].file_size > PICKLE_LIMIT_BYTES:
        raise ArchiveError(f"its {PICKLE_NAME} has more than {PICKLE_LIMIT_BYTES >> 20} MiB")
    return archive.read(found[0])  # its checksum is compared


def check_pickle(data: bytes) -> None:
    for opcode, argument, _ in pickletools.genops(data):
        is_known = argument in KNOWN_GLOBALS if opcode.name == "GLOBAL" else opcode.name not in IMPORTING
        if not is_known:
            name = str(argument or opcode.name).replace(" ", ".")
            raise ArchiveError(f"it asks for {name:.80}, which named tensors do not need")
