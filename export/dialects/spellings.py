"""Which spelling and which form of the decoder make a dialect."""

from __future__ import annotations

from edge_runtime.dialects import Dialect, grammar_named
from edge_runtime.spec import ModelSpec
from export.dialects.ort import OrtSpelling, check_heads
from export.dialects.trt import TrtSpelling
from export.dialects.trt10 import Trt10Spelling
from export.modules.form import PLAIN, DecoderForm
from export.modules.spelling import Spelling

HEAD_PARTS = 4
CANDIDATES = 64  # as many as sampling may choose from without asking for the logits


def spelling_from_dialect(dialect: Dialect) -> Spelling:
    spellings: dict[Dialect, Spelling] = {
        "ort": OrtSpelling(),
        "trt10": Trt10Spelling(),
        "trt": TrtSpelling(),
    }
    return spellings[dialect]


def form_from_dialect(dialect: Dialect, context: int) -> DecoderForm:
    """`context` is the bundle's: TensorRT's in-place cache has its length in the graph."""
    if dialect == "ort":
        return PLAIN
    return DecoderForm(HEAD_PARTS, CANDIDATES, context if dialect == "trt" else None)


def check_sayable(dialect: Dialect, spec: ModelSpec) -> None:
    """Raise an EdgeVLError where the dialect has no words for this model."""
    grammar_named(dialect)
    if dialect == "ort":
        check_heads(spec.decoder)
