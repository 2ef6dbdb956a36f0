"""One model as two checkpoints: save_pretrained's files, and the original ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.assistant import Assistant
from edge_runtime.request import Request
from tests.proof.subject import Subject, pictures


@pytest.fixture(scope="module", params=["plain", "windowed"])
def twin(request: pytest.FixtureRequest, folder: Path) -> Subject:
    """One model a family; the others' checkpoints in both layouts are compared without an export."""
    return Subject.of(request.param, folder)


def test_both_layouts_export_to_the_same_graphs_and_weights(twin: Subject) -> None:
    one, other = (twin.bundle("fp32", layout) for layout in ("transformers", "original"))
    assert one.spec == other.spec
    assert one.manifest.graphs == other.manifest.graphs
    assert one.manifest.files == other.manifest.files
    layouts = [each.manifest.provenance.layout for each in (one, other)]
    assert len(set(layouts)) == 2, layouts


def test_a_bundle_of_the_original_layout_answers_as_transformers_does(twin: Subject) -> None:
    opened, shown = twin.opened("fp32", "original"), pictures(1)
    wanted = twin.oracle.greedy(opened.raw_prompt("<image>and then").ids, opened.pixels(shown))
    with Assistant(opened.bundle, opened.backend) as assistant:
        answer = assistant.raw("<image>and then", shown, Request(max_tokens=32)).answer
    assert answer.token_ids == wanted
