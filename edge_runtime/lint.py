"""A graph against the grammar of its dialect."""

from __future__ import annotations

from edge_runtime.bundle import check_operators
from edge_runtime.dialects import grammar_named
from edge_runtime.errors import EdgeVLError
from edge_runtime.manifest import GraphEntry
from edge_runtime.onnxfile import OnnxFile


def check_grammar(onnx_file: OnnxFile, entry: GraphEntry) -> None:
    """Opset and operators are those the dialect's engines understand, or an EdgeVLError names what is not."""
    grammar = grammar_named(entry.dialect)
    if entry.opset > grammar.newest:
        raise EdgeVLError(
            "EVL-BUNDLE-OPSET",
            f"{entry.path} is newer than its dialect allows",
            f"got opset {entry.opset}, {entry.dialect} goes up to {grammar.newest}",
            "export the bundle again with this edge-vl",
        )
    check_operators(onnx_file, grammar.operators, entry.path)
