"""A question that counts heeds nothing else on its way."""

from __future__ import annotations

import pytest
import torch

from demo.data.nameless import is_doubtful
from demo.data.scene import Mark
from demo.data.shape import COLOURS, KINDS
from demo.data.shapes import counted_scene
from demo.data.split import rng_from_name
from demo.train.batch import Batch
from demo.train.conversation import Writer
from demo.train.dense import CELL, CELLS
from demo.train.distraction import Counting, Distraction, looks_of, shown_in, touched
from demo.train.model import Learner
from edge_runtime.tokenizer import Tokenizer
from tests.demo.train.small import SPEC, batch_of

LAYERS = SPEC.decoder.layers


@pytest.fixture(scope="module")
def distraction(tokenizer: Tokenizer) -> Distraction:
    return Distraction(tokenizer)


def batch_with(writer: Writer, pictures: int, nameless: float = 0.0) -> Batch:
    scenes = [counted_scene(rng_from_name(4, index), "train", nameless) for index in range(pictures)]
    return batch_of(writer, scenes)


def judged(
    distraction: Distraction, batch: Batch, q: torch.Tensor, keys: torch.Tensor
) -> tuple[float, float]:
    learner = Learner(SPEC, 3)
    learner.spelling.arrange(batch.positions, batch.branches)
    learner.spelling.asked = [(q, keys)] * LAYERS
    loss, astray = distraction.judged(learner.spelling, batch)
    return float(loss), astray


def indifferent(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries and keys of heads that look at all alike."""
    rows, length = batch.ids.shape
    return torch.zeros(rows, 4, length, 2), torch.zeros(rows, 4, length, 2)


def test_a_question_counts_from_its_word_on_and_to_its_answers_end(
    distraction: Distraction, writer: Writer, tokenizer: Tokenizer
) -> None:
    batch = batch_with(writer, 4)
    countings = list(distraction.countings(batch))
    words = {each.word for each in countings}
    assert words & set(COLOURS) and words & set(KINDS) and "" not in words
    assert {each.row for each in countings} == {1, 2, 3, 4}, "row 0 has no picture"
    for each in countings:
        said = tokenizer.decode(batch.ids[each.row, list(each.places)].tolist()).strip()
        named = {each.word, (COLOURS[each.word][1] if each.word in COLOURS else KINDS[each.word])}
        assert said.startswith(tuple(named)) and said[-1].isdigit() and said.count("Assistant:") == 1
        assert len({*batch.branches[each.row, list(each.places)].tolist()}) == 1


def test_tokens_that_a_shape_touches_show_it_and_what_two_touch_shows_both() -> None:
    assert touched((0, 0, CELL, CELL)) == [0]
    assert touched((CELL - 1, 0, CELL + 1, CELL + 1)) == [0, 1, CELLS, CELLS + 1]
    marks = [Mark("red ring", (0, 0, CELL + 1, CELL)), Mark("blue star", (CELL + 2, 0, 2 * CELL, CELL))]
    assert looks_of([*marks, Mark("K", (0, 0, 90, 90))]) == {
        0: {"red", "ring"},
        1: {"red", "ring", "blue", "star"},
    }


def test_a_shade_is_not_held_to_be_none_of_what_it_may_be_called(writer: Writer) -> None:
    batch = batch_with(writer, 6, nameless=1.0)
    shown = shown_in(batch)
    assert shown is not None
    shades = {
        (name, mark.label.split()[0])
        for marks in batch.marks
        for mark in marks
        for name in COLOURS
        if mark.label.startswith("nameless") and is_doubtful(name, mark.label.split()[0])
    }
    assert shades
    for name, shade in shades:
        names = looks_of([Mark(f"{shade} ring", (0, 0, CELL, CELL))])[0]
        assert name in names and "ring" in names and shade not in names


def test_who_looks_at_all_alike_goes_astray_by_how_many_other_shapes_there_are(
    distraction: Distraction, writer: Writer
) -> None:
    batch = batch_with(writer, 1)
    shown = shown_in(batch)
    assert shown is not None
    _, astray = judged(distraction, batch, *indifferent(batch))
    learner = Learner(SPEC, 3)
    learner.spelling.arrange(batch.positions, batch.branches)
    shares = []
    for each in distraction.countings(batch):
        others = int(shown.is_other(each.word).sum())
        seen = [int((learner.spelling.hidden[each.row, place] == 0).sum()) for place in each.places]
        shares += [others / count for count in seen]
    assert astray == pytest.approx(sum(shares) / len(shares), rel=1e-4) and astray > 0.01


def eager(batch: Batch, countings: list[Counting], is_right: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Heads that look at what is counted, or else at other shapes, of one batch's first word."""
    q, keys = indifferent(batch)
    shown = shown_in(batch)
    assert shown is not None
    word = countings[0].word
    others = shown.is_other(word)
    wanted = ~others if is_right else others
    keys[shown.rows[wanted], :, shown.places[wanted], 1] = 1.0
    for each in countings:
        if each.word == word:
            q[each.row, :, list(each.places), 1] = 9.0
    return q, keys


def test_who_looks_at_what_is_counted_loses_less_than_who_looks_beside(
    distraction: Distraction, writer: Writer
) -> None:
    batch = batch_with(writer, 2)
    countings = list(distraction.countings(batch))
    calm = judged(distraction, batch, *indifferent(batch))
    right, wrong = (judged(distraction, batch, *eager(batch, countings, each)) for each in (True, False))
    assert right[0] <= calm[0] < wrong[0] and right[1] <= calm[1] < wrong[1]


def test_shapes_of_other_pictures_cost_though_nobody_sees_them(
    distraction: Distraction, writer: Writer
) -> None:
    batch = batch_with(writer, 2)
    shown = shown_in(batch)
    assert shown is not None
    (one, other) = sorted({*shown.rows.tolist()})
    countings = [each for each in distraction.countings(batch) if each.row == one]
    q, keys = indifferent(batch)
    keys[shown.rows[shown.rows == other], :, shown.places[shown.rows == other], 1] = 1.0
    calm = judged(distraction, batch, q, keys)
    for each in countings:
        q[one, :, list(each.places), 1] = 9.0
    drawn = judged(distraction, batch, q, keys)
    assert drawn[0] > calm[0] + 0.5 and drawn[1] == pytest.approx(calm[1], abs=1e-6)


def test_where_nothing_is_counted_nothing_is_lost(distraction: Distraction, writer: Writer) -> None:
    batch = batch_with(writer, 1)
    batch = type(batch)(**{**vars(batch), "answers": ()})
    assert judged(distraction, batch, *indifferent(batch)) == (0.0, 0.0)


def test_a_few_steps_bring_heads_back(distraction: Distraction, writer: Writer) -> None:
    torch.manual_seed(0)
    batch, learner = batch_with(writer, 2), Learner(SPEC, 3)
    parameters = learner.learn(("embed", "decoder"))
    optimiser = torch.optim.AdamW(parameters, 3e-3)
    losses = []
    for _ in range(12):
        learner.logits(learner.roles["embed"](batch.ids), batch)
        loss, _ = distraction.judged(learner.spelling, batch)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]
