"""One file of weights: what it holds is known at once, data are mapped when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import torch
from safetensors import SafetensorError, safe_open

from edge_runtime.errors import EdgeVLError
from export.section import unreadable

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
        # safe_open checks that the header's offsets cover the file, with no hole and no overlap.
        return cast(MappedFile, safe_open(path, framework="pt", device="cpu"))
    except SafetensorError as error:
        raise damaged(path, str(error)) from error
    except OSError as error:
        raise unreadable(path, error) from error


class PickleShard:
    """A `torch.save` file, opened by torch's restricted reader: tensors only, nothing in it is executed."""

    def __init__(self, path: Path) -> None:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except OSError as error:
            raise unreadable(path, error) from error
        except Exception as error:  # the restricted reader names no common class for what bad bytes do to it
            raise unloadable(path, error) from error
        if not isinstance(content, dict) or not all(is_named_tensor(*item) for item in content.items()):
            why = "it holds something other than named tensors"
            raise EdgeVLError(
                "EVL-CHECKPOINT-PICKLE", f"{path.name} is refused", why, "use model.safetensors instead"
            )
        self._content: dict[str, torch.Tensor] = {name: value.detach() for name, value in content.items()}
        self.tensors = {
            name: TensorInfo(tuple(value.shape), value.dtype, path.name)
            for name, value in self._content.items()
        }

    def read(self, name: str) -> torch.Tensor:
        return self._content[name]

    def close(self) -> None:
        self._content.clear()


def is_named_tensor(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, torch.Tensor) and value.layout == torch.strided


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


def unloadable(path: Path, error: Exception) -> EdgeVLError:
    why = f"torch's safe reader says: {str(error).split('. ')[0]:.200}"
    fix = "use a checkpoint with model.safetensors, or save this one again as safetensors"
    return EdgeVLError("EVL-CHECKPOINT-PICKLE", f"{path.name} cannot be loaded safely", why, fix)
