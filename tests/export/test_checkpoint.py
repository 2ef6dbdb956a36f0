from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from edge_runtime.errors import EdgeVLError
from export.checkpoint import LICENCE_LIMIT_BYTES, Checkpoint
from tests.checkpoints import PLAIN, write_json, write_transformers_checkpoint

NAME = "model.language_model.norm.weight"
Damage = Callable[[Path], object]


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_transformers_checkpoint(tmp_path_factory.mktemp("published") / "model", PLAIN)[1]


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    """A copy of a good checkpoint, to be damaged."""
    return Path(shutil.copytree(published, tmp_path / "model"))


def refusal(folder: Path) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        Checkpoint.open(folder)
    return caught.value


def split_in_two(folder: Path) -> dict[str, str]:
    """Rewrites model.safetensors as two oddly named shards and an index; returns its weight_map."""
    tensors = load_file(folder / "model.safetensors")
    weight_map = {name: f"part.{place % 2}.safetensors" for place, name in enumerate(sorted(tensors))}
    for file in set(weight_map.values()):
        save_file({name: tensors[name] for name in tensors if weight_map[name] == file}, folder / file)
    (folder / "model.safetensors").unlink()
    write_json(folder / "model.safetensors.index.json", {"weight_map": weight_map})
    return weight_map


def pickled(folder: Path) -> dict[str, torch.Tensor]:
    """Rewrites model.safetensors as pytorch_model.bin."""
    tensors = {name: value.clone() for name, value in load_file(folder / "model.safetensors").items()}
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    return tensors


def anonymous_kib() -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def test_every_tensor_is_known_and_read_as_stored(folder: Path) -> None:
    stored = load_file(folder / "model.safetensors")
    with Checkpoint.open(folder) as checkpoint:
        assert checkpoint.tensors.keys() == stored.keys()
        for name, tensor in stored.items():
            info = checkpoint.tensors[name]
            assert (info.shape, info.dtype, info.file) == (tensor.shape, tensor.dtype, "model.safetensors")
            assert torch.equal(checkpoint.read(name), tensor)


def test_shards_of_any_name_are_found_through_the_index(folder: Path) -> None:
    stored = load_file(folder / "model.safetensors")
    weight_map = split_in_two(folder)
    with Checkpoint.open(folder) as checkpoint:
        assert {name: info.file for name, info in checkpoint.tensors.items()} == weight_map
        assert all(torch.equal(checkpoint.read(name), tensor) for name, tensor in stored.items())


