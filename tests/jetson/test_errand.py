"""What is heard of a command that was run."""

from __future__ import annotations

import pytest

from edge_runtime.record import bytes_from_json
from jetson.errand import answer_in


@pytest.mark.parametrize(
    ("out", "answer"),
    [
        (b'progress\n{"passed": true}\n', {"passed": True}),
        (b'{"bundle": "b\\udcff"}\n', {"bundle": "b?"}),
        (b"[1]", None),
        (b"no JSON", None),
        (b"", None),
    ],
)
def test_the_last_line_is_the_answer_if_it_is_an_object_and_can_stand_in_a_report(
    out: bytes, answer: dict[str, object] | None
) -> None:
    assert answer_in(out) == answer
    bytes_from_json(answer_in(out))
