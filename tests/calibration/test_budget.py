"""Which mix is chosen, and that it holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.budget import MIB, Budget, Climb, Measured, chosen_mix
from calibration.decision import Decision, Float, Int4, Int8
from calibration.excerpt import EXCERPTS, SHORT_BYTES
from calibration.ladder import Ladder, Mix, Rung, fixed_bytes, ladder_from
from edge_runtime.errors import EdgeVLError
from edge_runtime.manifest import MANIFEST_NAME
from edge_runtime.progress import silent
from tests.calibration.rehearsed import Rehearsed
from tests.proof.subject import session_folder

FIXED = 3 * MIB
RANK: Mapping[type, int] = {Int4: 0, Int8: 1, Float: 2}
damages = st.one_of(st.floats(0, 10), st.just(float("inf")), st.just(0.0))


def ladder(name: str, four: float, eight: float, mib: int = 1) -> Ladder:
    rungs = (
        Rung(Int4(), mib * MIB, four),
        Rung(Int8(), 2 * mib * MIB, eight),
        Rung(Float(), 8 * mib * MIB, 0.0),
    )
    return Ladder("decoder", name, rungs)


@st.composite
def ladders(draw: st.DrawFn) -> list[Ladder]:
    found = []
    for number in range(draw(st.integers(0, 7))):
        sizes = sorted(draw(st.sets(st.integers(1, 9 * MIB), min_size=3, max_size=3)))
        decisions: list[Decision] = [Int4(), Int8(), Float()]
        costs = [draw(damages), draw(damages), 0.0]
        rungs = [Rung(*each) for each in zip(decisions, sizes, costs, strict=True)]
        found.append(Ladder("decoder", f"l{number}", tuple(rungs[draw(st.integers(0, 2)) :])))
    return found


def asked(every: list[Ladder]) -> Mix:
    return {"decoder": {each.layer: each.rungs[0].decision for each in every} | {"other": Int8()}}


def cost_of(every: list[Ladder], mix: Mix) -> float:
    """As if harm just added up."""
    found = mix["decoder"]
    return sum(
        next(rung.damage for rung in each.rungs if same(rung.decision, found[each.layer])) for each in every
    )


def same(one: Decision, other: Decision) -> bool:
    return isinstance(one, type(other))


def within(every: list[Ladder], budget: Budget) -> tuple[Mix, int] | None:
    try:
        found = chosen_mix(
            asked(every), every, budget, FIXED, lambda mix: Measured(cost_of(every, mix)), silent
        )
    except EdgeVLError:
        return None
    return found.mix, found.bytes


@given(ladders(), st.floats(0, 40))
def test_a_budget_of_harm_is_kept_with_what_float_keeps(every: list[Ladder], kl: float) -> None:
    found = within(every, Budget(kl=kl))
    assert found is not None  # float costs nothing
    assert cost_of(every, found[0]) <= kl


@given(ladders(), st.floats(0, 90))
def test_a_budget_of_bytes_is_kept_or_the_least_does_not_fit(every: list[Ladder], mib: float) -> None:
    least = FIXED + sum(each.rungs[0].bytes for each in every)
    found = within(every, Budget(mib=mib))
    assert (found is None) == (least > mib * MIB)
    if found is not None:
        decisions = found[0]["decoder"]
        sizes = [
            rung.bytes for each in every for rung in each.rungs if same(rung.decision, decisions[each.layer])
        ]
        assert found[1] == FIXED + sum(sizes) <= mib * MIB


@given(ladders(), st.floats(0, 90), st.floats(0, 40))
def test_nothing_becomes_coarser_than_it_was_asked_to_be(every: list[Ladder], mib: float, kl: float) -> None:
    wanted = asked(every)["decoder"]
    for budget in (Budget(mib=mib), Budget(kl=kl), Budget(kl=kl, mib=mib)):
        found = within(every, budget)
        if found is not None:
            mix = found[0]["decoder"]
            assert mix.keys() == wanted.keys() and mix["other"] == Int8()
            assert all(RANK[type(mix[name])] >= RANK[type(wanted[name])] for name in wanted)


@given(ladders(), st.floats(0, 90), st.floats(0, 90))
def test_more_room_never_means_more_harm(every: list[Ladder], one: float, other: float) -> None:
    small, large = (within(every, Budget(mib=mib)) for mib in sorted((one, other)))
    if small is not None:
        assert large is not None and large[1] >= small[1]
        assert cost_of(every, large[0]) <= cost_of(every, small[0]) * (1 + 1e-9)


@given(ladders(), st.floats(0, 40), st.floats(0, 40))
def test_more_harm_allowed_never_means_more_bytes(every: list[Ladder], one: float, other: float) -> None:
    strict, loose = (within(every, Budget(kl=kl)) for kl in sorted((one, other)))
    assert strict is not None and loose is not None and loose[1] <= strict[1]


@given(ladders(), st.floats(0, 40))
def test_the_same_question_has_the_same_answer(every: list[Ladder], kl: float) -> None:
    assert within(every, Budget(kl=kl)) == within(every, Budget(kl=kl))


@given(ladders(), st.lists(st.floats(0, 1), min_size=20, max_size=20), st.floats(0, 1))
def test_what_was_measured_is_believed_however_it_jumps(
    every: list[Ladder], kls: list[float], kl: float
) -> None:
    costs: dict[str, float] = {}

    def jumping(mix: Mix) -> Measured:
        return Measured(costs.setdefault(repr(mix), kls[len(costs)]))

    try:
        found = chosen_mix(asked(every), every, Budget(kl=kl), FIXED, jumping, silent)
    except EdgeVLError:
        assert list(costs.values())[-1] > kl
    else:
        assert found.measured == Measured(costs[repr(found.mix)]) and costs[repr(found.mix)] <= kl


def test_the_layer_that_does_most_harm_for_its_bytes_is_lifted_first() -> None:
    every = [ladder("tame", 0.3, 0.0), ladder("planted", 5.0, 1.0), ladder("large", 2.0, 0.0, mib=100)]
    found = within(every, Budget(kl=3.4))
    assert found is not None
    assert found[0]["decoder"]["planted"] == Int8()
    assert [found[0]["decoder"][name] for name in ("tame", "large")] == [Int4(), Int4()]


def test_a_layer_goes_straight_to_float_where_8_bits_hardly_help() -> None:
    every = [ladder("planted", 5.0, 4.999)]
    found = within(every, Budget(kl=4.9995))
    assert found is not None and isinstance(found[0]["decoder"]["planted"], Float)


def test_a_layer_that_stays_float_says_what_it_would_have_cost_and_saved() -> None:
    every = [ladder("planted", 5.0, 4.999)]
    found = within(every, Budget(kl=0.0))
    assert found is not None
    assert found[0]["decoder"]["planted"] == Float("alone it costs 5 nats and saves 7 MiB")
    found = within([ladder("broken", float("inf"), 1.0)], Budget(kl=0.5))
    assert found is not None
    assert found[0]["decoder"]["broken"] == Float("alone it breaks every answer and saves 7 MiB")
    nothing = Ladder("decoder", "tiny", (Rung(Float(), 4096, 0.0),))
    found = within([nothing], Budget(kl=0.0))
    assert found is not None
    assert found[0]["decoder"]["tiny"] == Float("quantised it would take no fewer bytes")


def test_the_figures_are_those_of_the_mix_that_was_chosen() -> None:
    every = [ladder("one", 4.0, 1.0), ladder("two", 2.0, 0.5)]
    found = chosen_mix(
        asked(every), every, Budget(kl=3.0), FIXED, lambda mix: Measured(cost_of(every, mix)), silent
    )
    assert [found.mix["decoder"][name] for name in ("one", "two")] == [Int8(), Int4()]
    assert found.measured == Measured(3.0) and found.bytes == FIXED + 3 * MIB and found.lifts == 1


def test_bytes_fit_to_the_last_one() -> None:
    every, exactly = [ladder("q", 1, 0)], FIXED + 2 * MIB
    fits, short = (within(every, Budget(mib=count / MIB)) for count in (exactly, exactly - 1))
    assert fits is not None and fits[1] == exactly
    assert short is not None and short[1] == exactly - MIB


def test_bisection_measures_few_mixes() -> None:
    every = [ladder(f"l{number}", 0.1, 0.01) for number in range(100)]
    heard = list[tuple[str, int, int]]()
    measured = list[Mix]()

    def measure(mix: Mix) -> Measured:
        measured.append(mix)
        return Measured(cost_of(every, mix))

    chosen_mix(asked(every), every, Budget(kl=3.0), FIXED, measure, lambda *said: heard.append(said))
    assert len(measured) <= 10
    assert heard == [("measuring mixes", done, heard[0][2]) for done in range(len(measured))]
    assert len(measured) <= heard[0][2] <= len(measured) + 1


def test_a_budget_of_bytes_is_not_measured() -> None:
    def never(mix: Mix) -> Measured:
        raise AssertionError("a mix was measured")

    found = chosen_mix(asked([ladder("q", 1, 0)]), [ladder("q", 1, 0)], Budget(mib=6), FIXED, never, silent)
    assert found.mix["decoder"]["q"] == Int8() and found.measured is None and found.lifts == 1


def test_accuracy_is_a_budget_too_and_both_must_hold() -> None:
    every = [ladder("q", 1.0, 0.25)]

    def measure(mix: Mix) -> Measured:
        return Measured(cost_of(every, mix), lost_points=40 * cost_of(every, mix))

    def chosen(budget: Budget) -> Decision:
        return chosen_mix(asked(every), every, budget, FIXED, measure, silent).mix["decoder"]["q"]

    assert chosen(Budget(kl=2, accuracy=50)) == Int4()
    assert chosen(Budget(kl=2, accuracy=10)) == Int8()
    assert chosen(Budget(kl=0.5, accuracy=50)) == Int8()
    assert isinstance(chosen(Budget(kl=2, accuracy=9)), Float)


def test_a_gain_of_accuracy_keeps_a_budget_of_none_lost() -> None:
    assert Budget(accuracy=0).holds(Measured(0.1, lost_points=-0.5))


def test_no_finite_number_keeps_no_budget() -> None:
    assert not Budget(kl=1e300).holds(Measured(float("nan")))


def test_where_float_itself_does_not_keep_the_budget_both_figures_are_named() -> None:
    every = [ladder("q", 1.0, 0.25)]
    with pytest.raises(EdgeVLError, match=r"0\.75 nats against a budget of 0\.5") as caught:
        chosen_mix(asked(every), every, Budget(kl=0.5), FIXED, lambda _: Measured(0.75), silent)
    assert caught.value.code == "EVL-CALIBRATE-BUDGET"


def test_where_room_and_harm_cannot_both_be_kept_the_figures_are_named() -> None:
    every = [ladder("q", 1.0, 0.25)]
    with pytest.raises(EdgeVLError, match=r"6 MiB: .*0\.25 nats against a budget of 0\.1"):
        chosen_mix(
            asked(every),
            every,
            Budget(kl=0.1, mib=6),
            FIXED,
            lambda mix: Measured(cost_of(every, mix)),
            silent,
        )


def test_where_the_least_does_not_fit_both_figures_are_named() -> None:
    with pytest.raises(EdgeVLError, match=r"no mix fits 3\.5 MiB: .* takes 4\.00 MiB") as caught:
        chosen_mix(
            asked([ladder("q", 1, 0)]),
            [ladder("q", 1, 0)],
            Budget(mib=3.5),
            FIXED,
            lambda _: Measured(0),
            silent,
        )
    assert "--budget-mib 4" in caught.value.fix


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_what_is_no_amount_is_no_budget(value: float) -> None:
    for budget in ("kl", "accuracy", "mib"):
        with pytest.raises(EdgeVLError, match=f"--budget-{budget}") as caught:
            Budget(**{budget: value})
        assert caught.value.code == "EVL-CALIBRATE-BUDGET"


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Rehearsed:
    return Rehearsed.below(session_folder(tmp_path_factory), tmp_path_factory.mktemp("budget"))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_written_bundle_takes_what_was_reckoned_and_hardly_less(
    subject: Rehearsed, share: float, tmp_path: Path
) -> None:
    mix = subject.mix("vision_high", "vision_low", "adaptor", "decoder")
    every = [
        ladder_from(role, name, subject.matrices[role][name], {decision: 1.0})
        for role, decisions in mix.items()
        for name, decision in decisions.items()
    ]
    climb = Climb(mix, every, fixed_bytes(subject.bundle, subject.matrices, every))
    count = round(share * (len(climb) - 1))
    written = sum(entry.bytes for entry in subject.written(climb.mix(count), tmp_path).manifest.files)
    spare = 1024 * (64 + 2 * len(every)) + 4096 * len(every)  # reports, nodes, and pages that are not full
    spare += EXCERPTS * SHORT_BYTES + (subject.bundle.folder / MANIFEST_NAME).stat().st_size
    assert written <= climb.bytes(count) <= written + spare
