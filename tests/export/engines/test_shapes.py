from __future__ import annotations

import pytest

from export.engines.shapes import Profile, ShapeRange


@pytest.mark.parametrize(
    "shapes",
    [
        ((1, 8), (1,), (1, 8)),
        ((2,), (1,), (4,)),
        ((1,), (8,), (4,)),
        ((0,), (1,), (1,)),
        ((1,), (1,), (1 << 31,)),
    ],
)
def test_ranges_that_no_engine_can_have_are_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match=r"rank|minimum"):
        ShapeRange(*shapes)


def test_a_profile_has_a_name_and_inputs() -> None:
    with pytest.raises(ValueError, match="at least one input"):
        Profile("prefill", {})
    with pytest.raises(ValueError, match="has a name"):
        Profile("", {"x": ShapeRange((1,), (1,), (1,))})
