"""A bundle that is not what its manifest says is refused when it is opened, before any engine sees it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest

from tests.edge_vl.command import Ran, assert_refused, assert_told, ran

MANIFEST = "edge-vl.json"
GRAPH = "graphs/ort/decoder.onnx"
WEIGHTS = "graphs/ort/decoder.data"


def asked(bundle: Path, *more: str) -> Ran:
    return ran("run", bundle, "--prompt", "hi", "--max-tokens", "2", *more)


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def remanifested(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = bundle / MANIFEST
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def reseal(bundle: Path, name: str) -> None:
    """The manifest agrees with a changed file again, so that only what the file says can betray it."""
    data = (bundle / name).read_bytes()

    def sign(manifest: dict[str, Any]) -> None:
        (entry,) = [each for each in manifest["files"] if each["path"] == name]
        entry.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())

    remanifested(bundle, sign)


def relocated(bundle: Path, location: str) -> None:
    """Every weight of the decoder's graph now says that it lies at `location`."""
    path = bundle / GRAPH
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())
    reseal(bundle, GRAPH)


def respelt(bundle: Path, change: Callable[[onnx.GraphProto], object]) -> None:
    path = bundle / GRAPH
    model = onnx.load(path, load_external_data=False)
    change(model.graph)
    path.write_bytes(model.SerializeToString())
    reseal(bundle, GRAPH)


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which graphs ONNX Runtime was asked to open."""
    opened: list[str] = []
    original = onnxruntime.InferenceSession

    def opening(path: str, *arguments: Any, **more: Any) -> Any:
        opened.append(path)
        return original(path, *arguments, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", opening)
    return opened


def test_a_sound_bundle_is_opened_by_the_same_words(own_bundle: Path, sessions: list[str]) -> None:
    assert asked(own_bundle).status == 0
    assert str(own_bundle / GRAPH) in sessions


@pytest.mark.parametrize("name", [WEIGHTS, "graphs/ort/vision_low.data", "embed.bin", "tokenizer.json"])
def test_a_flipped_bit_is_refused(name: str, own_bundle: Path, sessions: list[str]) -> None:
    flip_a_bit(own_bundle / name)
    result = asked(own_bundle)
    assert_refused(result, "EVL-BUNDLE-HASH")
    assert name in result.err
    assert sessions == []


def test_a_flipped_bit_is_a_failed_check_of_verify(own_bundle: Path) -> None:
    flip_a_bit(own_bundle / WEIGHTS)
    assert_told(ran("verify", own_bundle), 1, "EVL-BUNDLE-HASH")


def test_a_file_cut_short_is_refused_even_where_hashes_are_not_looked_at(own_bundle: Path) -> None:
    os.truncate(own_bundle / WEIGHTS, 100)
    assert_refused(asked(own_bundle, "--trust-bundle"), "EVL-BUNDLE-SIZE")


@pytest.mark.parametrize("trust", [(), ("--trust-bundle",)])
@pytest.mark.parametrize("location", ["../../../outside.data", "../../outside.data", "ABSOLUTE"])
def test_weights_that_lie_outside_are_refused_before_any_session(
    location: str, trust: tuple[str, ...], own_bundle: Path, tmp_path: Path, sessions: list[str]
) -> None:
    for place in (tmp_path, own_bundle):  # the second lies inside the bundle, and is not in its manifest
        shutil.copy(own_bundle / WEIGHTS, place / "outside.data")
    relocated(own_bundle, location.replace("ABSOLUTE", str(tmp_path / "outside.data")))
    result = asked(own_bundle, *trust)
    assert_refused(result, "EVL-BUNDLE-EXTERNAL")
    assert sessions == []


def test_weights_beside_the_graph_that_nobody_listed_are_refused(
    own_bundle: Path, sessions: list[str]
) -> None:
    shutil.copy(own_bundle / WEIGHTS, own_bundle / "graphs/ort/stray.data")
    relocated(own_bundle, "stray.data")
    assert_refused(asked(own_bundle), "EVL-BUNDLE-EXTERNAL")
    assert sessions == []


@pytest.mark.parametrize("trust", [(), ("--trust-bundle",)])
@pytest.mark.parametrize("name", [WEIGHTS, GRAPH, "embed.bin"])
def test_a_link_to_the_same_bytes_elsewhere_is_refused(
    name: str, trust: tuple[str, ...], own_bundle: Path, tmp_path: Path, sessions: list[str]
) -> None:
    outside = tmp_path / "outside"
    (own_bundle / name).rename(outside)
    (own_bundle / name).symlink_to(outside)
    assert_refused(asked(own_bundle, *trust), "EVL-BUNDLE-EXTERNAL")
    assert sessions == []


def test_a_linked_folder_inside_the_bundle_is_refused(own_bundle: Path, tmp_path: Path) -> None:
    (own_bundle / "graphs").rename(tmp_path / "graphs")
    (own_bundle / "graphs").symlink_to(tmp_path / "graphs")
    assert_refused(asked(own_bundle), "EVL-BUNDLE-EXTERNAL")


def test_a_link_to_a_whole_bundle_is_no_fault(own_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(own_bundle)
    assert asked(tmp_path / "link").status == 0


@pytest.mark.parametrize("name", [WEIGHTS, GRAPH, "embed.bin", "tokenizer.json"])
def test_a_missing_file_is_named(name: str, own_bundle: Path) -> None:
    (own_bundle / name).unlink()
    result = asked(own_bundle)
    assert_refused(result, "EVL-BUNDLE-MISSING")
    assert name in result.err


def test_a_manifest_with_an_unknown_key_is_refused(own_bundle: Path) -> None:
    remanifested(own_bundle, lambda manifest: manifest.update(surprise=1))
    result = asked(own_bundle)
    assert_refused(result, "EVL-BUNDLE-MANIFEST")
    assert "surprise" in result.err


def test_a_manifest_that_is_no_json_is_refused(own_bundle: Path) -> None:
    (own_bundle / MANIFEST).write_bytes(b"\xff{")
    assert_refused(asked(own_bundle), "EVL-BUNDLE-MANIFEST")


def test_a_newer_format_says_which_edge_vl_to_get(own_bundle: Path) -> None:
    remanifested(own_bundle, lambda manifest: manifest.update(format=99))
    result = asked(own_bundle)
    assert_refused(result, "EVL-BUNDLE-FORMAT")
    assert "install edge-vl" in result.err
    assert_refused(ran("verify", own_bundle), "EVL-BUNDLE-FORMAT")


@pytest.mark.parametrize("verb", [("run", "--prompt", "hi"), ("chat",), ("verify",)])
def test_a_checkpoint_given_as_bundle_is_told_apart(verb: tuple[str, ...], checkpoint: Path) -> None:
    result = ran(verb[0], checkpoint, *verb[1:])
    assert_refused(result, "EVL-BUNDLE-IS-CHECKPOINT")
    assert f"edge-vl export {checkpoint} BUNDLE" in result.err


def test_a_command_that_is_suggested_can_be_pasted_though_a_name_holds_blanks(
    own_checkpoint: Path, tmp_path: Path
) -> None:
    odd = own_checkpoint.rename(tmp_path / "it's my  model")
    err = ran("run", odd, "--prompt", "hi").err
    (command,) = re.findall("`(.*)`", err)
    assert shlex.split(command) == ["edge-vl", "export", str(odd), "BUNDLE"]


def test_a_command_that_is_suggested_can_be_pasted_though_a_name_begins_with_a_dash(
    own_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_checkpoint.rename(own_checkpoint.with_name("-odd"))
    monkeypatch.chdir(own_checkpoint.parent)
    err = ran("run", "--prompt", "hi", "--", "-odd").err
    (command,) = re.findall("`(.*)`", err)
    assert shlex.split(command) == ["edge-vl", "export", "./-odd", "BUNDLE"]


@pytest.mark.parametrize("path", ["nowhere", "file", "a\0b", "x" * 5000])
def test_what_is_no_folder_is_no_bundle(path: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert_refused(asked(tmp_path / path), "EVL-BUNDLE-MISSING")


def test_verify_refuses_a_missing_folder_as_a_mistake_and_not_as_a_failed_check(tmp_path: Path) -> None:
    assert_refused(ran("verify", tmp_path / "nowhere"), "EVL-BUNDLE-MISSING")


@pytest.mark.parametrize(
    ("against", "code"), [("nowhere", "EVL-CHECKPOINT-FOLDER"), ("BUNDLE", "EVL-CHECKPOINT-IS-BUNDLE")]
)
def test_verify_against_no_checkpoint_is_refused(
    against: str, code: str, bundle: Path, tmp_path: Path
) -> None:
    place = bundle if against == "BUNDLE" else tmp_path / against
    assert_refused(ran("verify", bundle, "--against", place), code)


def test_an_operator_that_the_dialect_lacks_is_refused_before_any_session(
    own_bundle: Path, sessions: list[str]
) -> None:
    respelt(own_bundle, lambda graph: setattr(graph.node[0], "domain", "my.domain"))
    assert_refused(asked(own_bundle, "--trust-bundle"), "EVL-BUNDLE-GRAPH")
    assert sessions == []
    assert_told(ran("verify", own_bundle, "--trust-bundle"), 1, "EVL-BUNDLE-GRAPH")


@pytest.mark.parametrize(
    "change", ["a name that nothing has", "no nodes", "an output twice", "swapped sizes"]
)
def test_a_graph_that_no_session_opens_fails_the_check_of_verify(change: str, own_bundle: Path) -> None:
    def spoil(graph: onnx.GraphProto) -> None:
        if change == "a name that nothing has":
            graph.node[0].input[0] = "nothing"
        elif change == "no nodes":
            del graph.node[:]
        elif change == "an output twice":
            graph.node[1].output[0] = graph.node[0].output[0]
        else:
            weight = next(each for each in graph.initializer if len(set(each.dims)) == 2)
            weight.dims[:] = weight.dims[::-1]

    respelt(own_bundle, spoil)
    assert_told(ran("verify", own_bundle, "--trust-bundle"), 1, "EVL-BUNDLE-GRAPH")


def test_a_tokenizer_that_is_none_fails_the_check_of_verify(own_bundle: Path) -> None:
    (own_bundle / "tokenizer.json").write_text("{}")
    reseal(own_bundle, "tokenizer.json")
    assert_told(ran("verify", own_bundle, "--trust-bundle"), 1, "EVL-TOKENIZER-INVALID")


def test_an_image_token_that_the_tokenizer_does_not_have_fails_the_check_of_verify(own_bundle: Path) -> None:
    remanifested(own_bundle, lambda manifest: manifest["spec"]["prompt"].update(image_id=7))
    assert_told(ran("verify", own_bundle, "--trust-bundle"), 1, "EVL-PROMPT-TOKENS")


@pytest.mark.parametrize(("key", "by"), [("layers", -1), ("layers", 1), ("kv_heads", 2), ("head_dim", 2)])
def test_a_decoder_with_other_caches_than_the_manifest_says_fails_the_check_of_verify(
    key: str, by: int, own_bundle: Path
) -> None:
    def change(manifest: dict[str, Any]) -> None:
        decoder = manifest["spec"]["decoder"]
        decoder[key] = decoder[key] + by if by in (-1, 1) else decoder[key] * by
        if key == "kv_heads":
            decoder["heads"] *= by

    remanifested(own_bundle, change)
    assert_told(ran("verify", own_bundle, "--trust-bundle"), 1, "EVL-BUNDLE-GRAPH")
