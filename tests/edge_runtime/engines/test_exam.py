"""Questions that are the same for every engine, and how alike two answers are."""

from __future__ import annotations

import copy
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.backends.backend import Array, Floats, Ints
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import FloatPrecision, Precision
from edge_runtime.engines.exam import (
    LEAST_DB,
    MOST_DB,
    RUNS,
    TOKENS,
    USUAL_STEPS,
    Answers,
    decoder_answers,
    examination_of,
    feeds_for,
    graph_answers,
    likeness_db,
    sqnr_db,
)
from edge_runtime.scores import Scores, Top
from edge_runtime.spec import ModelSpec, Role
from tests.demo.train.small import SPEC as HYBRID
from tests.edge_runtime.bench_samples import FakeClock
from tests.edge_runtime.bundle_samples import WIDTH
from tests.edge_runtime.fake_backend import CONTEXT, IMAGE_TOKENS, VOCAB, FakeBackend, fake_bundle

WANTED = np.array([3.0, -4.0, 12.0], dtype=np.float32)
PREFILL_S, STEP_S, FETCH_S = 1.0, 0.25, 50.0


@dataclass
class SlowGraph:
    """Takes longer each time, and says how often it was asked."""

    clock: FakeClock
    asked: int = 0

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self.asked += 1
        self.clock.now += self.asked
        return {"embeds": np.full(2, self.asked, dtype=np.float16)}

    def launch(self, feeds: Mapping[str, Array]) -> Callable[[], dict[str, Array]]:
        return lambda: self.run(feeds)


@dataclass
class SlowDecoder:
    """Says how many tokens it holds; the first of each kind of step is slow, and so is fetching all logits."""

    clock: FakeClock
    capacity: int
    batch: int = 1
    fed: list[tuple[int, int, int]] = field(default_factory=list)  # cache row, tokens, row of the logits
    rows: list[Array] = field(default_factory=list)

    def row(self, row: int) -> SlowDecoder:
        assert row == 0 and self.batch == 1
        return self

    def step(self, embeds: Array, write_index: Ints, logit_index: Ints) -> Scores:
        tokens = embeds.shape[1]
        kind = [each for each in self.fed if (each[1] > 1) == (tokens > 1)]
        is_warm = len(kind) >= (1 if tokens > 1 else 2)
        self.clock.now += (PREFILL_S if tokens > 1 else STEP_S) * (1 if is_warm else 100)
        self.fed.append((int(write_index[0]), tokens, int(logit_index[0, 0])))
        self.rows.append(np.array(embeds))
        said = np.full((1, 1, VOCAB), int(write_index[0]) + tokens, dtype=np.float32)
        return Scores(lambda: self._fetched(said), Top(said[..., :1], np.zeros((1, 1, 1), dtype=np.int64)))

    def _fetched(self, said: Floats) -> Floats:
        self.clock.now += FETCH_S
        return said


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return fake_bundle(tmp_path / "bundle")


def answers(*said: Floats) -> Answers:
    return Answers(said, 1.0)


def examined_decoder(bundle: Bundle, tokens: int = 80) -> tuple[SlowDecoder, Answers]:
    clock = FakeClock()
    decoder = SlowDecoder(clock, tokens)
    return decoder, decoder_answers(decoder, bundle, tokens, clock)


def test_the_same_numbers_are_as_alike_as_can_be() -> None:
    assert sqnr_db(WANTED, WANTED.copy()) == MOST_DB
    assert sqnr_db(np.zeros(3, dtype=np.float32), np.zeros(3, dtype=np.float32)) == MOST_DB


@pytest.mark.parametrize(
    ("factor", "decibels"), [(0.9, 20.0), (1.1, 20.0), (0.0, 0.0), (2.0, 0.0), (1.01, 40.0)]
)
def test_likeness_is_the_energy_of_the_answer_over_that_of_the_difference(
    factor: float, decibels: float
) -> None:
    assert sqnr_db(WANTED, WANTED * np.float32(factor)) == pytest.approx(decibels, abs=1e-3)


@pytest.mark.parametrize(
    "found",
    [
        WANTED[:2],
        WANTED[None],
        np.array([3, -4, np.nan], dtype=np.float32),
        np.array([3, -4, np.inf], dtype=np.float32),
    ],
)
def test_another_shape_or_what_is_no_number_is_as_unlike_as_can_be(found: Floats) -> None:
    assert sqnr_db(WANTED, found) == -MOST_DB


def test_something_where_nothing_was_wanted_is_as_unlike_as_can_be() -> None:
    assert sqnr_db(np.zeros(3, dtype=np.float32), WANTED) == -MOST_DB


def test_numbers_as_large_as_floats_are_compared_without_overflow() -> None:
    huge = np.full(3, 3e38, dtype=np.float32)
    assert sqnr_db(huge, -huge) == pytest.approx(-20 * np.log10(2))


def test_the_worst_of_several_answers_counts() -> None:
    wanted = answers(WANTED, WANTED, WANTED)
    found = answers(WANTED, WANTED * np.float32(0.9), WANTED)
    assert likeness_db(wanted, found) == pytest.approx(20, abs=1e-3)


def test_an_answer_too_few_is_as_unlike_as_can_be() -> None:
    assert likeness_db(answers(WANTED, WANTED), answers(WANTED)) == -MOST_DB


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_answers_are_finite_where_every_number_is(value: float) -> None:
    assert answers(WANTED, WANTED).is_finite
    assert not answers(WANTED, np.array([0, value], dtype=np.float32)).is_finite


