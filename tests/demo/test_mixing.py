"""What could mix colours up is taken away, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from demo.data.shape_questions import counted_word
from demo.mixing import WAYS, Mixing, Subject, subjects, tallied
from demo.sizes import DEMO_HYBRID
from demo.train.conversation import Writer
from demo.train.model import Learner
from demo.train.start import Start
from demo.walkthrough import CHECKPOINT


@pytest.fixture(scope="module")
def mixing() -> Mixing:
    learner = Learner(DEMO_HYBRID, 0)
    for role, tensors in Start(CHECKPOINT).weights(DEMO_HYBRID).items():
        learner.take(role, tensors)
    return Mixing(learner)


@pytest.fixture(scope="module")
def several(writer: Writer) -> list[Subject]:
    return [each for each in subjects(writer, "held-out", 6) if len(each.colours) > 1]


def test_a_colour_alone_has_paper_where_the_others_were(several: list[Subject]) -> None:
    for subject in several:
        colour = min(subject.colours)
        before, after = np.array(subject.scene.picture), np.array(subject.alone(colour))
        for mark in subject.scene.marks:
            left, top, right, bottom = map(int, mark.box)
            was, now = before[top:bottom, left:right], after[top:bottom, left:right]
            if mark.label.split()[0] == colour:
                assert (was == now).all()
            else:
                assert (now == now[0, 0]).all() and (was != now).any()


def test_tokens_are_hidden_from_shapes_of_other_colours_or_from_the_question(
    mixing: Mixing, several: list[Subject]
) -> None:
    for subject in several:
        is_image = subject.batch.is_image[0]
        assert not mixing.unseen(subject, WAYS[0]).any() and not mixing.unseen(subject, WAYS[1]).any()
        among, asking = (mixing.unseen(subject, way)[0] for way in WAYS[2:])
        assert among.any() and not among[~is_image].any() and not among[:, ~is_image].any()
        assert not among.diagonal().any()
        assert asking.any() and not asking[is_image].any() and not asking[:, ~is_image].any()
        for answer in subject.batch.answers:
            colour = counted_word(answer.question.text)
            hidden = asking[int(subject.batch.rows[0, answer.start])].nonzero().flatten()
            assert hidden.tolist() == sorted((subject.first + subject.others(colour)).tolist())


def test_what_is_composed_differs_where_shapes_are_and_nowhere_else(
    mixing: Mixing, several: list[Subject]
) -> None:
    subject = several[0]
    assert subject.batch.low is not None
    with torch.no_grad():
        seen = mixing.learner.rows_from_pixels(subject.batch.low, subject.batch.high)
        changed = (mixing.composed(subject, seen) != seen).any(-1)[0].nonzero().flatten().tolist()
    assert set(changed) == {token for each in subject.tokens.values() for token in each.tolist()}


def test_the_shipped_model_counts_most_colours_that_met(mixing: Mixing, writer: Writer) -> None:
    told = tallied(mixing, writer, "train", 5)
    (company,) = told.values()
    assert isinstance(company, dict) and company["asked"] >= 8
    assert set(company["right"]) == set(WAYS) and company["right"][WAYS[0]] > 0.6
