from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.bundle import read_manifest
from edge_runtime.errors import EdgeVLError
from edge_runtime.manifest import (
    MANIFEST_NAME,
    FileEntry,
    GraphEntry,
    Manifest,
    Port,
    ScalesEntry,
    TableEntry,
    TableType,
    bytes_from_manifest,
    path_fault,
)
from tests.edge_runtime.bundle_samples import OPSET, manifest_of, sample_entry, write_sample_files

HASH = "0f" * 32


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("bundle") / "b"
    return manifest_of(folder, write_sample_files(folder))


@pytest.fixture
def plain(manifest: Manifest) -> Any:
    return json.loads(bytes_from_manifest(manifest))


def manifest_from_bytes(text: bytes) -> Manifest:
    """As a bundle reads its own."""
    with TemporaryDirectory() as folder:
        (Path(folder) / MANIFEST_NAME).write_bytes(text)
        return read_manifest(Path(folder))[0]


def test_a_manifest_survives_the_way_to_text_and_back(manifest: Manifest) -> None:
    assert manifest_from_bytes(bytes_from_manifest(manifest)) == manifest


def test_two_exports_of_the_same_files_give_the_same_bytes(manifest: Manifest, tmp_path: Path) -> None:
    other = manifest_of(tmp_path / "b", [*reversed(write_sample_files(tmp_path / "b"))])
    assert bytes_from_manifest(other) == bytes_from_manifest(manifest)


@pytest.mark.parametrize(
    "path", ["a", "ort/decoder.onnx", "a.b-c_d+e/f", "LICENSE", "x/y/z/0", "_a", "a" * 200]
)  # fmt: skip
def test_plain_relative_paths_may_be_used(path: str) -> None:
    assert path_fault(path) == ""


@pytest.mark.parametrize(
    "path",
    [
        "", ".", "..", "/etc/passwd", "//a", "a/../b", "../a", "a/..", "./a", "a/./b", "a//b", "a/", "a\\b",
        "..\\a", "C:\\a", "C:a", "a\0b", "a\nb", "a\x7fb", "é", "e\u0301", "\ud800", "~/a", ".hidden", "a.",
        "a ", " a", "*/_ORT_MEM_ADDR_/*", "a" * 201, "a/" * 600 + "a",
    ],
)  # fmt: skip
def test_paths_that_may_mean_something_else_are_refused(path: str) -> None:
    assert path_fault(path)
    with pytest.raises(ValueError, match="path"):
        FileEntry(path, 0, HASH)


def refusal(manifest: Manifest, **changes: object) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        replace(manifest, **changes)  # type: ignore[arg-type]
    return str(caught.value)


def test_every_graph_must_be_listed_as_a_file(manifest: Manifest) -> None:
    files = tuple(entry for entry in manifest.files if entry.path != "ort/adaptor.onnx")
    assert refusal(manifest, files=files) == "graphs: 'ort/adaptor.onnx' is not listed in files"


def test_the_embedding_and_the_tokenizer_must_be_listed_as_files(manifest: Manifest) -> None:
    for path in ("embed.bin", "tokenizer.json"):
        files = tuple(entry for entry in manifest.files if entry.path != path)
        assert path in refusal(manifest, files=files)


def test_files_that_differ_in_case_only_are_one_file_twice(manifest: Manifest) -> None:
    files = (*manifest.files, FileEntry("TOKENIZER.json", 2, HASH))
    assert refusal(manifest, files=files) == "files: the path 'tokenizer.json' is there twice"


def test_the_manifest_cannot_list_itself() -> None:
    with pytest.raises(ValueError, match="cannot list itself"):
        FileEntry("edge-vl.json", 1, HASH)


def test_every_role_of_the_model_has_a_graph_in_every_dialect(manifest: Manifest) -> None:
    graphs = (*manifest.graphs, replace(sample_entry("decoder"), dialect="trt10"))
    assert refusal(manifest, graphs=graphs) == "graphs: dialect trt10 lacks adaptor, vision_low"


def test_a_role_that_the_model_has_not_is_refused(manifest: Manifest) -> None:
    graphs = (*manifest.graphs, replace(manifest.graphs[0], role="vision_high"))
    assert "has vision_high, which the model has not" in refusal(manifest, graphs=graphs)


def test_a_role_has_one_graph_in_a_dialect(manifest: Manifest) -> None:
    graphs = (*manifest.graphs, manifest.graphs[0])
    assert refusal(manifest, graphs=graphs) == "graphs: the role/dialect 'vision_low/ort' is there twice"


def test_a_manifest_without_graphs_is_refused(manifest: Manifest) -> None:
    assert refusal(manifest, graphs=()) == "graphs: there are none"


