"""What the page says about budgets, and about layers by their harm."""

from __future__ import annotations

from tests.calibration.paged import bare, full, layer, part, read, sensitivity


def test_the_most_harmful_layer_is_ranked_first_and_one_that_breaks_the_model_before_it() -> None:
    ranked = part(full(), "Layers by the harm they do alone")
    told = ["blocks.0.v breaks answers", "blocks.0.o 2.50e-01", "head 1.25e-01", "blocks.0.q 1.00e-03"]
    places = [ranked.index(f"decoder {each}") for each in told]
    assert places == sorted(places)


def test_layers_are_ranked_without_a_budget_too() -> None:
    report = bare() | {"sensitivity": sensitivity()}
    assert "decoder blocks.0.v breaks answers" in part(report, "Layers by the harm they do alone")
    assert "The budget" not in read(report).text


def test_long_rankings_fold_and_name_every_layer() -> None:
    names = [f"blocks.{number}.q" for number in range(30)]
    alone = {name: 1.0 - number / 100 for number, name in enumerate(names)}
    layers = [layer(name, "int4/32") for name in names]
    report = bare() | {"roles": {"decoder": layers}, "sensitivity": {"decoder": alone}}
    first, folded, rest = part(report, "Layers by the harm").partition("the other 6 of 30 layers")
    assert folded and all(f"decoder {name} " in first for name in names[:24])
    assert all(f"decoder {name} " in rest for name in names[24:])
