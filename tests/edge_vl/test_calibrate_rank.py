"""`edge-vl calibrate --rank`: which layers do most harm, where no budget asks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.edge_vl.command import assert_refused, ran

HEAD_ALONE = ["--limit", "1", "--vision", "fp16", "--decoder", "fp16", "--head", "int4", "--block", "32"]
NO_LAYERS = ["--vision", "fp16", "--decoder", "fp16", "--head", "fp16", "--kv", "int8"]


def test_the_worst_layers_are_told_and_all_are_in_the_report(
    source: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = ran("calibrate", source, out, "--images", photos, *HEAD_ALONE, "--rank")
    assert done.status == 0, done.err
    ranked = json.loads((out / "quality.json").read_bytes())["sensitivity"]
    assert ranked.keys() == {"decoder"} and ranked["decoder"].keys() == {"head"}
    told = f"most harm    decoder head {ranked['decoder']['head']:.2e} nats: all layers are in quality.html"
    assert told in done.out.splitlines()


def test_without_it_nothing_is_ranked(source: Path, photos: Path, tmp_path: Path) -> None:
    done = ran("calibrate", source, tmp_path / "out", "--images", photos, *HEAD_ALONE)
    assert done.status == 0 and "most harm" not in done.out, done
    assert "sensitivity" not in json.loads((tmp_path / "out" / "quality.json").read_bytes())


@pytest.mark.parametrize(
    ("options", "code", "word"),
    [
        ([*HEAD_ALONE], "EVL-CALIBRATE-SAMPLES", "layers are ranked by asking"),
        (["--budget-kl", "1", "--images", "photos"], "EVL-CALIBRATE-RECIPE", "a budget is kept by ranking"),
        ([*NO_LAYERS, "--images", "photos"], "EVL-CALIBRATE-RECIPE", "no layer is to be quantised"),
    ],
)
def test_where_it_has_nothing_to_do_it_is_refused_before_anything_is_read(
    tmp_path: Path, options: list[str], code: str, word: str
) -> None:
    """Neither bundle nor pictures are there."""
    refused = ran("calibrate", tmp_path / "none", tmp_path / "out", *options, "--rank")
    assert_refused(refused, code)
    assert word in refused.err, refused.err