def test_the_embedding_fits_the_decoder_and_its_file(manifest: Manifest) -> None:
    assert "is not 64×8" in refusal(manifest, embedding=TableEntry("embed.bin", "float16", 65, 8))
    assert "needs 2048 bytes, its file has 1024" in refusal(
        manifest, embedding=TableEntry("embed.bin", "float32", 64, 8)
    )


def test_an_int8_table_needs_scales_and_a_float_table_has_none(manifest: Manifest) -> None:
    scales = ScalesEntry("embed.scales", "float16")
    assert table_refusal("int8", None) == "embedding: int8 rows need scales"
    assert table_refusal("float16", scales) == "embedding: float16 rows have no scales"
    table = TableEntry("embed.bin", "int8", 128, 8, scales)
    assert table.sizes == {"embed.bin": 1024, "embed.scales": 256}
    assert "is not 64×8" in refusal(manifest, embedding=table)
    table = TableEntry("embed.bin", "int8", 64, 8, scales)
    assert refusal(manifest, embedding=table) == "embedding: needs 512 bytes, its file has 1024"


def table_refusal(dtype: TableType, scales: ScalesEntry | None) -> str:
    with pytest.raises(ValueError, match="embedding") as caught:
        TableEntry("embed.bin", dtype, 64, 8, scales)
    return str(caught.value)


def test_the_context_fits_the_decoder(manifest: Manifest) -> None:
    assert refusal(manifest, max_context=129) == "max_context is more than the decoder's positions"
    assert refusal(manifest, max_context=0) == "Manifest.max_context must be positive"


@pytest.mark.parametrize("sha256", ["", HASH[:-1], HASH + "0", "0F" * 32, "g" * 64, HASH + "\n"])
def test_a_hash_is_64_hex_digits(sha256: str) -> None:
    with pytest.raises(ValueError, match="hex digits"):
        FileEntry("a", 1, sha256)


def test_a_size_is_not_negative() -> None:
    with pytest.raises(ValueError, match="negative"):
        FileEntry("a", -1, HASH)


def test_a_port_has_a_name_a_known_type_and_dimensions() -> None:
    for name, dtype, shape in (
        ("", "int64", (1,)),
        ("x", "int63", (1,)),
        ("x", "int64", (-1,)),
        ("x", "int64", ("",)),
    ):
        with pytest.raises(ValueError, match=r"."):
            Port(name, dtype, shape)


def test_the_embedding_is_not_a_graph() -> None:
    with pytest.raises(ValueError, match="a table, not a graph"):
        GraphEntry("embed", "ort", "fp32", "e.onnx", OPSET, (), ())


def test_a_newer_format_says_which_edge_vl_is_too_old(plain: dict[str, Any]) -> None:
    plain.update(format=2, novelty=1)
    plain["provenance"]["edge_vl_version"] = "0.9.1"
    with pytest.raises(EdgeVLError) as caught:
        manifest_from_bytes(json.dumps(plain).encode())
    error = caught.value
    assert error.code == "EVL-BUNDLE-FORMAT"
    assert error.what == "the bundle has format 2, written by edge-vl 0.9.1"
    assert error.why == "the edge-vl here is too old: it reads format 1"
    assert error.fix.startswith("install edge-vl 0.9.1 or newer")


@pytest.mark.parametrize("number", [0, -1, "1", 1.0, True, None])
def test_a_format_that_never_was_is_a_broken_manifest(plain: dict[str, Any], number: object) -> None:
    with pytest.raises(EdgeVLError, match="EVL-BUNDLE-MANIFEST"):
        manifest_from_bytes(json.dumps({**plain, "format": number}).encode())


def test_quality_figures_are_optional_and_numbers(plain: dict[str, Any]) -> None:
    plain["quality"] = {"accuracy": 0.5}
    assert manifest_from_bytes(json.dumps(plain).encode()).quality == {"accuracy": 0.5}
    plain["quality"] = {"accuracy": "good"}
    with pytest.raises(EdgeVLError, match=r"quality\.accuracy: must be a finite number"):
        manifest_from_bytes(json.dumps(plain).encode())


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_manifests_are_refused_by_name_or_read(manifest: Manifest, data: st.DataObject) -> None:
    text = bytearray(bytes_from_manifest(manifest))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text) - 1))
        text[start : start + data.draw(st.integers(0, 40))] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b"null", b"-1", b"{}", b'"', b"99999999999999999999"])
        )
    try:
        outcome: Manifest | EdgeVLError = manifest_from_bytes(bytes(text))
    except EdgeVLError as error:
        outcome = error
    if isinstance(outcome, EdgeVLError):
        assert outcome.code in ("EVL-BUNDLE-MANIFEST", "EVL-BUNDLE-FORMAT")
    else:
        assert manifest_from_bytes(bytes_from_manifest(outcome)) == outcome
