"""A graph with integers put into it in memory, against numpy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from calibration.blocks import quantised_from_weight
from calibration.decision import Decision, Float, Int4, Int8
from calibration.graft import quantise_in_memory
from calibration.migration import Scaling
from calibration.quantgraph import UNSCALED
from calibration.session import Session
from edge_runtime.errors import EdgeVLError
from tests.calibration.restored import weight_from_quantised
from tests.calibration.toy import INNER, Array, Toy

RNG = np.random.default_rng(5)
ROWS, COLUMNS = (RNG.uniform(0.25, 4, INNER).astype(np.float32) for _ in range(2))
SCALING = Scaling(rows={"blocks.0.o.weight": ROWS}, columns={"blocks.0.k.weight": COLUMNS})


def answer(toy: Toy, folder: Path, decisions: Mapping[str, Decision], scaling: Scaling = UNSCALED) -> Array:
    path = toy.write(folder)
    model = ir.load(path)
    quantise_in_memory(model, path.name, "ort", decisions, quantised_from_weight, scaling)
    found: Array = Session(model, folder, 1, "toy").run(None, {"x": toy.x})[0]
    return found


def ratio_db(wanted: Array, found: Array) -> float:
    wide = wanted.astype(np.float64)
    return float(10 * np.log10((wide**2).sum() / ((found - wide) ** 2).sum()))


@pytest.mark.parametrize("layer", ["blocks.0.q", "blocks.0.o", "head"])
@pytest.mark.parametrize("decision", [Int4(32), Int8(), Int8(0.05)])
def test_one_layer_answers_as_its_integers_do_in_numpy(
    tmp_path: Path, layer: str, decision: Decision
) -> None:
    toy = Toy()
    found = answer(toy, tmp_path, {layer: decision})
    assert ratio_db(toy.quantised_forward({layer: decision}), found) > 60
    assert ratio_db(toy.quantised_forward({}), found) < 55


def test_halves_are_multiplied_as_the_bundle_will_multiply_them(tmp_path: Path) -> None:
    toy = Toy(np.float16)
    decisions: dict[str, Decision] = {"blocks.0.o": Int4(32)}
    assert ratio_db(toy.quantised_forward(decisions), answer(toy, tmp_path, decisions)) > 50


def test_what_stays_float_changes_nothing(tmp_path: Path) -> None:
    toy = Toy()
    found = answer(toy, tmp_path / "float", {"head": Float("asked")})
    assert np.array_equal(found, answer(toy, tmp_path / "plain", {}))


def test_scale_that_moved_is_put_aside_around_the_one_layer(tmp_path: Path) -> None:
    toy = Toy()
    decisions: dict[str, Decision] = {"blocks.0.k": Int4(32), "blocks.0.o": Int8()}
    weights = dict(toy.weights)
    for name, how in (("blocks.0.k", Int4(32)), ("blocks.0.o", Int8())):
        scaled = SCALING.applied(f"{name}.weight", weights[f"{name}.weight"])
        weights[f"{name}.weight"] = weight_from_quantised(quantised_from_weight(name, scaled, how))
    weights["blocks.0.k.weight"] = weights["blocks.0.k.weight"] * COLUMNS
    weights["blocks.0.o.weight"] = weights["blocks.0.o.weight"] / ROWS[:, None]
    wanted = toy.inputs(weights)["head"] @ np.concatenate(
        [weights["head.weight_0"], weights["head.weight_1"]], axis=1
    )
    found = answer(toy, tmp_path, decisions, SCALING)
    assert ratio_db(wanted, found) > 60
    assert ratio_db(toy.quantised_forward(decisions), found) < 55


def test_a_layer_that_is_not_there_is_an_error_by_name(tmp_path: Path) -> None:
    with pytest.raises(EdgeVLError, match=r"blocks\.9\.q"):
        answer(Toy(), tmp_path, {"blocks.9.q": Int8()})
