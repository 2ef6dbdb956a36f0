"""A graph against the grammar of its dialect."""

from __future__ import annotations

from collections.abc import Mapping

from edge_runtime.bundle import check_operators
from edge_runtime.dialects import Grammar, grammar_named
from edge_runtime.errors import EdgeVLError
from edge_runtime.manifest import GraphEntry
from edge_runtime.onnxfile import Node, OnnxFile
from edge_runtime.onnxreader import graph_error

QUANTISERS = ("QuantizeLinear", "DequantizeLinear")
FOUR_BITS = "int4"
SIGNED = ("int8", FOUR_BITS)


def check_grammar(onnx_file: OnnxFile, entry: GraphEntry) -> None:
    """Opset, operators and rounding are those the dialect's engines understand, or an EdgeVLError names what is not."""
    grammar = grammar_named(entry.dialect)
    check_opset(onnx_file, entry, grammar)
    check_operators(onnx_file, grammar.operators, entry.path)
    if not grammar.is_symmetric:
        return
    dtypes = {tensor.name: tensor.dtype for tensor in onnx_file.initializers}
    for node in onnx_file.nodes:
        if node.op_type in QUANTISERS and (fault := rounding_fault(node, dtypes)):
            raise graph_error(entry.path, f"{node.op_type} (node {node.name!r}) {fault}")


def check_opset(onnx_file: OnnxFile, entry: GraphEntry, grammar: Grammar) -> None:
    has_four_bits = any(tensor.dtype == FOUR_BITS for tensor in onnx_file.tensors)
    newest = grammar.newest if has_four_bits else grammar.opset
    if entry.opset > newest:
        weights = "with" if has_four_bits else "without"
        raise EdgeVLError(
            "EVL-BUNDLE-OPSET",
            f"{entry.path} is newer than its dialect allows",
            f"got opset {entry.opset}, {entry.dialect} goes up to {newest} {weights} 4-bit weights",
            "export the bundle again with this edge-vl",
        )


def rounding_fault(node: Node, dtypes: Mapping[str, str]) -> str:
    """What an engine that rounds around zero cannot read in a Q or DQ; empty where it can."""
    zero = node.inputs[2] if len(node.inputs) > 2 else ""
    if node.attributes.get("output_dtype"):
        return "names its type instead of having a zero point"
    if zero and zero not in dtypes:
        return "computes its zero point"
    if zero and dtypes[zero] not in SIGNED:
        return f"has a zero point of type {dtypes[zero]}, which is no signed one"
    if not zero and node.op_type == "QuantizeLinear":
        return "has no zero point, and so rounds to uint8"
    return ""
