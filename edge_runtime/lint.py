"""A graph against the grammar of its dialect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import prod

from edge_runtime.bundle import check_operators
from edge_runtime.dialects import Grammar, Precision, grammar_named
from edge_runtime.errors import EdgeVLError, listed
from edge_runtime.manifest import PAST, PRESENT, GraphEntry
from edge_runtime.onnxfile import Node, OnnxFile, Tensor
from edge_runtime.onnxreader import graph_error
from edge_runtime.spec import DecoderSpec

QUANTISERS = ("QuantizeLinear", "DequantizeLinear")
FOUR_BITS = "int4"
SIGNED = ("int8", FOUR_BITS)
KINDS, RANK = ("key", "value"), 4  # of a decoder's caches
MASKED_ATTENTION = 4  # query, key, value, mask
TYPES: dict[Precision, str] = {"fp32": "float32", "fp16": "float16", "int8": "int8", "int4": FOUR_BITS}
FLOATS = ("float32", "float16")
REFUSED_ATTRIBUTES = {"Attention": ("softcap",), "Resize": ("antialias",)}


def check_caches(entry: GraphEntry, decoder: DecoderSpec) -> None:
    """A decoder takes and gives keys and values for each layer of the spec, all alike, as many and as wide as its heads."""
    for prefix, ports in ((PAST, entry.inputs), (PRESENT, entry.outputs)):
        caches = {port.name: port for port in ports if port.name.startswith(prefix)}
        wanted = {f"{prefix}{layer}.{kind}" for layer in range(decoder.layers) for kind in KINDS}
        if strange := sorted(wanted ^ set(caches)):
            why = f"for the {decoder.layers} layers of the manifest it lacks, or has beside them, {listed(strange)}"
            raise graph_error(entry.path, why)
        first, heads = caches[f"{prefix}0.{KINDS[0]}"], (decoder.kv_heads, decoder.head_dim)
        for name, port in caches.items():
            if (port.dtype, port.shape) != (first.dtype, first.shape):
                raise graph_error(entry.path, f"its {name} is not as its {first.name}")
            if len(port.shape) != RANK or (port.shape[1], port.shape[3]) != heads:
                why = f"its {name} is {list(port.shape)}, the manifest says {heads[0]} heads of {heads[1]}"
                raise graph_error(entry.path, why)


def check_precision(onnx_file: OnnxFile, entry: GraphEntry) -> None:
    """What is said of a graph's weights is so of most of them: integers of that many bits, or floats. Tables of positions and
    what cannot be quantised are floats in any graph; fp16 may all lie in fp32 islands."""
    counts = Counter[str]()
    for tensor in onnx_file.tensors:
        if len(tensor.dims) > 1:
            counts[tensor.dtype] += prod(tensor.dims)
    most = max(counts[dtype] for dtype in SIGNED)
    wanted = TYPES[entry.precision]
    if wanted in SIGNED:
        is_so = counts[wanted] >= most > 0
    else:
        is_there = counts[wanted] > 0 or (bool(entry.fp32_islands) and counts["float32"] > 0)
        is_so = is_there and sum(counts[dtype] for dtype in FLOATS) >= most
    if not is_so:
        found = [f"{counts[dtype]} of {precision}" for precision, dtype in TYPES.items() if counts[dtype]]
        why = f"its weights are not of {entry.precision}, as the manifest says: {listed(found) or 'there are none'}"
        raise graph_error(entry.path, why)


def check_grammar(onnx_file: OnnxFile, entry: GraphEntry) -> None:
    """Opset, operators and rounding are those the dialect's engines understand, or an EdgeVLError names what is not."""
    grammar = grammar_named(entry.dialect)
    check_opset(onnx_file, entry, grammar)
    check_operators(onnx_file, grammar.operators, entry.path)
    if not grammar.is_symmetric:
        return
    stored = {tensor.name: tensor for tensor in onnx_file.initializers}
    for node in onnx_file.nodes:
        fault = rounding_fault(node, stored) if node.op_type in QUANTISERS else refused_use(node)
        if fault:
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


def rounding_fault(node: Node, stored: Mapping[str, Tensor]) -> str:
    """What an engine that rounds around zero cannot read in a Q or DQ; empty where it can."""
    packed, scale, zero = (*node.inputs, "", "", "")[:3]
    if node.attributes.get("output_dtype"):
        return "names its type instead of having a zero point"
    if scale not in stored:
        return "computes its scale"
    if packed in stored and stored[packed].dtype not in SIGNED:
        return f"unpacks {stored[packed].dtype}, which is no signed type"
    if node.attributes.get("block_size") and (packed not in stored or stored[packed].dtype != FOUR_BITS):
        return "has blocks without being of 4 bits"
    if not zero:
        return "has no zero point, and so rounds to uint8" if node.op_type == "QuantizeLinear" else ""
    return zero_point_fault(zero, stored)


def zero_point_fault(name: str, stored: Mapping[str, Tensor]) -> str:
    if name not in stored:
        return "computes its zero point"
    if stored[name].dtype not in SIGNED:
        return f"has a zero point of type {stored[name].dtype}, which is no signed one"
    return "" if stored[name].is_zero else "has a zero point that is not seen to be zero"


def refused_use(node: Node) -> str:
    """What TensorRT's parser does not take in an operator that it knows; empty where nothing is the matter."""
    if node.op_type == "Attention" and any(node.inputs[MASKED_ATTENTION:]):
        return "has a cache of its own"
    said = [name for name in REFUSED_ATTRIBUTES.get(node.op_type, ()) if node.attributes.get(name)]
    return f"says {said[0]}" if said else ""
