"""Which spelling writes which dialect."""

from __future__ import annotations

from edge_runtime.dialects import Dialect, grammar_named
from export.dialects.ort import OrtSpelling
from export.modules.spelling import Spelling


def spelling_from_dialect(dialect: Dialect) -> Spelling:
    grammar_named(dialect)
    return OrtSpelling()
