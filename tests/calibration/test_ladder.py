"""What layers take at each precision, against what is really written."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.decision import BLOCKS, Decision, Float, Int4, Int8
from calibration.ladder import (
    Ladder,
    Matrix,
    Rung,
    decisions_below_float,
    ladder_from,
    precision_of,
)
from calibration.quantgraph import write_quantised_graph
from tests.calibration.toy import Toy

sizes = st.integers(1, 600)


@pytest.mark.parametrize("decision", [Float(), Int4(32), Int4(128), Int8(), Int8(0.1)])
def test_sizes_are_those_of_what_is_written(tmp_path: Path, decision: Decision) -> None:
    toy = Toy()
    source = toy.write(tmp_path / "in")
    (tmp_path / "out").mkdir()
    names = ["blocks.0.q", "blocks.0.k", "blocks.0.o", "head"]
    done = write_quantised_graph(source, tmp_path / "out/decoder.onnx", "ort", dict.fromkeys(names, decision))
    for outcome in done.outcomes:
        rows, columns = toy.weights[f"{outcome.layer}.weight{outcome.part}"].shape
        assert sum(Matrix(rows, columns, 4).tensors(decision)) == outcome.bytes


@given(sizes, sizes, st.sampled_from([2, 4]), st.sampled_from(BLOCKS))
def test_a_ladder_leads_up_in_bytes_and_never_below_what_was_asked(
    rows: int, columns: int, item_bytes: int, block: int
) -> None:
    damages = dict.fromkeys(decisions_below_float(Int4(block)), 1.0)
    ladder = ladder_from("decoder", "q", [Matrix(rows, columns, item_bytes)], damages)
    assert [each.bytes for each in ladder.rungs] == sorted({each.bytes for each in ladder.rungs})
    assert {each.decision for each in ladder.rungs} <= {Int4(block), Int8(), Float()}


def test_between_4_bits_and_float_there_are_8() -> None:
    assert decisions_below_float(Int4(64)) == (Int4(64), Int8())
    assert decisions_below_float(Int8(0.5)) == (Int8(0.5),)
    assert decisions_below_float(Float("asked")) == ()


def test_what_takes_no_less_than_float_is_no_rung() -> None:
    ladder = ladder_from("decoder", "q", [Matrix(8, 8, 4)], {Int8(): 0.1})  # a page is the least there is
    assert ladder.rungs == (Rung(Float(), 4096, 0.0),)


def test_a_head_in_parts_is_the_sum_of_them() -> None:
    parts = [Matrix(128, 512, 4), Matrix(128, 512, 4)]
    whole = ladder_from("decoder", "head", parts, {Int8(): 0.1})
    half = ladder_from("decoder", "head", parts[:1], {Int8(): 0.1})
    assert [each.bytes for each in whole.rungs] == [2 * each.bytes for each in half.rungs]


def test_a_ladder_that_does_not_end_in_float_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        Ladder("decoder", "q", (Rung(Int8(), 10, 0.5),))


def test_a_role_has_the_precision_of_most_of_its_weights() -> None:
    layers = {"q": [Matrix(64, 64, 4)], "head": [Matrix(64, 128, 4)], "odd": [Matrix(33, 64, 4)]}
    assert precision_of(layers, {"q": Int4(32), "head": Int8(), "odd": Int4(32)}, "fp32") == "int8"
    assert precision_of(layers, {"q": Int4(32), "head": Int4(64), "odd": Int4(32)}, "fp32") == "int4"
    assert precision_of(layers, {"q": Int4(32), "head": Float("asked"), "odd": Int4(32)}, "fp16") == "fp16"
    assert precision_of({}, {}, "fp32") == "fp32"
