"""The page shows what the report says, and runs nothing."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import asdict
from html.parser import HTMLParser
from typing import Any

import pytest

from calibration.page import page_from_quality
from calibration.recipe import Recipe

HOSTILE = '<script>alert("x")</script>\udcff'
VOID = {"meta"}


def layer(name: str, kind: str, **more: object) -> dict[str, Any]:
    return {"layer": name, "as": kind, "bytes_before": 4 << 20, "bytes": 1 << 20, **more}


def bare(**recipe: Any) -> dict[str, Any]:
    """Of a calibration without samples, budget or exam."""
    return {
        "recipe": asdict(Recipe(**recipe)),
        "roles": {
            "decoder": [
                layer("blocks.0.q", "int4/32", sqnr_db=20.5),
                layer("blocks.0.k", "int4/32", sqnr_db=10.25, migrated=True),
                layer("blocks.0.v", "float", why="33 rows"),
                layer("blocks.0.o", "int8", sqnr_db=44.5),
                layer("head_0", "int8", sqnr_db=45.5),
            ]
        },
        "agreement": None,
        "answers": [],
        "samples": {"count": 1, "names": ["photo.jpg"], "broken": []},
    }


def budget() -> dict[str, Any]:
    alone = {"blocks.0.v": None, "blocks.0.o": 0.25, "head": 0.125, "blocks.0.q": 1e-3, "blocks.0.k": 0.0}
    return {
        "asked": {"kl": 0.02, "accuracy": 1.5, "mib": 7.0},
        "layers_lifted": 2,
        "measured": {"kl": 0.0123, "lost_points": 0.75},
        "alone": {"decoder": alone},
    }


def accuracy(**more: Any) -> dict[str, Any]:
    words = {"sample": "cat.jpg", "prompt": "What is it?", "expected": "A cat."}
    return {
        "questions": 8,
        "before": 0.75,
        "after": 0.625,
        "lost_points": 12.5,
        "tasks": [{"task": "What is it?", "questions": 4, "before": 0.5, "after": 0.25}],
        "changed": [words | {"before": " A cat.", "after": "A dog."}],
        **more,
    }


def answer(sample: str = "photo.jpg", **more: Any) -> dict[str, Any]:
    return {"sample": sample, "tokens": 32, "kl": 0.012, "top1": 0.98, "agreed": 29, **more}


def full() -> dict[str, Any]:
    return bare(kv="int8", embedding="int8") | {
        "agreement": {"logit_kl": 0.012, "top1": 0.98, "greedy": 0.9},
        "answers": [answer()],
        "budget": budget(),
        "accuracy": accuracy(),
        "cache": {"dialects": ["ort"], "bytes_a_token_before": 4096, "bytes_a_token": 1024, "alone": 3e-7},
    }


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text = " ".join(f"{self.text} {data}".split())

    def drawn(self, kind: str) -> list[float]:
        """Widths of the bars of a colour, in per cent."""
        every = [attrs for tag, attrs in self.seen if tag == "rect" and attrs["class"] == kind]
        return [float(str(each["width"])[:-1]) for each in every if str(each["width"]).endswith("%")]


def read(report: dict[str, Any], title: str = "small") -> Tags:
    tags = Tags()
    tags.feed(page_from_quality(report, title))
    assert tags.open == []
    return tags


def part(report: dict[str, Any], heading: str) -> str:
    """The text from a heading to the end; the heading must be there."""
    _, found, rest = read(report).text.partition(heading)
    assert found, heading
    return rest


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


def test_the_most_harmful_layer_is_ranked_first_and_one_that_breaks_the_model_before_it() -> None:
    ranked = part(full(), "Layers by the harm they do alone")
    told = ["blocks.0.v breaks answers", "blocks.0.o 2.50e-01", "head 1.25e-01", "blocks.0.q 1.00e-03"]
    places = [ranked.index(f"decoder {each}") for each in told]
    assert places == sorted(places)


def test_bars_are_as_long_as_what_they_stand_for() -> None:
    only = bare() | {
        "roles": {"decoder": [layer("a", "int4/32", sqnr_db=10.0), layer("b", "int4/32", sqnr_db=40.0)]}
    }
    *_, short, long = read(only).drawn("int4")
    assert long > 20 and short == pytest.approx(long / 4, abs=0.01)


def test_the_bytes_of_a_role_are_drawn_by_precision() -> None:
    tags = read(bare())
    before, int4 = tags.drawn("float")[0], tags.drawn("int4")[0]
    assert before == pytest.approx(10 * int4, abs=0.05) and tags.drawn("int8")[0] == pytest.approx(int4)


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


def test_layers_that_were_to_stay_float_are_not_called_finer() -> None:
    assert "Finer than was asked" not in read(bare(decoder="fp16", head="fp16")).text


def test_a_split_head_is_one_layer_of_the_ranking() -> None:
    report = full() | {"recipe": asdict(Recipe(head="int4"))}
    finer = part(report, "Finer than was asked")
    assert "decoder head_0 int4 → int8 as asked it alone costs 1.25e-01 nats" in finer


def test_long_roles_show_the_worst_first_and_all_when_asked() -> None:
    layers = [layer(f"blocks.{number}.q", "int4/32", sqnr_db=60.0 - number) for number in range(50)]
    rest = part(bare() | {"roles": {"decoder": layers}}, "The 12 lowest of 50.")
    first, folded, every = rest.partition("all 50, in the order of the graph")
    assert folded and first.split()[:3] == ["blocks.49.q", "11.0", "dB"] and "blocks.0.q" not in first
    assert every.split()[:3] == ["blocks.0.q", "60.0", "dB"] and "blocks.49.q" in every


def test_long_rankings_fold_and_name_every_layer() -> None:
    names = [f"blocks.{number}.q" for number in range(30)]
    alone = {name: 1.0 - number / 100 for number, name in enumerate(names)}
    layers = [layer(name, "int4/32") for name in names]
    report = bare() | {"roles": {"decoder": layers}, "budget": budget() | {"alone": {"decoder": alone}}}
    first, folded, rest = part(report, "Layers by the harm").partition("the other 6 of 30 layers")
    assert folded and all(f"decoder {name} " in first for name in names[:24])
    assert all(f"decoder {name} " in rest for name in names[24:])


def test_agreement_is_drawn_over_positions_where_the_report_tells_it() -> None:
    answers = [
        answer(tokens=2, agreed=1, kl_at=[0.2, 0.0], differs_at=[1]),
        answer(tokens=3, agreed=3, kl_at=[0.4, 0.2, 0.1], differs_at=[]),
    ]
    every = part(full() | {"answers": answers}, "every position")
    assert "1 2 3.00e-01 nats 100.0% 2 2 1.00e-01 nats 50.0% 3 1 1.00e-01 nats 100.0%" in every


def test_sizes_of_table_and_bundle_are_told_where_the_report_has_them() -> None:
    sized = budget() | {"bytes_at_most": 6 << 20, "tries": 5}
    report = full() | {"table": {"bytes_before": 4 << 20, "bytes": 1 << 20}, "budget": sized}
    text = read(report).text
    assert "The table of tokens is int8: 4.00 MiB → 1.00 MiB." in text
    assert "at most 7 MiB at most 6.00 MiB" in text and "Whole bundles measured on the way: 5." in text


def test_a_cache_that_breaks_every_answer_is_told_as_that() -> None:
    cache = full()["cache"] | {"alone": None}
    assert "That alone costs every answer" in part(full() | {"cache": cache}, "The cache of keys")


def test_gained_points_have_a_plus_and_no_difference_no_sign() -> None:
    gained = accuracy(after=0.875, lost_points=-12.5, tasks=[], changed=[])
    assert "8 questions: +12.5 points." in read(bare() | {"accuracy": gained}).text
    same = accuracy(after=0.75, lost_points=-1e-15, tasks=[], changed=[])
    assert "8 questions: no difference." in read(bare() | {"accuracy": same}).text


def test_what_the_report_has_no_room_for_is_counted() -> None:
    exam = accuracy(broken=["torn.png: no picture"], left_out={"changed": 31, "tasks": 32, "broken": 33})
    samples = bare()["samples"] | {"left_out": {"names": 34, "broken": 35}}
    report = full() | {"accuracy": exam, "samples": samples, "left_out": {"answers": 36}}
    text = read(report).text
    assert [text.count(f" {count} more, left out") for count in range(31, 37)] == [1] * 6


def test_pictures_of_an_exam_that_could_not_be_opened_are_named() -> None:
    report = bare() | {"accuracy": accuracy(broken=["torn.png: no picture"])}
    assert "could not be opened torn.png: no picture" in part(report, "Right answers")


def test_broken_pictures_are_named() -> None:
    samples = {"count": 0, "names": [], "broken": ["torn.png: no picture"]}
    assert "Samples left out: torn.png: no picture" in read(bare() | {"samples": samples}).text


def test_answers_that_there_was_no_room_for_are_only_counted() -> None:
    text = read(full() | {"answers": [], "left_out": {"answers": 7}}).text
    assert "7 more, left out" in text and "not compared" not in text and "How long they say" not in text


def test_without_samples_it_says_so() -> None:
    assert "the two models were not compared" in read(bare()).text


def hostile() -> dict[str, Any]:
    """Every text that a user, a file or a model wrote."""
    changed = dict.fromkeys(("sample", "prompt", "expected", "before", "after"), HOSTILE)
    task = {"task": HOSTILE, "questions": 2, "before": 1.0, "after": 0.0}
    return full() | {
        "answers": [answer(HOSTILE)],
        "samples": {"count": 1, "names": [HOSTILE], "broken": [HOSTILE]},
        "accuracy": accuracy(tasks=[task], changed=[changed], broken=[HOSTILE]),
        "roles": {HOSTILE: [layer(HOSTILE, "float", why=HOSTILE)]},
        "budget": budget() | {"alone": {HOSTILE: {HOSTILE: 1.0}}},
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
