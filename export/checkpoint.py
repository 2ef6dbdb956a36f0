"""A checkpoint folder: its configuration files and its tensors, mapped rather than read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType

import torch

from edge_runtime.errors import EdgeVLError, listed
from export.section import Section, section_from_file, text_from_file, unreadable
from export.shard import Shard, TensorInfo, shard_from_file

CONFIG_LIMIT_BYTES = 1 << 20
TABLE_LIMIT_BYTES = 16 << 20  # tokenizer_config.json and weight indexes
TOKENIZER_LIMIT_BYTES = 64 << 20  # as the runtime's, so that what is exported can be opened
TABLES = ("tokenizer_config.json", "model.safetensors.index.json", "pytorch_model.bin.index.json")
LICENCE_LIMIT_BYTES = 16 << 20  # a text of terms, and no weights whose name sounds like one
LICENCE_WORDS = ("license", "licence", "notice", "copying")


class Checkpoint:
    """An open checkpoint folder. Use it in a `with`; tensors it gave out stay valid afterwards."""

    def __init__(self, path: Path, config: Section, shards: Mapping[str, Shard]) -> None:
        self.path = path
        self.config = config
        self._shards = shards
        self._tensors = merged_tensors(shards)

    @classmethod
    def open(cls, path: Path) -> Checkpoint:
        """Opens the folder; whatever is wrong with it is an EdgeVLError."""
        if not path.is_dir():
            why = "it is not a folder" if path.exists() else "there is no such folder"
            fix = "give the folder that holds config.json and the weights"
            raise EdgeVLError("EVL-CHECKPOINT-FOLDER", f"cannot open the checkpoint {path}", why, fix)
        config_path = file_inside(path, "config.json")
        if config_path is None:
            why = "it has no config.json"
            fix = "give the folder that holds config.json and the weights"
            raise EdgeVLError("EVL-CHECKPOINT-FOLDER", f"{path} is not a checkpoint", why, fix)
        config = section_from_file(config_path, CONFIG_LIMIT_BYTES)
        if file_inside(path, "tokenizer.json") is None:
            raise EdgeVLError(
                "EVL-CHECKPOINT-TOKENIZER",
                f"{path.name} has no tokenizer",
                "tokenizer.json is missing",
                "copy tokenizer.json from where the checkpoint was published",
            )
        return cls(path, config, opened_shards(path))

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """Name, shape, type and file of every tensor, known from the files' headers."""
        return MappingProxyType(self._tensors)

    @property
    def tokenizer_path(self) -> Path:
        return self.path / "tokenizer.json"

    @property
    def licence_paths(self) -> tuple[Path, ...]:
        """The licence texts that must travel with the weights."""
        return tuple(path for path in self._licences() if path.stat().st_size <= LICENCE_LIMIT_BYTES)

    @property
    def huge_licence_names(self) -> tuple[str, ...]:
        """Of files that are named like a licence and are too large for one."""
        return tuple(path.name for path in self._licences() if path.stat().st_size > LICENCE_LIMIT_BYTES)

    def _licences(self) -> Iterator[Path]:
        try:
            names = sorted(each.name for each in self.path.iterdir())
        except OSError as error:
            raise unreadable(self.path, error) from error
        for name in names:
            if is_licence_name(name) and (path := file_inside(self.path, name)) is not None:
                yield path

    def tokenizer_text(self) -> str:
        return text_from_file(self.tokenizer_path, TOKENIZER_LIMIT_BYTES)

    def document(self, name: str) -> Section:
        """An optional JSON file of the folder; an empty section where there is none."""
        path = file_inside(self.path, name)
        if path is None:
            return Section(name, {})
        return section_from_file(path, TABLE_LIMIT_BYTES if name in TABLES else CONFIG_LIMIT_BYTES)

    def read(self, name: str) -> torch.Tensor:
        """The tensor as stored: a view of the mapped file, so only the pages that are used take memory."""
        return self._shards[self._tensors[name].file].read(name)

    def close(self) -> None:
        for shard in self._shards.values():
            shard.close()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_licence_name(name: str) -> bool:
    """However it is written: LICENSE, License.txt, MODEL_LICENSE, COPYING. Hidden files are an editor's or a system's."""
    return not name.startswith(".") and any(word in name.lower() for word in LICENCE_WORDS)


