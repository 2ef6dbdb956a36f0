"""What makes an engine another engine, and how it is said."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from edge_runtime.bundle import Bundle
from edge_runtime.engines.key import FLAGS, EngineKey, digest_of_graph
from edge_runtime.engines.place import Gpu, Place
from edge_runtime.manifest import Manifest
from edge_runtime.record import json_from_record, record_from_json
from edge_runtime.spec import Role
from tests.edge_runtime.bundle_samples import seal_again, write_sample_bundle

ORIN = Gpu("Orin", "sm87", "12.6")
PLACE = Place("tensorrt", "10.3.0", ORIN)
KEY = EngineKey(
    "decoder.decode", "decoder", "trt10", "ab" * 32, "decode: x (1, 8)", 8, 1, "strongly typed", PLACE
)

Change = Mapping[str, object]
# What can differ, in the order in which it is told.
DIFFERENCES: list[tuple[Change, str]] = [
    ({"name": "decoder.prefill"}, "it is the engine decoder.prefill"),
    ({"role": "adaptor"}, "it is the engine decoder.decode"),
    ({"dialect": "trt"}, "it was built from the trt graph"),
    (
        {"place": Place("tensorrt", "10.7.0", ORIN)},
        "it was built by TensorRT 10.7.0, here is TensorRT 10.3.0",
    ),
    (
        {"place": Place("tensorrt-rtx", "10.3.0", ORIN)},
        "it was built by TensorRT-RTX 10.3.0, here is TensorRT 10.3.0",
    ),
    (
        {"place": Place("tensorrt", "10.3.0", Gpu("Thor", "sm87", "12.6"))},
        "it was built for Thor (sm87, CUDA 12.6), here is Orin (sm87, CUDA 12.6)",
    ),
    (
        {"place": Place("tensorrt", "10.3.0", Gpu("Orin", "sm110", "12.6"))},
        "it was built for Orin (sm110, CUDA 12.6), here is Orin (sm87, CUDA 12.6)",
    ),
    (
        {"place": Place("tensorrt", "10.3.0", Gpu("Orin", "sm87", "13.0"))},
        "it was built for Orin (sm87, CUDA 13.0), here is Orin (sm87, CUDA 12.6)",
    ),
    (
        {"place": Place("tensorrt", "10.3.0", Gpu("Orin", "sm87", "12.6", 16))},
        "it was built for Orin (sm87, 16 multiprocessors, CUDA 12.6), here is Orin (sm87, CUDA 12.6)",
    ),
    (
        {"place": Place("tensorrt", "10.3.0", Gpu("Orin", "sm87", "12.6", shared_gib=8))},
        "it was built for Orin (sm87, 8 GiB shared, CUDA 12.6), here is Orin (sm87, CUDA 12.6)",
    ),
    (
        {"place": Place("tensorrt", "10.3.0", None)},
        "it was built for any GPU, here is Orin (sm87, CUDA 12.6)",
    ),
    ({"graph_sha256": "cd" * 32}, "it was built from another graph, or other weights"),
    ({"context": 16}, "it was built for 16 tokens"),
    ({"longest": 2}, "it takes 2 tokens at once"),
    ({"shapes": "decode: x (2, 8)"}, "it was built for other shapes"),
    ({"flags": "weakly typed"}, "it was built with weakly typed"),
]


def changed(key: EngineKey, change: Change) -> EngineKey:
    return record_from_json(EngineKey, json_from_record(key) | dict(json_from_change(change)))


def json_from_change(change: Change) -> dict[str, object]:
    return {
        name: json_from_record(value) if isinstance(value, Place) else value for name, value in change.items()
    }


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    write_sample_bundle(tmp_path / "bundle")
    return Bundle.open(tmp_path / "bundle")


def digests(bundle: Bundle) -> dict[Role, str]:
    return {entry.role: digest_of_graph(bundle, entry) for entry in bundle.manifest.graphs}


def changed_roles(bundle: Bundle, path: str, data: bytes) -> list[Role]:
    """Whose digests change when a file does, and the manifest with it."""
    before = digests(bundle)
    (bundle.folder / path).write_bytes(data)
    seal_again(bundle.folder)
    after = digests(Bundle.open(bundle.folder))
    return [role for role, digest in after.items() if digest != before[role]]


def test_every_field_is_among_the_differences() -> None:
    told = {name for change, _ in DIFFERENCES for name in change}
    assert told == {field.name for field in dataclasses.fields(EngineKey)}
    places = [change["place"] for change, _ in DIFFERENCES if "place" in change]
    gpus = [place.gpu for place in places if isinstance(place, Place) and place.gpu]
    for whole, others in ((PLACE, places), (ORIN, gpus)):
        for field in dataclasses.fields(whole):
            assert {getattr(other, field.name) for other in others} > {getattr(whole, field.name)}, field.name


@pytest.mark.parametrize(("change", "words"), DIFFERENCES)
def test_another_key_is_another_folder_and_says_why(change: Change, words: str) -> None:
    other = changed(KEY, change)
    assert other.digest != KEY.digest
    assert other.folder != KEY.folder
    assert KEY.strangeness(other) == words


def test_no_two_of_them_are_one() -> None:
    keys = [KEY, *(changed(KEY, change) for change, _ in DIFFERENCES)]
    assert len({key.digest for key in keys}) == len(keys)
    assert len({key.folder for key in keys}) == len(keys)


def test_the_same_key_is_the_same_folder_and_no_stranger() -> None:
    same = changed(KEY, {})
    assert (same.folder, KEY.strangeness(same)) == (KEY.folder, "")


def test_a_digest_stays_what_it_was() -> None:
    # With another one, every engine that was ever built would have to be built again.
    assert KEY.folder == "decoder.decode-2743d14db20f71ef"
    place = dataclasses.replace(PLACE, gpu=Gpu("Orin", "sm87", "12.6", 8, 8))
    assert dataclasses.replace(KEY, place=place).folder == "decoder.decode-f9e44cee4518fcfc"


@pytest.mark.parametrize(
    "board", [Gpu("Orin", "sm87", "12.6", 16, 64), Gpu("Orin", "sm87", "12.6", 8, 16), ORIN]
)
def test_an_engine_of_another_board_of_the_family_is_not_taken(board: Gpu) -> None:
    # The last of them is from before boards were told apart.
    here = dataclasses.replace(PLACE, gpu=Gpu("Orin", "sm87", "12.6", 8, 8))
    assert here.takes(here)
    assert not here.takes(dataclasses.replace(PLACE, gpu=board))


def test_an_engine_that_is_built_as_they_are_now_is_not_old() -> None:
    assert dataclasses.replace(KEY, flags=FLAGS).oldness == ""
    assert KEY.oldness == f"was built with 'strongly typed', this edge-vl builds with '{FLAGS}'"
    assert dataclasses.replace(KEY, flags="").oldness.startswith("was built with 'no flags'")


@pytest.mark.parametrize("first", range(len(DIFFERENCES) - 1))
def test_of_several_differences_the_first_is_told(first: int) -> None:
    change, words = DIFFERENCES[first]
    later = next(each for each, _ in DIFFERENCES[first + 1 :] if not set(each) & set(change))
    assert KEY.strangeness(changed(changed(KEY, later), change)) == words


def test_without_flags_it_says_so() -> None:
    assert KEY.strangeness(dataclasses.replace(KEY, flags="")) == "it was built with no flags"


def test_names_that_read_alike_are_still_two_gpus() -> None:
    one, other = Gpu("A", "sm87, CUDA 1) (sm90", "2"), Gpu("A (sm87, CUDA 1)", "sm90", "2")
    keys = [dataclasses.replace(KEY, place=dataclasses.replace(PLACE, gpu=gpu)) for gpu in (one, other)]
    assert keys[0].place.target == keys[1].place.target
    assert keys[0].strangeness(keys[1]) != ""


@pytest.mark.parametrize("name", ["", "a/b", "..", "../decoder", "/decoder", "decoder*", "a b", ".decoder"])
def test_a_name_that_leaves_the_shelf_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="path"):
        dataclasses.replace(KEY, name=name)


@pytest.mark.parametrize("digest", ["", "ab", "AB" * 32, "ab" * 33, "xy" * 32])
def test_what_is_no_sha256_is_refused(digest: str) -> None:
    with pytest.raises(ValueError, match="64 hex digits"):
        dataclasses.replace(KEY, graph_sha256=digest)


def test_a_digest_of_a_graph_is_one(bundle: Bundle) -> None:
    found = digests(bundle)
    assert len(set(found.values())) == len(bundle.manifest.graphs) == 3
    assert all(dataclasses.replace(KEY, graph_sha256=digest) for digest in found.values())
    assert digests(Bundle.open(bundle.folder)) == found


def test_other_weights_are_another_graph_of_that_role_alone(bundle: Bundle) -> None:
    size = bundle.manifest.sizes["ort/decoder.data"]
    assert changed_roles(bundle, "ort/decoder.data", bytes(size)) == ["decoder"]


def test_another_graph_with_the_same_weights_is_another_one(bundle: Bundle) -> None:
    graph = (bundle.folder / "ort/decoder.onnx").read_bytes()
    renamed = graph.replace(b"add", b"sum")
    assert renamed != graph
    assert changed_roles(bundle, "ort/decoder.onnx", renamed) == ["decoder"]


def test_what_no_graph_holds_changes_none(bundle: Bundle) -> None:
    assert changed_roles(bundle, "tokenizer.json", b'{"a": 1}') == []


def test_the_manifest_alone_is_believed(bundle: Bundle) -> None:
    entries = [
        dataclasses.replace(each, sha256="00" * 32) if each.path == "ort/adaptor.data" else each
        for each in bundle.manifest.files
    ]
    manifest: Manifest = dataclasses.replace(bundle.manifest, files=tuple(entries))
    before, after = digests(bundle), digests(dataclasses.replace(bundle, manifest=manifest))
    assert [role for role in after if after[role] != before[role]] == ["adaptor"]
