"""Which spelling writes which dialect."""

from __future__ import annotations

from edge_runtime.dialects import Dialect, grammar_named
from edge_runtime.spec import ModelSpec
from export.dialects.ort import OrtSpelling, check_heads
from export.modules.spelling import Spelling


def spelling_from_dialect(dialect: Dialect) -> Spelling:
    grammar_named(dialect)
    return OrtSpelling()


def check_sayable(dialect: Dialect, spec: ModelSpec) -> None:
    """Raise an EdgeVLError where the dialect has no words for this model."""
    grammar_named(dialect)
    check_heads(spec.decoder)