def file_inside(folder: Path, name: str) -> Path | None:
    """The regular file `name` of the folder, or None; one that leads out of the folder is an EdgeVLError.

    A snapshot in Hugging Face's cache is a folder of links into the same model's `blobs` folder: those are allowed.
    """
    path = folder / name
    if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise outside(folder, name, "file names hold no path")
    try:
        is_there = path.is_file()
    except OSError as error:  # a name from an index can be longer than any file's
        raise unreadable(path, error) from error
    if not is_there:
        return None
    home = folder.resolve()
    allowed = [home, home.parent.parent / "blobs"] if home.parent.name == "snapshots" else [home]
    if path.resolve().parent not in allowed:
        raise outside(folder, name, f"it links to {path.resolve()}")
    return path


def outside(folder: Path, name: str, why: str) -> EdgeVLError:
    fix = "copy the file itself into the folder"
    return EdgeVLError(
        "EVL-CHECKPOINT-OUTSIDE", f"{folder.name} names a file outside itself: {name:.120}", why, fix
    )


def opened_shards(folder: Path) -> dict[str, Shard]:
    """Every weights file of the folder, by name: one file, those an index lists, or all that look so."""
    for kind, stem in (("safetensors", "model"), ("bin", "pytorch_model")):
        if (single := file_inside(folder, f"{stem}.{kind}")) is not None:
            return {single.name: shard_from_file(single)}
        if (index := file_inside(folder, f"{stem}.{kind}.index.json")) is not None:
            return shards_from_index(folder, index)
        names = sorted(path.name for path in folder.glob(f"{stem}-*.{kind}"))
        if names:
            return shards_from_names(folder, names, "the folder")
    why = "there is no model.safetensors, no model.safetensors.index.json and no pytorch_model*.bin"
    fix = "copy the weights from where the checkpoint was published"
    raise EdgeVLError("EVL-CHECKPOINT-WEIGHTS", f"{folder.name} holds no weights", why, fix)


def shards_from_index(folder: Path, index: Path) -> dict[str, Shard]:
    weight_map = section_from_file(index, TABLE_LIMIT_BYTES).section("weight_map")
    if not weight_map.values:
        raise EdgeVLError(
            "EVL-CHECKPOINT-INDEX",
            f"{index.name} lists no weights",
            "weight_map is empty or absent",
            "copy the index from where the checkpoint was published",
        )
    owners = {name: weight_map.text(name) for name in weight_map.values}
    shards = shards_from_names(folder, sorted(set(owners.values())), index.name)
    lost = [name for name, file in owners.items() if name not in shards[file].tensors]
    if lost:
        why = f"absent from their files: {listed(lost)}"
        fix = "download the checkpoint again; index and shards come from different versions"
        raise EdgeVLError("EVL-CHECKPOINT-INDEX", f"{index.name} lists tensors that are not there", why, fix)
    return shards


def shards_from_names(folder: Path, names: Iterable[str], lister: str) -> dict[str, Shard]:
    paths = {name: file_inside(folder, name) for name in names}
    lost = [name for name, path in paths.items() if path is None]
    if lost:
        why = f"missing: {listed(lost)}"
        fix = "download the missing files into the folder"
        raise EdgeVLError("EVL-CHECKPOINT-INDEX", f"{lister} names weight files that are not there", why, fix)
    return {name: shard_from_file(path) for name, path in paths.items() if path is not None}


def merged_tensors(shards: Mapping[str, Shard]) -> dict[str, TensorInfo]:
    tensors: dict[str, TensorInfo] = {}
    twice: list[str] = []
    for shard in shards.values():
        twice += [name for name in shard.tensors if name in tensors]
        tensors.update(shard.tensors)
    if twice:
        why = f"stored in more than one file: {listed(twice)}"
        fix = "keep one version of the weights in the folder"
        raise EdgeVLError("EVL-CHECKPOINT-DUPLICATE", "tensors are stored twice", why, fix)
    return tensors
