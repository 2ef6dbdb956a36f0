"""Toy graphs of every kind that engines are built from; each compiles in under a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.engines.shapes import Profile, ShapeRange

HALF, FLOAT, BOOL, INT64 = TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.BOOL, TensorProto.INT64
NUMPY: dict[int, np.dtype[np.generic]] = {int(HALF): np.dtype(np.float16), int(FLOAT): np.dtype(np.float32)}
WIDTH = 256
HEADS, HEAD_DIM, CAPACITY = 4, 64, 64
Dims = Sequence[int | str]


def weights(*shape: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(0).standard_normal(shape) * 0.1


def port(name: str, kind: int, shape: Dims) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: Mapping[str, npt.NDArray[np.generic]],
    opset: int,
) -> Path:
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "toy", inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def rows(name: str = "rows", most: int = 64) -> Profile:
    return Profile(name, {"x": ShapeRange((1, WIDTH), (min(8, most), WIDTH), (most, WIDTH))})


def product(path: Path, kind: int = HALF) -> Path:
    """x (B, WIDTH) @ w; opset 20."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")]
    ends = [port(name, kind, ["B", WIDTH]) for name in "xy"]
    return save(path, nodes, ends[:1], ends[1:], {"w": weights(WIDTH, WIDTH).astype(NUMPY[kind])}, 20)


def int8_and_half(path: Path) -> Path:
    """One product with Q/DQ on both operands, then one without; opset 20."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"], name="quantize"),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"], name="dequantize"),
        helper.make_node("DequantizeLinear", ["wq", "ws", "wz"], ["wd"], axis=1, name="unpack"),
        helper.make_node("MatMul", ["xd", "wd"], ["h"], name="quantised"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("MatMul", ["r", "w"], ["y"], name="left_in_half"),
    ]
    constants: dict[str, npt.NDArray[np.generic]] = {
        "xs": np.array(0.02, np.float16),
        "xz": np.array(0, np.int8),
        "wq": (weights(WIDTH, WIDTH) * 300).astype(np.int8),
        "ws": np.full(WIDTH, 0.01, np.float16),
        "wz": np.zeros(WIDTH, np.int8),
        "w": weights(WIDTH, WIDTH).astype(np.float16),
    }
    ends = [port(name, HALF, ["B", WIDTH]) for name in "xy"]
    return save(path, nodes, ends[:1], ends[1:], constants, 20)


def int4_chain(path: Path, length: int = 2) -> Path:
    """Block-quantised weights and half activations, `length` products with a Relu after each; opset 21."""
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, npt.NDArray[np.generic]] = {}
    for index in range(length):
        before, after = (
            ("x" if index == 0 else f"r{index}"),
            ("y" if index + 1 == length else f"r{index + 1}"),
        )
        constants[f"w{index}"] = np.clip(weights(WIDTH, WIDTH) * 30, -7, 7).round().astype(ml_dtypes.int4)
        constants[f"s{index}"] = np.full((WIDTH // 128, WIDTH), 0.01, np.float16)
        packed = [f"w{index}", f"s{index}"]
        nodes += [
            helper.make_node("DequantizeLinear", packed, [f"d{index}"], axis=0, block_size=128),
            helper.make_node("MatMul", [before, f"d{index}"], [f"m{index}"], name=f"product{index}"),
            helper.make_node("Relu", [f"m{index}"], [after], name=f"relu{index}"),
        ]
    ends = [port(name, HALF, ["B", WIDTH]) for name in "xy"]
    return save(path, nodes, ends[:1], ends[1:], constants, 21)


def int8_convolution(path: Path) -> Path:
    """A patch embedding with Q/DQ; opset 20, all shapes static."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
        helper.make_node("DequantizeLinear", ["wq", "ws", "wz"], ["wd"], axis=0),
        helper.make_node("Conv", ["xd", "wd"], ["y"], name="patch", strides=[16, 16]),
    ]
    constants: dict[str, npt.NDArray[np.generic]] = {
        "xs": np.array(0.02, np.float16),
        "xz": np.array(0, np.int8),
        "wq": (weights(64, 3, 16, 16) * 300).astype(np.int8),
        "ws": np.full(64, 0.01, np.float16),
        "wz": np.zeros(64, np.int8),
    }
    ends = [port("x", HALF, [1, 3, 64, 64]), port("y", HALF, [1, 64, 4, 4])]
    return save(path, nodes, ends[:1], ends[1:], constants, 20)


def heads(tokens: int | str) -> Dims:
    return [1, HEADS, tokens, HEAD_DIM]


