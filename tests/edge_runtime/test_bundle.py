from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from edge_runtime import bundle as bundle_module
from edge_runtime.bundle import Bundle, check_operators, file_entries
from edge_runtime.digest import sha256_by_path
from edge_runtime.errors import EdgeVLError
from edge_runtime.onnxreader import onnx_file_from_path
from tests.edge_runtime.bundle_samples import (
    TOKENIZER,
    WIDTH,
    manifest_of,
    sample_entry,
    sample_model,
    sample_spec,
    seal_again,
    write_sample_bundle,
    write_sample_files,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_sample_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def refusal(folder: Path | str, is_trusted: bool = False) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        Bundle.open(folder, is_trusted)
    return caught.value


def test_a_good_bundle_opens(folder: Path) -> None:
    bundle = Bundle.open(folder)
    assert bundle.spec == sample_spec()
    assert bundle.graph("decoder", "ort") == sample_entry("decoder")
    assert bundle.path_of(bundle.graph("decoder", "ort")) == folder / "ort/decoder.onnx"
    assert bundle.tokenizer_path.read_text() == TOKENIZER


def test_the_embedding_is_mapped_read_only(folder: Path) -> None:
    table = Bundle.open(str(folder)).embedding()
    assert isinstance(table, np.memmap)
    assert (table.shape, table.dtype) == ((64, WIDTH), np.dtype("<f2"))
    assert np.array_equal(table.ravel(), np.arange(64 * WIDTH))
    assert not table.flags.writeable


def test_a_bundle_may_be_reached_through_a_link_and_moved(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    folder.rename(moved)
    (tmp_path / "link").symlink_to(moved)
    assert Bundle.open(tmp_path / "link").folder == moved


def test_progress_ends_at_the_sum_of_all_bytes(folder: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    total = sum(Bundle.open(folder, progress=lambda *step: heard.append(step)).manifest.sizes.values())
    assert heard[-1] == ("hash", total, total)
    assert [done for _, done, _ in heard] == sorted(done for _, done, _ in heard)


def test_a_dialect_that_was_not_exported_is_named(folder: Path) -> None:
    with pytest.raises(EdgeVLError) as caught:
        Bundle.open(folder).graph("decoder", "trt10")
    assert caught.value.code == "EVL-BUNDLE-DIALECT"
    assert caught.value.fix == "export again with --dialect ort,trt10"


@pytest.mark.parametrize("path", ["ort/decoder.data", "ort/decoder.onnx", "embed.bin", "tokenizer.json"])
def test_a_flipped_bit_is_refused(folder: Path, path: str) -> None:
    data = bytearray((folder / path).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / path).write_bytes(data)
    error = refusal(folder)
    assert (error.code, error.what) == ("EVL-BUNDLE-HASH", f"{path} is damaged")


def test_a_trusted_bundle_is_not_hashed(folder: Path) -> None:
    data = bytearray((folder / "embed.bin").read_bytes())
    data[0] ^= 1
    (folder / "embed.bin").write_bytes(data)
    assert Bundle.open(folder, is_trusted=True).manifest.files


@pytest.mark.parametrize("is_trusted", [False, True])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_changed_size_is_refused(folder: Path, is_trusted: bool, change: int) -> None:
    size = (folder / "ort/decoder.data").stat().st_size
    os.truncate(folder / "ort/decoder.data", size + change)
    error = refusal(folder, is_trusted)
    assert error.code == "EVL-BUNDLE-SIZE"
    assert error.why == f"it has {size + change} bytes, the manifest says {size}"


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "ort/decoder.data").unlink()
    error = refusal(folder, is_trusted=True)
    assert (error.code, error.what) == ("EVL-BUNDLE-MISSING", "the bundle lacks ort/decoder.data")


def test_a_file_where_a_folder_should_be_is_a_missing_file(folder: Path) -> None:
    shutil.rmtree(folder / "ort")
    (folder / "ort").touch()
    assert refusal(folder).code == "EVL-BUNDLE-MISSING"


@pytest.mark.parametrize("name", ["nowhere", "file", "empty", "a\0b", "loop"])
def test_what_is_not_a_bundle_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    assert refusal(tmp_path / name).code == "EVL-BUNDLE-MISSING"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_or_folder_in_place_of_a_file_is_refused_unopened(
    folder: Path, make: Callable[[Path], None]
) -> None:
    for path in ("tokenizer.json", "edge-vl.json"):
        (folder / path).unlink()
        make(folder / path)
        error = refusal(folder)
        assert (error.code, error.why) == ("EVL-BUNDLE-MISSING", "it is not a regular file")


@pytest.mark.parametrize("is_trusted", [False, True])
@pytest.mark.parametrize("path", ["edge-vl.json", "ort/decoder.data", "ort"])
def test_a_symbolic_link_in_the_bundle_is_refused(folder: Path, path: str, is_trusted: bool) -> None:
    # Even to the very same bytes inside the bundle: what it points to can change after the check.
    (folder / path).rename(folder / "moved")
    (folder / path).symlink_to(folder / "moved")
    error = refusal(folder, is_trusted)
    assert error.code == "EVL-BUNDLE-EXTERNAL"
    assert error.why == f"{path} is a symbolic link"


def test_a_manifest_beyond_16_mib_is_refused_unread(folder: Path) -> None:
    os.truncate(folder / "edge-vl.json", (16 << 20) + 1)
    error = refusal(folder)
    assert error.code == "EVL-BUNDLE-MANIFEST"
    assert "at most 16777216 are read" in error.why


def test_a_manifest_of_sixteen_million_brackets_is_refused(folder: Path) -> None:
    (folder / "edge-vl.json").write_bytes(b"[" * (16 << 20))
    assert refusal(folder).code == "EVL-BUNDLE-MANIFEST"


def test_what_the_system_refuses_to_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied", "edge-vl.json")

    monkeypatch.setattr(bundle_module, "read_manifest", refuse)
    error = refusal(folder)
    assert (error.code, error.why) == ("EVL-BUNDLE-MISSING", "Permission denied: edge-vl.json")


def change_decoder(folder: Path, change: Callable[[onnx.ModelProto], object]) -> None:
    """A change by somebody who can compute hashes: only the structure gives it away."""
    model = sample_model("decoder")
    change(model)
    (folder / "ort/decoder.onnx").write_bytes(model.SerializeToString())
    seal_again(folder)


def set_pair(key: str, value: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        pairs = model.graph.initializer[0].external_data
        kept = [pair for pair in pairs if pair.key != key]
        del pairs[:]
        pairs.extend([*kept, onnx.StringStringEntryProto(key=key, value=value)])

    return change


@pytest.mark.parametrize("is_trusted", [False, True])
@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("location", "../../secret", "the path '../../secret' leaves its folder"),
        ("location", "../embed.bin", "the path '../embed.bin' leaves its folder"),
        ("location", "/etc/passwd", "the path '/etc/passwd' is absolute"),
        ("location", "..\\secret", "is not made of plain names"),
        ("location", "*/_ORT_MEM_ADDR_/*", "is not made of plain names"),
        ("location", "", "is not made of plain names"),
        ("location", "./decoder.data", "is not made of plain names"),
        ("location", "stray.data", "ort/stray.data is not listed in the manifest"),
        ("offset", "4097", "it ends at byte 4129 of ort/decoder.data, which has 4128"),
        ("offset", "999999999999999999", "which has 4128"),
        ("length", "31", "it says 31 bytes, float32 [8] needs 32"),
        ("length", "33", "it says 33 bytes, float32 [8] needs 32"),
    ],
)  # fmt: skip
def test_external_data_that_does_not_lie_in_the_bundle_is_refused(
    folder: Path, key: str, value: str, why: str, is_trusted: bool
) -> None:
    change_decoder(folder, set_pair(key, value))
    error = refusal(folder, is_trusted)
    assert error.code == "EVL-BUNDLE-EXTERNAL"
    assert error.what == "the tensor 'bias' of ort/decoder.onnx does not lie in the bundle"
    assert why in error.why


def test_a_file_that_lies_there_unlisted_is_no_external_data(folder: Path) -> None:
    change_decoder(folder, set_pair("location", "stray.data"))
    shutil.copy(folder / "ort/decoder.data", folder / "ort/stray.data")
    assert "not listed" in refusal(folder).why


def test_a_tensor_larger_than_its_file_is_refused(folder: Path) -> None:
    def grow(model: onnx.ModelProto) -> None:
        set_pair("length", str(1 << 40))(model)
        model.graph.initializer[0].dims[:] = [1 << 38]

    change_decoder(folder, grow)
    assert refusal(folder, is_trusted=True).code == "EVL-BUNDLE-EXTERNAL"


@pytest.mark.parametrize("is_trusted", [False, True])
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda model: model.opset_import[0].__setattr__("version", 21), "it has opset 21, the manifest says 20"),
        (lambda model: model.opset_import[0].__setattr__("domain", "other"), "it has opset 20"),
        (lambda model: model.graph.input[0].__setattr__("name", "z"), "its input is z float32[batch, 8], the manifest says x"),
        (lambda model: model.graph.input[0].type.tensor_type.__setattr__("elem_type", 10), "its input is x float16[batch, 8]"),
        (lambda model: model.graph.output[0].type.tensor_type.shape.dim[1].__setattr__("dim_value", 9), "its output is y float32[batch, 9]"),
        (lambda model: model.graph.output.append(model.graph.input[0]), "it has 2 outputs, the manifest says 1"),
    ],
)  # fmt: skip
def test_a_graph_that_is_not_as_the_manifest_says_is_refused(
    folder: Path, change: Callable[[onnx.ModelProto], object], why: str, is_trusted: bool
) -> None:
    change_decoder(folder, change)
    error = refusal(folder, is_trusted)
    assert error.code == "EVL-BUNDLE-GRAPH"
    assert why in error.why