def test_shards_without_an_index_are_found_by_their_names(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-000001.safetensors")
    with Checkpoint.open(folder) as checkpoint:
        assert NAME in checkpoint.tensors


def test_a_pickled_checkpoint_gives_the_same_tensors(folder: Path) -> None:
    stored = pickled(folder)
    with Checkpoint.open(folder) as checkpoint:
        assert checkpoint.tensors.keys() == stored.keys()
        assert all(torch.equal(checkpoint.read(name), tensor) for name, tensor in stored.items())


def test_pickled_shards_are_found_through_their_index(folder: Path) -> None:
    stored = pickled(folder)
    torch.save({NAME: stored.pop(NAME)}, folder / "pytorch_model-00002.bin")
    torch.save(stored, folder / "pytorch_model.bin")
    (folder / "pytorch_model.bin").rename(folder / "pytorch_model-00001.bin")
    weight_map = dict.fromkeys(stored, "pytorch_model-00001.bin") | {NAME: "pytorch_model-00002.bin"}
    write_json(folder / "pytorch_model.bin.index.json", {"weight_map": weight_map})
    with Checkpoint.open(folder) as checkpoint:
        assert checkpoint.tensors[NAME].file == "pytorch_model-00002.bin"
        assert checkpoint.tensors.keys() == weight_map.keys()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is counted through Linux's /proc")
@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_reading_a_tensor_takes_no_memory_of_its_own(folder: Path, kind: str) -> None:
    large = {"large": torch.ones(64, 1024, 1024, dtype=torch.float16)}  # 128 MiB
    if kind == "bin":
        (folder / "model.safetensors").unlink()
        torch.save(large, folder / "pytorch_model.bin")
    else:
        save_file(large, folder / "model.safetensors")
    del large
    before_kib = anonymous_kib()
    with Checkpoint.open(folder) as checkpoint:
        tensor = checkpoint.read("large")
        assert float(tensor[::4, ::64, ::64].sum()) == 16 * 16 * 16  # touches pages all over the file
        assert anonymous_kib() - before_kib < 16 * 1024


def test_tensors_stay_valid_after_the_checkpoint_is_closed(folder: Path) -> None:
    with Checkpoint.open(folder) as checkpoint:
        tensor = checkpoint.read(NAME)
    assert torch.equal(tensor, load_file(folder / "model.safetensors")[NAME])


def test_writing_to_a_tensor_leaves_the_file_alone(folder: Path) -> None:
    before = (folder / "model.safetensors").read_bytes()
    with Checkpoint.open(folder) as checkpoint:
        checkpoint.read(NAME).fill_(7)
    assert (folder / "model.safetensors").read_bytes() == before


def test_licence_texts_are_found(folder: Path) -> None:
    (folder / "LICENSE-MODEL").write_text("terms", encoding="utf-8")
    (folder / "LICENSE").write_text("terms", encoding="utf-8")
    with Checkpoint.open(folder) as checkpoint:
        assert [path.name for path in checkpoint.licence_paths] == ["LICENSE", "LICENSE-MODEL"]


LICENCES = (
    "COPYING",
    "License",
    "MODEL_LICENSE",
    "NOTICE.md",
    "licence.md",
    "license.txt",
    "thirdpartynotices",
)


def test_licence_texts_are_found_however_they_are_written(folder: Path) -> None:
    for name in LICENCES:
        (folder / name).write_text("terms", encoding="utf-8")
    with Checkpoint.open(folder) as checkpoint:
        assert tuple(path.name for path in checkpoint.licence_paths) == LICENCES


def test_what_is_no_plain_file_or_hidden_is_no_licence(folder: Path) -> None:
    (folder / "licenses").mkdir()
    os.mkfifo(folder / "NOTICE")
    (folder / "._LICENSE").write_text("a system's", encoding="utf-8")
    with Checkpoint.open(folder) as checkpoint:
        assert not checkpoint.licence_paths
        assert not checkpoint.huge_licence_names


def test_a_file_too_large_for_a_licence_is_named_and_not_taken(folder: Path) -> None:
    (folder / "LICENSE").write_text("terms", encoding="utf-8")
    with (folder / "license-classifier.bin").open("wb") as file:
        file.truncate(LICENCE_LIMIT_BYTES + 1)
    with Checkpoint.open(folder) as checkpoint:
        assert [path.name for path in checkpoint.licence_paths] == ["LICENSE"]
        assert checkpoint.huge_licence_names == ("license-classifier.bin",)


def test_a_licence_that_leads_out_of_the_folder_is_refused(folder: Path) -> None:
    (folder.parent / "terms").write_text("terms", encoding="utf-8")
    (folder / "license.txt").symlink_to(folder.parent / "terms")
    with Checkpoint.open(folder) as checkpoint, pytest.raises(EdgeVLError) as caught:
        _ = checkpoint.licence_paths
    assert caught.value.code == "EVL-CHECKPOINT-OUTSIDE"


def test_an_absent_optional_file_reads_as_empty(folder: Path) -> None:
    with Checkpoint.open(folder) as checkpoint:
        assert checkpoint.document("processor_config.json").values == {}


def test_a_snapshot_of_the_hugging_face_cache_opens(published: Path, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "model" / "blobs", tmp_path / "model" / "snapshots" / "abc"
    shutil.copytree(published, blobs)
    snapshot.mkdir(parents=True)
    for blob in blobs.iterdir():
        (snapshot / blob.name).symlink_to(Path("../../blobs") / blob.name)
    with Checkpoint.open(snapshot) as checkpoint:
        assert NAME in checkpoint.tensors


# --- what users get wrong ---


def keep_bytes(name: str, count: int) -> Damage:
    def damage(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:count])

    return damage


def replace_text(name: str, text: str) -> Damage:
    return lambda folder: (folder / name).write_text(text, encoding="utf-8")


def remove(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


def replace_header(**entry: object) -> Damage:
    """Rewrites one tensor's entry in the safetensors header."""

    def damage(folder: Path) -> None:
        path = folder / "model.safetensors"
        content = path.read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        header[NAME] |= entry
        written = json.dumps(header).encode()
        path.write_bytes(len(written).to_bytes(8, "little") + written + content[8 + length :])

    return damage


def index_of(weight_map: dict[str, object]) -> Damage:
    def damage(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "a.safetensors")
        write_json(folder / "model.safetensors.index.json", {"weight_map": weight_map})

    return damage


def pickle_code(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"a": Executed(str(folder / "executed"))}, folder / "pytorch_model.bin")


def pickle_other(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"a": [1, 2]}, folder / "pytorch_model.bin")


def pickle_old(folder: Path) -> None:
    tensors = pickled(folder)
    torch.save(tensors, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)


class Executed:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.path,)


def link_outside(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "elsewhere.safetensors")
    (folder / "model.safetensors").symlink_to(folder.parent / "elsewhere.safetensors")


def store_twice(folder: Path) -> None:
    weight_map = split_in_two(folder)
    one, other = sorted(set(weight_map.values()))
    tensors = {name: value.clone() for name, value in load_file(folder / other).items()}
    name = next(name for name, file in weight_map.items() if file == one)
    save_file(tensors | {name: torch.zeros(1)}, folder / other)


def list_absent(folder: Path) -> None:
    weight_map = split_in_two(folder)
    write_json(
        folder / "model.safetensors.index.json", {"weight_map": weight_map | {"ghost": "part.0.safetensors"}}
    )


