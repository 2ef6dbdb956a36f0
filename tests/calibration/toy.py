"""A model in miniature: products that share an input, a bias, a head in two parts, and weights outside the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime

from calibration.blocks import quantised_from_weight
from calibration.decision import Decision, Float, Int8, decision_for_shape
from tests.calibration.restored import weight_from_quantised

Array = npt.NDArray[Any]
WIDTH, INNER, VOCAB = 128, 64, 48
MATRICES = {
    "blocks.0.q.weight": (WIDTH, INNER),
    "blocks.0.k.weight": (WIDTH, INNER),
    "blocks.0.o.weight": (INNER, WIDTH),
    "head.weight_0": (WIDTH, VOCAB // 2),
    "head.weight_1": (WIDTH, VOCAB // 2),
}
LAYERS = ("blocks.0.q", "blocks.0.k", "blocks.0.o", "head")
PAGE = 4096


@dataclass(frozen=True)
class Toy:
    """y = concat(m @ head), m = (x@q * x@k) @ o + bias."""

    dtype: type[np.floating[Any]] = np.float32
    opset: int = 20
    seed: int = 0
    weights: dict[str, Array] = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        made = {
            name: (rng.standard_normal(shape) / shape[0] ** 0.5).astype(self.dtype)
            for name, shape in MATRICES.items()
        }
        made["blocks.0.o.bias"] = rng.standard_normal(WIDTH).astype(self.dtype)
        object.__setattr__(self, "weights", made)

    @property
    def x(self) -> Array:
        return np.random.default_rng(7).standard_normal((2, 5, WIDTH)).astype(self.dtype)

    def write(self, folder: Path) -> Path:
        """The graph and its data, as an export writes them: every tensor on a page of its own."""
        folder.mkdir(parents=True, exist_ok=True)
        path, kind = folder / "decoder.onnx", ir.DataType.from_numpy(np.dtype(self.dtype))
        graph = self.graph(kind)
        with path.with_suffix(".data").open("wb") as file:
            for name, array in self.weights.items():
                file.write(bytes(-file.tell() % PAGE))
                place = file.tell()
                file.write(array.tobytes())
                value = graph.initializers[name]
                value.const_value = ir.ExternalTensor(
                    "decoder.data", place, array.nbytes, kind, name=name, shape=ir.Shape(array.shape)
                )
        ir.save(ir.Model(graph, ir_version=10), path)
        return path

    def graph(self, kind: ir.DataType) -> ir.Graph:
        x, y = ir.val("x", kind, ["batch", "steps", WIDTH]), ir.val("logits", kind, ["batch", "steps", VOCAB])
        stored = {name: ir.val(name, kind, array.shape) for name, array in self.weights.items()}
        one = ir.val("one", const_value=ir.Tensor(np.ones((), self.dtype), name="one"))

        def node(name: str, operator: str, *inputs: ir.Value, **attributes: int) -> ir.Node:
            made = ir.node(operator, inputs, attributes, name=f"{name}/{operator}")
            made.outputs[0].name = name
            return made

        q = node("blocks.0.q", "MatMul", x, stored["blocks.0.q.weight"])
        k = node("blocks.0.k", "MatMul", x, stored["blocks.0.k.weight"])
        qk = node("blocks.0", "Mul", q.outputs[0], k.outputs[0])
        plain = node("plain", "Mul", qk.outputs[0], one)
        o = node("blocks.0.o", "MatMul", plain.outputs[0], stored["blocks.0.o.weight"])
        m = node("biased", "Add", o.outputs[0], stored["blocks.0.o.bias"])
        parts = [
            node(f"head{part}", "MatMul", m.outputs[0], stored[f"head.weight{part}"]) for part in ("_0", "_1")
        ]
        joined = ir.node(
            "Concat", [part.outputs[0] for part in parts], {"axis": -1}, outputs=[y], name="join"
        )
        return ir.Graph(
            [x], [y], nodes=[q, k, qk, plain, o, m, *parts, joined], initializers=[*stored.values(), one],
            opset_imports={"": self.opset}, name="decoder",
        )  # fmt: skip

    def inputs(self, weights: Mapping[str, Array] | None = None) -> dict[str, Array]:
        """What reaches each layer, in fp32."""
        w = {name: array.astype(np.float32) for name, array in (weights or self.weights).items()}
        x = self.x.astype(np.float32)
        qk = (x @ w["blocks.0.q.weight"]) * (x @ w["blocks.0.k.weight"])
        m = qk @ w["blocks.0.o.weight"] + w["blocks.0.o.bias"]
        return {"blocks.0.q": x, "blocks.0.k": x, "blocks.0.o": qk, "head": m}

    def quantised_forward(self, decisions: Mapping[str, Decision]) -> Array:
        """What a graph with these decisions must answer, in fp32 and numpy alone."""
        w = {name: self.decided(name, array, decisions) for name, array in self.weights.items()}

        def product(layer: str, x: Array, part: str = "") -> Array:
            decision = decisions.get(layer, Float())
            scale = decision.activation_scale if isinstance(decision, Int8) else None
            return rounded(x, scale, self.dtype) @ w[f"{layer}.weight{part}"]

        x = self.x.astype(np.float32)
        qk = product("blocks.0.q", x) * product("blocks.0.k", x)
        m = product("blocks.0.o", qk) + w["blocks.0.o.bias"]
        return np.concatenate([product("head", m, "_0"), product("head", m, "_1")], axis=-1)

    def decided(self, name: str, array: Array, decisions: Mapping[str, Decision]) -> Array:
        if array.ndim == 1:
            return array.astype(np.float32)
        decision = decision_for_shape(decisions.get(name.split(".weight")[0], Float()), *array.shape)
        if isinstance(decision, Float):
            return array.astype(np.float32)
        return weight_from_quantised(quantised_from_weight(name, array, decision)).astype(np.float32)


def rounded(x: Array, scale: float | None, dtype: type[np.floating[Any]]) -> Array:
    """`x` as 8-bit integers of a step in `dtype` and back."""
    if scale is None:
        return x
    step = dtype(scale)
    if np.float32(step) < np.float32(scale):
        step = np.nextafter(step, dtype(np.inf))
    wide = np.float32(step)
    return np.asarray(np.clip(np.rint(x / wide), -128, 127) * wide, np.float32)


def session(path: Path, optimised: Path | None = None) -> Any:
    """One thread, and 4-bit and 8-bit weights multiplied without rounding the activations first."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
