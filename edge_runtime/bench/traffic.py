"""What a decoder must read for one token: all its weights, and the KV cache as far as it is filled."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.bundle import Bundle
from edge_runtime.manifest import DTYPE_BITS, PAST
from edge_runtime.onnxfile import OnnxFile
from edge_runtime.spec import DecoderSpec, check_positive

# Inputs that lend single rows to a step, by operator and place.
ROWS_ONLY = {
    ("Gather", 0),
    ("com.microsoft::GroupQueryAttention", 7),
    ("com.microsoft::GroupQueryAttention", 8),
}
# ONNX Runtime's CPU kernels have no fp16 matrix product: such weights are widened once, when a session
# opens, and it is the wide ones that every token reads.
WIDENED_BY_CPU = {"float16": 4}


@dataclass(frozen=True)
class Traffic:
    weight_bytes: int
    kv_bytes_per_position: int

    def __post_init__(self) -> None:
        check_positive(self, "weight_bytes", "kv_bytes_per_position")

    def bytes_at(self, context: int) -> int:
        """Read to decode the token that makes the context this long."""
        return self.weight_bytes + context * self.kv_bytes_per_position


def traffic_of(bundle: Bundle) -> Traffic:
    """Of the bundle's decoder under ONNX Runtime on the CPU."""
    entry = bundle.graph("decoder", "ort")
    caches = {port.dtype for port in entry.inputs if port.name.startswith(PAST)}
    assert len(caches) == 1, f"a decoder's caches have one type, not {caches}"
    kv = kv_bytes_per_position(bundle.spec.decoder, DTYPE_BITS[caches.pop()] // 8)
    return Traffic(weight_bytes_of(bundle.onnx_file(entry)), kv)


def weight_bytes_of(decoder: OnnxFile) -> int:
    whole = {
        name
        for node in decoder.nodes
        for place, name in enumerate(node.inputs)
        if (node.operator, place) not in ROWS_ONLY
    }
    read = [tensor for tensor in decoder.initializers if tensor.name in whole]
    return sum(
        tensor.nbytes * 8 // DTYPE_BITS[tensor.dtype] * WIDENED_BY_CPU[tensor.dtype]
        if tensor.dtype in WIDENED_BY_CPU
        else tensor.nbytes
        for tensor in read
    )


def kv_bytes_per_position(spec: DecoderSpec, item_bytes: int) -> int:
    return 2 * spec.layers * spec.kv_heads * spec.head_dim * item_bytes
