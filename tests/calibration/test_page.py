"""The page shows what the report says, and runs nothing."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from calibration.page import page_from_quality


def report(sample: str = "photo.jpg") -> dict[str, Any]:
    layers = [
        {"layer": "blocks.0.q", "as": "int4/32", "bytes_before": 4 << 20, "bytes": 1 << 20, "sqnr_db": 20.5},
        {"layer": "head", "as": "float", "why": "33 rows", "bytes_before": 1 << 20, "bytes": 1 << 20},
    ]
    return {
        "roles": {"decoder": layers},
        "agreement": {"logit_kl": 0.012, "top1": 0.98, "greedy": 0.9},
        "answers": [{"sample": sample, "tokens": 32, "kl": 0.012, "top1": 0.98, "agreed": 29}],
        "samples": {"count": 1, "names": [sample], "broken": ["torn.png: no picture"]},
    }


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"


def read(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    return tags


def test_it_tells_sizes_layers_and_answers() -> None:
    tags = read(page_from_quality(report(), "small"))
    for said in (
        "5.0 MiB → 2.0 MiB",
        "98.0%",
        "1.20e-02",
        "20.5 dB",
        "33 rows",
        "photo.jpg",
        "torn.png: no picture",
    ):
        assert said in tags.text, said
    bars = [float(str(attrs["width"])) for tag, attrs in tags.seen if tag == "rect"]
    assert len(bars) == 2 and bars[0] > 400 and bars[1] == 0


def test_names_of_files_stay_text() -> None:
    page = page_from_quality(report('<script>alert("x")</script>\udcff'), "a <b> & c")
    tags = read(page)
    assert "script" not in {tag for tag, _ in tags.seen} and "b" not in [tag for tag, _ in tags.seen][-1:]
    assert 'alert("x")' in tags.text and "a <b> & c" in tags.text


def test_nothing_is_fetched_or_run() -> None:
    tags = read(page_from_quality(report(), "small"))
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in tags.seen}
    assert not {"src", "href", "onload"} & {name for _, attrs in tags.seen for name in attrs}


def test_without_samples_it_says_so() -> None:
    bare = report() | {"agreement": None, "answers": []}
    assert "the two models were not compared" in read(page_from_quality(bare, "small")).text
