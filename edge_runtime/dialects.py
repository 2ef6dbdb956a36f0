"""What each dialect may say: operators, opset, and who understands it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_runtime.errors import EdgeVLError

Dialect = Literal["ort", "trt10", "trt"]
Precision = Literal["fp32", "fp16"]


@dataclass(frozen=True)
class Grammar:
    """The words of one dialect. `operators` maps an ONNX domain ("" is the standard one) to operator names."""

    name: Dialect
    opset: int
    operators: dict[str, frozenset[str]]


FLOAT_OPERATORS = frozenset(
    "Add Cast Concat Constant ConstantOfShape Conv Div Einsum Equal Expand Gather GatherElements GatherND Gelu Identity "
    "LayerNormalization MatMul Mul Neg Pad Pow Range ReduceMax ReduceMean Reshape Resize Shape Sigmoid Slice "
    "Softmax Split Sqrt Squeeze Sub Tile Transpose Unsqueeze Where".split()
)

ORT = Grammar(
    name="ort",
    opset=20,
    operators={
        "": FLOAT_OPERATORS | {"SimplifiedLayerNormalization"},
        "com.microsoft": frozenset({"GroupQueryAttention", "MultiHeadAttention"}),
    },
)

GRAMMARS: dict[str, Grammar] = {ORT.name: ORT}


def grammar_named(name: str) -> Grammar:
    if name in GRAMMARS:
        return GRAMMARS[name]
    raise EdgeVLError(
        "EVL-DIALECT",
        f"this edge-vl does not write the dialect {name!r}",
        f"it knows {', '.join(GRAMMARS)}",
        "choose one of these with --dialect",
    )
