"""The numbers, checked when made."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.listener.rules import GuardRules

NUMBERS = [each.name for each in fields(GuardRules) if each.name not in ("hosts", "cors_origins")]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_a_number_that_bounds_nothing_is_refused(name: str, value: float) -> None:
    with pytest.raises(EdgeVLError, match=f"{name} .*EVL-SERVE-RULE"):
        GuardRules(**{name: value})  # type: ignore[arg-type]


def test_a_body_of_full_size_must_have_room() -> None:
    with pytest.raises(EdgeVLError, match="EVL-SERVE-RULE"):
        GuardRules(max_body_bytes=2, max_held_bytes=1)


def test_a_list_of_names_is_no_text() -> None:
    with pytest.raises(TypeError):
        GuardRules(hosts="camera.local")
