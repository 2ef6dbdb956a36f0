"""What each dialect may say: operators, opset, and who understands it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_runtime.errors import EdgeVLError

Dialect = Literal["ort", "trt10", "trt"]
FloatPrecision = Literal["fp32", "fp16"]
Precision = Literal[FloatPrecision, "int8", "int4"]  # of a graph: that of most of its weights


@dataclass(frozen=True)
class Grammar:
    """The words of one dialect. `operators` maps an ONNX domain ("" is the standard one) to operator names.

    Graphs are written with `opset`; `newest` is the highest that the dialect's oldest engine reads, for 4-bit weights
    alone where it is higher. Symmetric engines round around 0, to numbers with a sign."""

    name: Dialect
    opset: int
    newest: int
    operators: dict[str, frozenset[str]]
    is_symmetric: bool = False


FLOAT_OPERATORS = frozenset(
    "Add Cast Concat Constant ConstantOfShape Conv Div Einsum Equal Expand Gather GatherElements Gelu Identity "
    "LayerNormalization MatMul Mul Neg Pad Pow Range ReduceMax ReduceMean Reshape Resize Shape Sigmoid Slice "
    "Softmax Split Sqrt Squeeze Sub Tile Transpose Unsqueeze Where".split()
)
QUANTISED_OPERATORS = frozenset({"QuantizeLinear", "DequantizeLinear"})

ORT = Grammar(
    name="ort",
    opset=20,
    newest=21,
    operators={
        "": FLOAT_OPERATORS | QUANTISED_OPERATORS | {"SimplifiedLayerNormalization"},
        "com.microsoft": frozenset({"GroupQueryAttention", "MultiHeadAttention"}),
    },
)
TRT10 = Grammar(
    name="trt10",
    opset=20,
    newest=21,
    operators={
        "": FLOAT_OPERATORS
        | QUANTISED_OPERATORS
        | frozenset("And Clip GreaterOrEqual Less LessOrEqual Reciprocal TopK".split())
    },
    is_symmetric=True,
)
TRT = Grammar(
    name="trt",
    opset=24,
    newest=24,
    operators={
        "": FLOAT_OPERATORS
        | QUANTISED_OPERATORS
        | frozenset("Attention LessOrEqual RMSNormalization RotaryEmbedding TensorScatter TopK".split())
    },
    is_symmetric=True,
)

GRAMMARS: dict[str, Grammar] = {each.name: each for each in (ORT, TRT10, TRT)}


def grammar_named(name: str) -> Grammar:
    if name in GRAMMARS:
        return GRAMMARS[name]
    raise EdgeVLError(
        "EVL-DIALECT",
        f"this edge-vl does not write the dialect {name!r}",
        f"it knows {', '.join(GRAMMARS)}",
        "choose one of these with --dialect",
    )
