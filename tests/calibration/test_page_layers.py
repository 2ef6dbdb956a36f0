"""What the page says about single layers."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from calibration.recipe import Recipe
from tests.calibration.paged import bare, full, layer, part, read


def test_bars_are_as_long_as_what_they_stand_for() -> None:
    only = bare() | {
        "roles": {"decoder": [layer("a", "int4/32", sqnr_db=10.0), layer("b", "int4/32", sqnr_db=40.0)]}
    }
    *_, short, long = read(only).drawn("int4")
    assert long > 20 and short == pytest.approx(long / 4, abs=0.01)


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


def test_a_plot_of_8_bit_products_says_that_it_knows_of_weights_alone() -> None:
    told = "what is lost of their inputs comes on top"
    products = {"vision_low": [layer("blocks.0.q", "int8 products", sqnr_db=40.0)]}
    assert told in part(bare() | {"roles": products}, "What rounding cost each layer")
    assert told not in read(bare()).text


def test_layers_that_are_not_alike_in_all_dialects_are_told() -> None:
    told = ["decoder head: float in ort, int4/128 and float in trt10"]
    floats = bare(decoder="fp16", head="fp16") | {"differing": told}
    for report in (full() | {"differing": told}, floats):
        assert f"Not alike in all dialects: {told[0]}." in part(report, "Finer than was asked")