def test_every_precision_has_its_least_likeness_and_floats_more_than_integers() -> None:
    floats, every = typing.get_args(FloatPrecision), typing.get_args(Precision)
    assert set(LEAST_DB) == set(every) > set(floats)
    assert min(LEAST_DB[each] for each in floats) > max(LEAST_DB[each] for each in set(every) - set(floats))


def test_a_graph_is_timed_after_its_first_run_and_the_median_counts() -> None:
    clock = FakeClock()
    graph = SlowGraph(clock)
    found = graph_answers(graph, {}, clock)
    assert graph.asked == 1 + RUNS
    assert found.ms == 3000.0  # of runs that took 2, 3 and 4 seconds


def test_what_a_graph_says_last_counts_as_floats() -> None:
    clock = FakeClock()
    (said,) = graph_answers(SlowGraph(clock), {}, clock).said
    assert said.dtype == np.float32
    assert said.tolist() == [4, 4]


def test_a_decoder_is_asked_a_prompt_twice_and_then_token_by_token_to_the_end(bundle: Bundle) -> None:
    decoder, _ = examined_decoder(bundle)
    assert decoder.fed[:2] == [(0, 64, 63)] * 2
    assert decoder.fed[2:] == [(at, 1, 0) for at in range(64, 80)]


def test_a_decoder_is_shown_rows_of_the_bundles_own_table(bundle: Bundle) -> None:
    decoder, _ = examined_decoder(bundle)
    shown = np.concatenate(decoder.rows[1:], axis=1)[0, :, 0]
    assert shown.shape == (80,)
    assert len(set(shown.tolist())) > 40
    assert set(shown.tolist()) <= set(range(VOCAB))


def test_a_decoder_has_an_answer_after_every_step(bundle: Bundle) -> None:
    _, found = examined_decoder(bundle)
    assert [float(each[0]) for each in found.said] == [64, 64, *range(65, 81)]
    assert {each.shape for each in found.said} == {(VOCAB,)}


@pytest.mark.parametrize("tokens", [20, 80])
def test_a_decoders_time_is_that_of_a_usual_answer_when_all_is_set_up(bundle: Bundle, tokens: int) -> None:
    _, found = examined_decoder(bundle, tokens)
    assert found.ms == pytest.approx(1000 * (PREFILL_S + USUAL_STEPS * STEP_S))


@pytest.mark.parametrize("tokens", [1, 2, 5, 9])
def test_a_decoder_with_next_to_no_room_is_asked_too(bundle: Bundle, tokens: int) -> None:
    decoder, found = examined_decoder(bundle, tokens)
    assert max(start + count for start, count, _ in decoder.fed) == tokens
    assert len(found.said) == len(decoder.fed)
    assert found.ms > 0


@pytest.mark.parametrize(("context", "capacity"), [(CONTEXT, TOKENS), (40, 40), (10**6, TOKENS)])
def test_a_decoder_is_asked_for_no_more_tokens_than_it_holds(
    bundle: Bundle, context: int, capacity: int
) -> None:
    backend = FakeBackend([7] * 200)
    examination_of(bundle, "decoder", context)(backend)
    assert [each.capacity for each in backend.decoders] == [capacity]
    assert max(row + len(values) for row, values in backend.decoders[0].fed) == capacity


@pytest.mark.parametrize("role", ["vision_low", "adaptor", "decoder"])
def test_every_backend_is_asked_the_same(bundle: Bundle, role: Role) -> None:
    first, second = FakeBackend([7] * 200), FakeBackend([7] * 200)
    found = [examination_of(bundle, role, CONTEXT)(each) for each in (first, second)]
    assert likeness_db(*found) == MOST_DB
    assert (first.ran, first.shapes) == (second.ran, second.shapes)
    assert [each.fed for each in first.decoders] == [each.fed for each in second.decoders]


def test_a_tower_is_shown_one_picture_as_it_takes_it(bundle: Bundle) -> None:
    (pixels,) = feeds_for(bundle, "vision_low").values()
    size = bundle.spec.preprocess.low.size
    assert pixels.shape == (1, 3, size, size)
    assert pixels.std() > 0.1


def test_an_adaptor_is_fed_what_each_tower_would_say(bundle: Bundle) -> None:
    low_only = {name: array.shape for name, array in feeds_for(bundle, "adaptor").items()}
    assert low_only == {"low": (1, IMAGE_TOKENS, WIDTH)}
    tokens, widths = HYBRID.image_tokens, HYBRID.adaptor
    both = {name: array.shape for name, array in feeds_for(with_spec(bundle, HYBRID), "adaptor").items()}
    assert both == {"high": (1, tokens, widths.high_width), "low": (1, tokens, widths.low_width)}


def test_each_of_two_towers_is_shown_the_picture_at_its_own_size(bundle: Bundle) -> None:
    hybrid = with_spec(bundle, HYBRID)
    assert HYBRID.high is not None
    sides: tuple[tuple[Role, int], ...] = (
        ("vision_high", HYBRID.high.image_size),
        ("vision_low", HYBRID.low.image_size),
    )
    for role, size in sides:
        (pixels,) = feeds_for(hybrid, role).values()
        assert pixels.shape == (1, 3, size, size)


def with_spec(bundle: Bundle, spec: ModelSpec) -> Bundle:
    """As far as questions go, which no manifest has to agree with."""
    manifest = copy.copy(bundle.manifest)
    object.__setattr__(manifest, "spec", spec)
    return replace(bundle, manifest=manifest)
