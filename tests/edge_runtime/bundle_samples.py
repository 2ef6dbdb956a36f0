"""A tiny SigLIP-only bundle whose graphs only add: enough for everything that reads bundles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from edge_runtime.bundle import file_entries, write_manifest
from edge_runtime.manifest import GraphEntry, Manifest, Port, Provenance, TableEntry
from edge_runtime.spec import (
    AdaptorSpec,
    DecoderSpec,
    ModelSpec,
    PixelSpec,
    PreprocessSpec,
    PromptSpec,
    Role,
    SiglipSpec,
)

OPSET = 20
WIDTH = 8
ROLES: tuple[Role, ...] = ("vision_low", "adaptor", "decoder")


def sample_spec() -> ModelSpec:
    half = (0.5, 0.5, 0.5)
    return ModelSpec(
        family="deepseek_vl",
        low=SiglipSpec(32, 16, WIDTH, 2, 2, 16, 1e-6, "gelu"),
        high=None,
        adaptor=AdaptorSpec("mlp_gelu", 2, WIDTH, 0, WIDTH),
        decoder=DecoderSpec(WIDTH, 2, 2, 2, 4, 16, 64, 128, 10000.0, 1e-6, is_tied=False),
        preprocess=PreprocessSpec(PixelSpec(32, half, half), None, (127, 127, 127), 14),
        prompt=PromptSpec("", "User", "Assistant", "\n\n", "</s>", ("User:",), "<image>", 5, 1, 2),
    )


def sample_provenance() -> Provenance:
    return Provenance("0.1.0", "deepseek_vl", "ab" * 32, "2.13.0", "1.23.2")


def sample_model(role: str) -> onnx.ModelProto:
    """y = x + bias, the bias 4 KiB into `ROLE.data`."""
    bias = TensorProto(name="bias", data_type=TensorProto.FLOAT, dims=[WIDTH])
    bias.data_location = TensorProto.EXTERNAL
    for key, value in {"location": f"{role}.data", "offset": "4096", "length": str(4 * WIDTH)}.items():
        bias.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "bias"], ["y"], name="add")],
        role,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", WIDTH])],
        [bias],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def sample_entry(role: Role) -> GraphEntry:
    ports = [(Port(name, "float32", ("batch", WIDTH)),) for name in ("x", "y")]
    return GraphEntry(role, "ort", "fp32", f"ort/{role}.onnx", OPSET, ports[0], ports[1])


# The smallest that is one: byte-level, and it can spell next to nothing.
TOKENIZER = json.dumps(
    {
        "version": "1.0",
        "pre_tokenizer": {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": True,
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []},
    }
)


def write_sample_files(folder: Path) -> list[str]:
    (folder / "ort").mkdir(parents=True)
    for role in ROLES:
        bias = np.arange(WIDTH, dtype="<f4")
        (folder / f"ort/{role}.data").write_bytes(bytes(4096) + bias.tobytes())
        (folder / f"ort/{role}.onnx").write_bytes(sample_model(role).SerializeToString())
    (folder / "tokenizer.json").write_text(TOKENIZER)
    np.arange(64 * WIDTH, dtype="<f2").tofile(folder / "embed.bin")
    graphs = [f"ort/{role}.{suffix}" for role in ROLES for suffix in ("onnx", "data")]
    return [*graphs, "tokenizer.json", "embed.bin"]


def manifest_of(folder: Path, paths: list[str]) -> Manifest:
    return Manifest(
        format=1,
        spec=sample_spec(),
        max_context=128,
        graphs=tuple(sample_entry(role) for role in ROLES),
        embedding=TableEntry("embed.bin", "float16", 64, WIDTH),
        files=file_entries(folder, paths),
        provenance=sample_provenance(),
    )


def write_sample_bundle(folder: Path) -> Manifest:
    manifest = manifest_of(folder, write_sample_files(folder))
    write_manifest(folder, manifest)
    return manifest


def seal_again(folder: Path) -> None:
    """The manifest of a forger, who can compute hashes too."""
    (folder / "edge-vl.json").unlink()
    paths = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    write_manifest(folder, manifest_of(folder, paths))
