"""One file of weights: what it holds is known at once, data are mapped when asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import torch
from safetensors import SafetensorError, safe_open

from edge_runtime.errors import EdgeVLError
from export.archive import ArchiveError, record_sizes_from_path
from export.section import unique_keys, unreadable

DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
HEADER_LIMIT_BYTES = 16 << 20  # the 7B model's has 0.1 MiB
LFS_MARK = b"version https://git-lfs"
AGAIN = "download the checkpoint again and compare the file's size with the published one"


@dataclass(frozen=True)
class TensorInfo:
    """What a tensor is, known without reading it."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    file: str


class Shard(Protocol):
    """An open file of weights. What `read` gives are views of the mapped file, valid after `close` too."""

    @property
    def tensors(self) -> Mapping[str, TensorInfo]: ...

    def read(self, name: str) -> torch.Tensor: ...

    def close(self) -> None: ...


class MappedSlice(Protocol):
    def get_shape(self) -> list[int]: ...

    def get_dtype(self) -> str: ...


class MappedFile(Protocol):
    """What we use of `safetensors.safe_open`, whose own types say nothing."""

    def keys(self) -> list[str]: ...

    def get_slice(self, name: str) -> MappedSlice: ...

    def get_tensor(self, name: str) -> torch.Tensor: ...

    def __exit__(self, *reason: None) -> None: ...


class SafetensorsShard:
    def __init__(self, path: Path) -> None:
        self._file = safetensors_from_path(path)
        names = self._file.keys()
        self.tensors = {name: self._info(name, path.name) for name in names}

    def _info(self, name: str, file: str) -> TensorInfo:
        view = self._file.get_slice(name)
        dtype = DTYPES.get(view.get_dtype())
        if dtype is None:
            why = f"{name} in {file} has type {view.get_dtype()}"
            fix = "use a checkpoint in bfloat16, float16 or float32"
            raise EdgeVLError("EVL-CHECKPOINT-DTYPE", "a tensor has a type edge-vl does not know", why, fix)
        return TensorInfo(tuple(view.get_shape()), dtype, file)

    def read(self, name: str) -> torch.Tensor:
        return self._file.get_tensor(name)

    def close(self) -> None:
        self._file.__exit__(None, None, None)


def safetensors_from_path(path: Path) -> MappedFile:
    try:
        check_header_size(path)
        # safe_open checks that the header's offsets cover the file, with no hole and no overlap.
        opened = safe_open(path, framework="pt", device="cpu")
        check_header_names(path)
        return cast(MappedFile, opened)
    except SafetensorError as error:
        raise damaged(path, str(error)) from error
    except OSError as error:
        raise unreadable(path, error) from error


def check_header_size(path: Path) -> None:
    """A header of a million tensors would cost a gigabyte before their names could be compared."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > HEADER_LIMIT_BYTES:
        why = f"header too large: it claims {length} bytes, at most {HEADER_LIMIT_BYTES >> 20} MiB are read"
        raise damaged(path, why)


def check_header_names(path: Path) -> None:
    """Of tensors that are named twice safe_open takes the last."""
    with path.open("rb") as file:
        header = file.read(int.from_bytes(file.read(8), "little"))
    try:
        json.loads(header, object_pairs_hook=unique_keys)
    except ValueError as error:
        raise damaged(path, str(error)) from error


class PickleShard:
    """A `torch.save` file, opened by torch's restricted reader: tensors only, nothing in it is executed."""

    def __init__(self, path: Path) -> None:
        sizes, content = opened_pickle(path)
        # As dict knows them: a pickle can hide the methods of its OrderedDict behind attributes.
        items = dict.items(content) if isinstance(content, dict) else None
        if items is None or not all(is_named_tensor(*item, sizes) for item in items):
            why = "it holds something other than named tensors"
            raise EdgeVLError(
                "EVL-CHECKPOINT-PICKLE", f"{path.name} is refused", why, "use model.safetensors instead"
            )
        self._content: dict[str, torch.Tensor] = {name: value.detach() for name, value in items}
        self.tensors = {
            name: TensorInfo(tuple(value.shape), value.dtype, path.name)
            for name, value in self._content.items()
        }

    def read(self, name: str) -> torch.Tensor:
        return self._content[name]

    def close(self) -> None:
        self._content.clear()


def opened_pickle(path: Path) -> tuple[frozenset[int], object]:
    """The sizes of the file's records, and what torch's restricted reader makes of its pickle."""
    try:
        sizes = record_sizes_from_path(path)
        return sizes, torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except OSError as error:
        raise unreadable(path, error) from error
    except ArchiveError as error:
        raise unloadable(path, str(error)) from error
    except Exception as error:  # the restricted reader names no common class for what bad bytes do to it
        raise unloadable(path, f"torch's safe reader says: {str(error).split('. ')[0]}") from error


def is_named_tensor(name: object, value: object, record_sizes: frozenset[int]) -> bool:
    """A plain tensor whose every element lies in a record of the file."""
    if not isinstance(name, str) or type(value) not in (torch.Tensor, torch.nn.Parameter):
        return False
    tensor = cast(torch.Tensor, value)
    is_plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
    # Nested tensors and views with a pending sign or conjugation have no memory to hand on.
    if not is_plain or tensor.is_nested or tensor.is_quantized or tensor.is_neg() or tensor.is_conj():
        return False
    stored_bytes = tensor.untyped_storage().nbytes()
    is_spread = tensor.numel() * tensor.itemsize > stored_bytes  # one element can stand for terabytes
    return not is_spread and (stored_bytes == 0 or stored_bytes in record_sizes)


def shard_from_file(path: Path) -> Shard:
    """Opens a weights file; a damaged one is an EdgeVLError."""
    refuse_pointer(path)
    return PickleShard(path) if path.suffix == ".bin" else SafetensorsShard(path)


def refuse_pointer(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(len(LFS_MARK))
    except OSError as error:
        raise unreadable(path, error) from error
    if start == LFS_MARK:
        why = "it is a Git LFS pointer that stands in for the weights"
        raise EdgeVLError(
            "EVL-CHECKPOINT-POINTER", f"{path.name} holds no weights", why, "run `git lfs pull` in the folder"
        )


def damaged(path: Path, reason: str) -> EdgeVLError:
    size = f"{path.stat().st_size} bytes long"
    if any(mark in reason for mark in ("incomplete", "header length", "too small")):
        what = f"{path.name} is cut short or was changed"
        return EdgeVLError("EVL-CHECKPOINT-TRUNCATED", what, f"it is {size}; {reason}", AGAIN)
    return EdgeVLError(
        "EVL-CHECKPOINT-DAMAGED", f"{path.name} is not a valid safetensors file", reason, AGAIN
    )


def unloadable(path: Path, why: str) -> EdgeVLError:
    fix = "use a checkpoint with model.safetensors, or save this one again as safetensors"
    return EdgeVLError("EVL-CHECKPOINT-PICKLE", f"{path.name} cannot be loaded safely", why[:240], fix)
