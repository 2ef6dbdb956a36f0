"""The page shows what the report says, and runs nothing."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from calibration.page import page_from_quality
from tests.calibration.paged import (
    HOSTILE,
    accuracy,
    answer,
    bare,
    full,
    layer,
    part,
    read,
)


@pytest.mark.parametrize(
    ("heading", "said"),
    [
        ("What quantisation cost", "20.0 → 5.00 MiB layers that can be quantised"),
        ("What quantisation cost", "-12.5 points right answers: 75.0% → 62.5%"),
        ("What quantisation cost", "1.20e-02 nats a token between the two models' words (KL)"),
        ("What quantisation cost", "98.0% of tokens are the likeliest in both models"),
        ("What quantisation cost", "90.0% of greedy tokens until the models part"),
        ("Right answers before and after", "75.0% → 62.5% of 8 questions: -12.5 points."),
        ("Right answers before and after", "What is it? 4 50.0% 25.0% -25.0"),
        ("1 question right before, wrong now", "cat.jpg What is it? A cat. A cat. A dog."),
        ("How long they say the same", "29 of 32"),
        ("every sample", "photo.jpg 32 29 98.0% 1.20e-02"),
        ("What every role became", "decoder int4/32 2 8.00 MiB 2.00 MiB"),
        ("What every role became", "scale: 1 of decoder."),
        ("What every role became", "The table of tokens is int8."),
        ("The cache of keys and values", "4,096 → 1,024 bytes in the cache, 75% less."),
        ("The cache of keys and values", "alone costs 3.00e-07 nats a token (KL); only ort graphs"),
        ("The budget", "KL from the float model at most 2.00e-02 nats 1.23e-02 nats"),
        ("The budget", "accuracy lost at most 1.5 points 0.75 points"),
        ("The budget", "whole bundle at most 7 MiB kept"),
        ("The budget", "It took 2 steps of single layers towards float"),
        ("Finer than was asked, and why", "decoder blocks.0.v int4 → float 33 rows"),
        (
            "Finer than was asked, and why",
            "decoder blocks.0.o int4 → int8 as asked it alone costs 2.50e-01 nats",
        ),
        ("What rounding cost each layer", "blocks.0.k 10.2 dB blocks.0.v float blocks.0.o 44.5 dB"),
        ("How it was made", "block 128"),
        ("How it was made", "Calibrated with 1 sample. their names photo.jpg"),
    ],
)
def test_it_tells_what_the_report_knows(heading: str, said: str) -> None:
    text = read(full(), "What quantisation cost").text
    assert said in text.partition(heading)[2], text


@pytest.mark.parametrize(
    "heading",
    [
        "Right answers",
        "The budget",
        "Layers by the harm",
        "The cache of keys",
        "Over positions",
        "left out",
        "could not be opened",
    ],
)
def test_what_the_report_lacks_has_no_heading(heading: str) -> None:
    assert heading not in read(bare()).text


def test_no_section_is_a_heading_alone() -> None:
    nothing = bare(decoder="fp16", head="fp16", vision="fp16") | {"roles": {}}
    for report in (nothing, nothing | {"roles": {"decoder": []}}, bare()):
        page = page_from_quality(report, "small")
        assert "</h2></section>" not in page and "</h3><h3>" not in page and "<table></table>" not in page


def test_what_the_report_has_no_room_for_is_counted() -> None:
    exam = accuracy(broken=["torn.png: no picture"], left_out={"changed": 31, "tasks": 32, "broken": 33})
    samples = bare()["samples"] | {"left_out": {"names": 34, "broken": 35}}
    report = full() | {"accuracy": exam, "samples": samples, "left_out": {"answers": 36}}
    text = read(report).text
    assert [text.count(f" {count} more, left out") for count in range(31, 37)] == [1] * 6


def test_broken_pictures_are_named() -> None:
    samples = {"count": 0, "names": [], "broken": ["torn.png: no picture"]}
    assert "Samples left out: torn.png: no picture" in read(bare() | {"samples": samples}).text


def hostile() -> dict[str, Any]:
    """Every text that a user, a file or a model wrote."""
    changed = dict.fromkeys(("sample", "prompt", "expected", "before", "after"), HOSTILE)
    task = {"task": HOSTILE, "questions": 2, "before": 1.0, "after": 0.0}
    return full() | {
        "answers": [answer(HOSTILE)],
        "samples": {"count": 1, "names": [HOSTILE], "broken": [HOSTILE]},
        "accuracy": accuracy(tasks=[task], changed=[changed], broken=[HOSTILE]),
        "roles": {HOSTILE: [layer(HOSTILE, "float", why=HOSTILE)]},
        "sensitivity": {HOSTILE: {HOSTILE: 1.0}},
    }


def test_texts_from_outside_stay_texts() -> None:
    tags = read(hostile(), HOSTILE)
    assert "script" not in {tag for tag, _ in tags.seen}
    names = {
        "class",
        "x",
        "y",
        "x1",
        "x2",
        "y1",
        "y2",
        "width",
        "height",
        "role",
        "aria-label",
        "lang",
        "charset",
    }
    assert {name for _, attrs in tags.seen for name in attrs} <= names | {"http-equiv", "content", "name"}
    assert tags.text.count('alert("x")') > 10
    page_from_quality(hostile(), HOSTILE).encode("utf-8")


def test_nothing_is_fetched_or_run() -> None:
    tags = read(full())
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in tags.seen}
    assert not {"src", "href", "onload", "style"} & {name for _, attrs in tags.seen for name in attrs}


def test_the_page_allows_itself_its_own_style_alone() -> None:
    page = page_from_quality(full(), "small")
    policy = next(str(each["content"]) for tag, each in read(full()).seen if "http-equiv" in each)
    style = page.partition("<style>")[2].partition("</style>")[0]
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ")[:2] == ["default-src 'none'", f"style-src 'sha256-{allowed}'"]


@pytest.mark.parametrize(
    ("recipe", "count", "said"),
    [
        ({}, 1, "Calibrated with 1 sample."),
        ({"vision": "fp16", "method": "gptq"}, 3, "Calibrated with 3 samples."),
        ({"vision": "fp16"}, 3, "Compared on 3 samples."),
        ({"vision": "fp16"}, 0, "Made without samples."),
    ],
)
def test_samples_are_told_for_what_they_were_used(recipe: dict[str, Any], count: int, said: str) -> None:
    report = bare(**recipe) | {"samples": {"count": count, "names": [], "broken": []}}
    assert said in part(report, "How it was made")
