"""Reports in miniature, and their pages read back."""

from __future__ import annotations

from dataclasses import asdict
from html.parser import HTMLParser
from typing import Any

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
    return {
        "asked": {"kl": 0.02, "accuracy": 1.5, "mib": 7.0},
        "layers_lifted": 2,
        "measured": {"kl": 0.0123, "lost_points": 0.75},
    }


def sensitivity() -> dict[str, Any]:
    alone = {"blocks.0.v": None, "blocks.0.o": 0.25, "head": 0.125, "blocks.0.q": 1e-3, "blocks.0.k": 0.0}
    return {"decoder": alone}


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
        "sensitivity": sensitivity(),
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