def tokens_profile(name: str = "tokens") -> Profile:
    dims = ShapeRange((1, HEADS, 1, HEAD_DIM), (1, HEADS, 64, HEAD_DIM), (1, HEADS, 128, HEAD_DIM))
    return Profile(name, dict.fromkeys("qkv", dims))


def decomposed_attention(path: Path, kind: int = HALF) -> Path:
    """MatMul, Softmax, MatMul; opset 20."""
    nodes = [
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2]),
        helper.make_node("Mul", ["q", "scale"], ["qs"]),
        helper.make_node("MatMul", ["qs", "kt"], ["scores"], name="scores"),
        helper.make_node("Softmax", ["scores"], ["p"], axis=-1),
        helper.make_node("MatMul", ["p", "v"], ["y"], name="mix"),
    ]
    inputs = [port(name, kind, heads("S")) for name in "qkv"]
    scale = {"scale": np.array(0.125, NUMPY[kind])}
    return save(path, nodes, inputs, [port("y", kind, heads("S"))], scale, 20)


def attention(path: Path, kind: int = HALF) -> Path:
    """The operator; opset 23."""
    nodes = [helper.make_node("Attention", ["q", "k", "v"], ["y"], name="attention", scale=0.125)]
    inputs = [port(name, kind, heads("S")) for name in "qkv"]
    return save(path, nodes, inputs, [port("y", kind, heads("S"))], {}, 23)


def cached_attention(
    path: Path, capacity: int | str = CAPACITY, kind: int = HALF, scale: float = HEAD_DIM**-0.5
) -> Path:
    """Two in-place cache updates and masked attention over the whole cache; opset 24."""
    nodes = [
        helper.make_node("TensorScatter", ["past_k", "k", "at"], ["now_k"], axis=2, name="keep_k"),
        helper.make_node("TensorScatter", ["past_v", "v", "at"], ["now_v"], axis=2, name="keep_v"),
        helper.make_node("Attention", ["q", "now_k", "now_v", "mask"], ["y"], name="attention", scale=scale),
    ]
    tokens: Dims = ["B", HEADS, "S", HEAD_DIM]
    cache: Dims = ["B", HEADS, capacity, HEAD_DIM]
    inputs = [port(name, kind, tokens) for name in "qkv"]
    inputs += [port("at", INT64, ["B"]), port("mask", BOOL, ["S", capacity])]
    inputs += [port(name, kind, cache) for name in ("past_k", "past_v")]
    outputs = [port("y", kind, tokens), *(port(name, kind, cache) for name in ("now_k", "now_v"))]
    return save(path, nodes, inputs, outputs, {}, 24)


def cache_profile(name: str, tokens: int) -> Profile:
    """Up to so many new tokens a step; exactly one where `tokens` is 1."""
    new = ShapeRange(*((1, HEADS, count, HEAD_DIM) for count in (1, tokens, tokens)))
    mask = ShapeRange(*((count, CAPACITY) for count in (1, tokens, tokens)))
    cache = ShapeRange(*[(1, HEADS, CAPACITY, HEAD_DIM)] * 3)
    rest = {"at": ShapeRange((1,), (1,), (1,)), "mask": mask, "past_k": cache, "past_v": cache}
    return Profile(name, dict.fromkeys("qkv", new) | rest)


def unsupported(path: Path) -> Path:
    """ONNX Runtime's own attention, behind an operator that every parser reads."""
    nodes = [
        helper.make_node("Relu", ["q"], ["r"], name="first"),
        helper.make_node(
            "GroupQueryAttention",
            ["r", "k", "v", "past_k", "past_v", "lengths", "total"],
            ["y", "now_k", "now_v"],
            name="block_0_attention",
            domain="com.microsoft",
            num_heads=4,
            kv_num_heads=4,
        ),
    ]
    inputs = [port(name, HALF, [1, 1, 256]) for name in "qkv"]
    inputs += [port(name, HALF, [1, 4, 8, 64]) for name in ("past_k", "past_v")]
    inputs += [port("lengths", TensorProto.INT32, [1]), port("total", TensorProto.INT32, [])]
    outputs = [
        port("y", HALF, [1, 1, 256]),
        *(port(name, HALF, [1, 4, 8, 64]) for name in ("now_k", "now_v")),
    ]
    return save(path, nodes, inputs, outputs, {}, 20)


def unbuildable(path: Path) -> Path:
    """The parser reads it, the builder refuses: more candidates than its TopK can give."""
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="relu"),
        helper.make_node("TopK", ["r", "count"], ["values", "ids"], name="top"),
    ]
    outputs = [port("values", HALF, [1, 5000]), port("ids", INT64, [1, 5000])]
    count = {"count": np.array([5000], np.int64)}
    return save(path, nodes, [port("x", HALF, [1, 9000])], outputs, count, 20)
