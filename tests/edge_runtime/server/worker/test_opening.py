"""What the worker makes of its orders."""

from __future__ import annotations

import pytest

from edge_runtime.draft import DraftRules
from edge_runtime.errors import EdgeVLError
from edge_runtime.server.orders import Orders, Speculation
from edge_runtime.server.worker.opening import drafts_of


@pytest.mark.parametrize(
    ("speculation", "engine", "drafts"),
    [
        ("auto", "onnxruntime", DraftRules()),
        ("auto", "tensorrt", None),
        ("on", "onnxruntime-cuda", DraftRules()),
        ("off", "onnxruntime", None),
    ],
)
def test_guesses_are_made_where_they_help_or_were_asked_for(
    speculation: Speculation, engine: str, drafts: DraftRules | None
) -> None:
    assert drafts_of(Orders("bundle", speculation=speculation), engine) == drafts


@pytest.mark.parametrize("engine", ["tensorrt", "tensorrt_rtx", "tensorrt and onnxruntime"])
def test_guesses_that_an_engine_cannot_check_are_refused_when_it_is_opened(engine: str) -> None:
    with pytest.raises(EdgeVLError, match="EVL-ENGINE-DRAFTS"):
        drafts_of(Orders("bundle", speculation="on"), engine)
