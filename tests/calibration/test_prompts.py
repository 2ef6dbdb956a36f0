"""Prompts that cannot be asked are known before anything is measured, and by their lines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from calibration.prompts import check_prompts, format_of, tokens_of
from calibration.samples import Sample
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EdgeVLError
from tests.proof.subject import bundle_below, session_folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(bundle_below(session_folder(tmp_path_factory), "hybrid"))


def samples(*prompts: str) -> list[Sample]:
    """Their pictures are not there."""
    return [
        Sample("a.png", Path("none"), prompt, "", f"list.jsonl, line {number}")
        for number, prompt in enumerate(prompts, start=1)
    ]


def test_prompts_of_any_language_can_be_asked_and_empty_ones_too(source: Bundle) -> None:
    check_prompts(source, samples("what?", "", "什么？", "what?"))


@pytest.mark.parametrize(
    ("prompt", "why", "fix"),
    [
        ("word " * 9000, "the context holds", "--max-context"),
        ("a \ud800 b", "lone surrogate", "repair that line"),
    ],
    ids=["long", "surrogate"],
)
def test_the_line_of_a_prompt_that_cannot_be_asked_is_named(
    source: Bundle, prompt: str, why: str, fix: str
) -> None:
    with pytest.raises(EdgeVLError) as caught:
        check_prompts(source, samples("what?", prompt, "where?"), "EVL-X")
    error = caught.value
    assert error.code == "EVL-X" and error.what.startswith("list.jsonl, line 2 cannot be asked")
    assert why in error.why and fix in error.fix


def test_a_prompt_with_marks_for_pictures_that_are_not_there_is_named(source: Bundle) -> None:
    mark = source.spec.prompt.image_mark
    check_prompts(source, samples(f"{mark} what?"))
    with pytest.raises(EdgeVLError, match=r"line 1 cannot be asked.*2 marks"):
        check_prompts(source, samples(f"{mark} {mark} what?"))


def test_what_fits_to_the_last_token_can_be_asked(source: Bundle) -> None:
    """With one token of an answer, as the runtime demands it."""
    count = len(tokens_of(format_of(source), "what?", b""))
    check_prompts(holding(source, count + 1), samples("what?"))
    with pytest.raises(EdgeVLError, match=f"it needs {count + 1} tokens"):
        check_prompts(holding(source, count), samples("what?"))


def holding(source: Bundle, context: int) -> Bundle:
    return replace(source, manifest=replace(source.manifest, max_context=context))
