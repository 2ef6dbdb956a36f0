"""Conversations and pictures of one step, padded and stacked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from demo.data.scene import Mark, Question, Scene
from demo.train.conversation import Conversation
from edge_runtime.preprocess import Pixels, pixels_from_picture
from edge_runtime.spec import PreprocessSpec

MULTIPLE = 16  # sequences are padded to a few lengths only


@dataclass(frozen=True)
class Answer:
    """Where a question's answer lies among a batch's targets."""

    question: Question
    row: int
    start: int
    stop: int


@dataclass(frozen=True)
class Batch:
    """Ids, positions and branches are (B, S), padding has branch -1.

    `rows` (B, K) are the positions whose next token is a target (B, K) with its weight (B, K)."""

    ids: Tensor
    is_image: Tensor
    positions: Tensor
    branches: Tensor
    rows: Tensor
    targets: Tensor
    weights: Tensor
    low: Tensor | None  # (P, 3, s, s): the pictures of the conversations that have one, in order
    high: Tensor | None
    answers: tuple[Answer, ...]
    marks: tuple[tuple[Mark, ...], ...] = ()  # of each picture


def batch_from(conversations: Sequence[Conversation], pictures: Sequence[Pixels], has_high: bool) -> Batch:
    length = -(-max(len(each.ids) for each in conversations) // MULTIPLE) * MULTIPLE
    count = max(sum(is_learnt(each, place) for place in range(1, len(each.ids))) for each in conversations)
    ids = np.zeros((len(conversations), length), np.int64)
    is_image = np.zeros((len(conversations), length), bool)
    positions, branches = (np.full((len(conversations), length), -1, np.int64) for _ in range(2))
    rows, targets = (np.zeros((len(conversations), count), np.int64) for _ in range(2))
    weights = np.zeros((len(conversations), count), np.float32)
    answers: list[Answer] = []
    for index, each in enumerate(conversations):
        ids[index, : len(each.ids)] = each.ids
        is_image[index, : len(each.ids)] = each.is_image
        positions[index, : len(each.ids)] = each.positions
        branches[index, : len(each.ids)] = each.branches
        # A branch's first token follows what is shared, not what stands before it here: it is not learnt.
        learnt = [place for place in range(1, len(each.ids)) if is_learnt(each, place)]
        rows[index, : len(learnt)] = [place - 1 for place in learnt]
        targets[index, : len(learnt)] = [each.ids[place] for place in learnt]
        weights[index, : len(learnt)] = [each.weights[place] for place in learnt]
        where = {place: order for order, place in enumerate(learnt)}
        for (start, stop), question in zip(each.answers, each.questions, strict=True):
            answers.append(Answer(question, index, where[start], where[stop - 1] + 1))
    low, high = stacked(pictures, has_high)
    return Batch(
        ids=torch.from_numpy(ids),
        is_image=torch.from_numpy(is_image),
        positions=torch.from_numpy(positions).clamp(min=0),
        branches=torch.from_numpy(branches),
        rows=torch.from_numpy(rows),
        targets=torch.from_numpy(targets),
        weights=torch.from_numpy(weights),
        low=low,
        high=high,
        answers=tuple(answers),
    )


def is_learnt(conversation: Conversation, place: int) -> bool:
    before, own = conversation.branches[place - 1 : place + 1]
    return conversation.weights[place] > 0 and before == own


def stacked(pictures: Sequence[Pixels], has_high: bool) -> tuple[Tensor | None, Tensor | None]:
    if not pictures:
        return None, None
    low = torch.from_numpy(np.stack([each.low for each in pictures]))
    if not has_high:
        return low, None
    planes = [each.high for each in pictures if each.high is not None]
    assert len(planes) == len(pictures), "pictures without a high plane"
    return low, torch.from_numpy(np.stack(planes))


def pixels_of(scene: Scene, spec: PreprocessSpec) -> Pixels:
    """As the product would see the scene's picture."""
    assert scene.picture is not None
    return pixels_from_picture(scene.picture, spec)