def test_a_function_with_another_opset_is_refused(folder: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        node = helper.make_node("Identity", ["x"], ["y"])
        model.functions.append(
            helper.make_function("mine", "F", ["x"], ["y"], [node], [helper.make_opsetid("", 18)])
        )

    change_decoder(folder, change)
    assert "it has opset 18" in refusal(folder).why


def test_operators_outside_a_dialect_are_named(folder: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        branch = helper.make_graph([helper.make_node("Sin", ["x"], ["s"], name="deep")], "b", [], [])
        model.graph.node.append(helper.make_node("If", ["x"], ["s"], name="if", then_branch=branch))
        model.graph.node.append(helper.make_node("Gelu", ["x"], ["g"], domain="com.microsoft", name="ms"))

    change_decoder(folder, change)
    assert refusal(folder).why.endswith("If (node 'if'), Sin (node 'deep'), com.microsoft::Gelu (node 'ms')")
    file = onnx_file_from_path(folder / "ort" / "decoder.onnx", "decoder")
    allowed = {"": frozenset({"Add", "Gelu", "Sin", "If"}), "com.microsoft": frozenset({"Gelu"})}
    check_operators(file, allowed, "decoder")
    with pytest.raises(EdgeVLError) as caught:
        check_operators(file, {"": frozenset({"Add", "Gelu"})}, "decoder")
    assert caught.value.code == "EVL-BUNDLE-GRAPH"
    assert caught.value.why.endswith("If (node 'if'), Sin (node 'deep'), com.microsoft::Gelu (node 'ms')")


def test_a_call_of_a_local_function_is_allowed_and_its_body_checked(folder: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        node = helper.make_node("Sin", ["x"], ["y"])
        opsets = [helper.make_opsetid("", 20)]
        model.functions.append(helper.make_function("mine", "F", ["x"], ["y"], [node], opsets))
        model.graph.node.append(helper.make_node("F", ["x"], ["z"], domain="mine"))

    change_decoder(folder, change)
    file = onnx_file_from_path(folder / "ort" / "decoder.onnx", "decoder")
    check_operators(file, {"": frozenset({"Add", "Sin"})}, "decoder")
    with pytest.raises(EdgeVLError, match="Sin"):
        check_operators(file, {"": frozenset({"Add"})}, "decoder")


def test_file_entries_are_sorted_and_hashed(tmp_path: Path) -> None:
    paths = write_sample_files(tmp_path / "b")
    entries = file_entries(tmp_path / "b", reversed(paths))
    assert [entry.path for entry in entries] == sorted(paths)
    for entry in entries:
        data = (tmp_path / "b" / entry.path).read_bytes()
        assert (entry.bytes, entry.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_a_manifest_is_never_replaced(folder: Path) -> None:
    manifest = manifest_of(
        folder, ["tokenizer.json", "embed.bin", *(f"ort/{name}" for name in os.listdir(folder / "ort"))]
    )
    with pytest.raises(FileExistsError):
        bundle_module.write_manifest(folder, manifest)


def test_hashing_stops_when_the_listener_stops(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(64 << 20))
    heard: list[int] = []

    def stop(label: str, done: int, total: int) -> None:
        assert (label, total) == ("hash", 64 << 20)
        heard.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sha256_by_path(tmp_path, {"big": 64 << 20}, stop)
    assert len(heard) == 1


def test_a_file_that_vanishes_while_hashing_ends_the_hashing(tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(b"x")
    with pytest.raises(FileNotFoundError):
        sha256_by_path(tmp_path, {"here": 1, "gone": 1})