DAMAGES: dict[str, tuple[Damage, str, str]] = {
    "config absent": (remove("config.json"), "EVL-CHECKPOINT-FOLDER", "config.json"),
    "config cut": (keep_bytes("config.json", 40), "EVL-CHECKPOINT-JSON", "config.json"),
    "config a list": (replace_text("config.json", "[1]"), "EVL-CHECKPOINT-JSON", "object"),
    "config empty": (replace_text("config.json", ""), "EVL-CHECKPOINT-JSON", "config.json"),
    "config nested": (replace_text("config.json", "[" * 200_000), "EVL-CHECKPOINT-JSON", "config.json"),
    "config digits": (replace_text("config.json", '{"a": ' + "9" * 6000 + "}"), "EVL-CHECKPOINT-JSON", "config.json"),
    "config key twice": (replace_text("config.json", '{"a": 1, "a": 2}'), "EVL-CHECKPOINT-JSON", "twice"),
    "config large": (replace_text("config.json", " " * (1 << 20) + "{}"), "EVL-CHECKPOINT-JSON", "1 MiB"),
    "config not text": (
        lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe\xfa"),
        "EVL-CHECKPOINT-JSON",
        "UTF-8",
    ),
    "tokenizer absent": (remove("tokenizer.json"), "EVL-CHECKPOINT-TOKENIZER", "tokenizer.json"),
    "weights absent": (remove("model.safetensors"), "EVL-CHECKPOINT-WEIGHTS", "model.safetensors"),
    "weights cut": (keep_bytes("model.safetensors", 20_000), "EVL-CHECKPOINT-TRUNCATED", "20000 bytes"),
    "header cut": (keep_bytes("model.safetensors", 30), "EVL-CHECKPOINT-TRUNCATED", "30 bytes"),
    "weights empty": (keep_bytes("model.safetensors", 0), "EVL-CHECKPOINT-TRUNCATED", "0 bytes"),
    "weights garbage": (replace_text("model.safetensors", "weights" * 99), "EVL-CHECKPOINT-DAMAGED", "safetensors"),
    "offsets overlap": (replace_header(data_offsets=[0, 256]), "EVL-CHECKPOINT-DAMAGED", "offset"),
    "shape lies": (replace_header(shape=[9999, 9999]), "EVL-CHECKPOINT-DAMAGED", "safetensors"),
    "weights a pointer": (
        replace_text("model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "EVL-CHECKPOINT-POINTER",
        "git lfs pull",
    ),
    "shard absent": (index_of({"a": "a.safetensors", "b": "b.safetensors"}), "EVL-CHECKPOINT-INDEX", "b.safetensors"),
    "index empty": (index_of({}), "EVL-CHECKPOINT-INDEX", "weight_map"),
    "index wrong": (index_of({"a": 3}), "EVL-CHECKPOINT-CONFIG", "weight_map"),
    "index upwards": (index_of({"a": "../a.safetensors"}), "EVL-CHECKPOINT-OUTSIDE", "../a.safetensors"),
    "index dots": (index_of({"a": ".."}), "EVL-CHECKPOINT-OUTSIDE", ".."),
    "index absolute": (index_of({"a": "/etc/hostname"}), "EVL-CHECKPOINT-OUTSIDE", "/etc/hostname"),
    "index backslash": (index_of({"a": "..\\a"}), "EVL-CHECKPOINT-OUTSIDE", "..\\a"),
    "link outside": (link_outside, "EVL-CHECKPOINT-OUTSIDE", "elsewhere"),
    "listed but absent": (list_absent, "EVL-CHECKPOINT-INDEX", "ghost"),
    "stored twice": (store_twice, "EVL-CHECKPOINT-DUPLICATE", "more than one file"),
    "pickle with code": (pickle_code, "EVL-CHECKPOINT-PICKLE", "safetensors"),
    "pickle of lists": (pickle_other, "EVL-CHECKPOINT-PICKLE", "named tensors"),
    "pickle of old": (pickle_old, "EVL-CHECKPOINT-PICKLE", "safetensors"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_checkpoint_is_refused_with_its_code(folder: Path, case: str) -> None:
    damage, code, mention = DAMAGES[case]
    damage(folder)
    error = refusal(folder)
    assert error.code == code
    assert mention in str(error)
    assert error.fix


def test_pickled_code_is_not_executed(folder: Path) -> None:
    pickle_code(folder)
    refusal(folder)
    assert not (folder / "executed").exists()
    with pytest.raises(pickle.UnpicklingError):  # what the refusal stands on: torch's restricted reader
        torch.load(folder / "pytorch_model.bin", weights_only=True)


def test_a_file_is_not_a_checkpoint(folder: Path) -> None:
    assert refusal(folder / "config.json").code == "EVL-CHECKPOINT-FOLDER"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    error = refusal(tmp_path / "nothing")
    assert error.code == "EVL-CHECKPOINT-FOLDER"
    assert "nothing" in error.what


def test_a_pipe_in_the_place_of_weights_does_not_block(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")
    assert refusal(folder).code == "EVL-CHECKPOINT-WEIGHTS"
