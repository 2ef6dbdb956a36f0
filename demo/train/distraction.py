"""How much a question that counts things of one look heeds things of another, in every block.

Colours that no training picture has together are told apart by every token of the picture; it is the question that takes up one with
the other on its way, from what it saw before it knew which to look for (docs/decisions.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor

from demo.data.nameless import possible_names
from demo.data.scene import Box, Mark
from demo.data.shape import COLOURS, KINDS
from demo.data.shape_questions import counted_word
from demo.train.batch import Answer, Batch
from demo.train.branched import HIDDEN
from demo.train.dense import CELL, CELLS
from demo.train.spelling import Training
from edge_runtime.tokenizer import Tokenizer

Looks = Mapping[
    int, frozenset[str]
]  # what colours and kinds a picture's token may be said to show, where it shows a shape


@dataclass(frozen=True)
class Counting:
    """What `places` of a row ask for or say, from the word on that names it."""

    row: int
    places: tuple[int, ...]
    word: str


@dataclass(frozen=True)
class Shown:
    """All tokens of a batch that show shapes: in which row, at which place, and what."""

    rows: Tensor
    places: Tensor
    looks: tuple[frozenset[str], ...]

    def is_other(self, word: str) -> Tensor:
        return torch.tensor([word not in each for each in self.looks])


class Distraction:
    """The loss is nothing where no head looks at what is not counted, in this picture or, were they in it, in the batch's others, all
    of which weigh as one."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def judged(self, spelling: Training, batch: Batch) -> tuple[Tensor, float]:
        """The loss, and the share of all looks that go astray in the question's own picture."""
        nothing = 0.0 * spelling.asked[0][0].float().sum()
        shown, several = shown_in(batch), list(self.countings(batch))
        if shown is None or not several:
            return nothing, 0.0
        losses, astray = list[Tensor](), list[Tensor]()
        for row, group in groupby(several, key=lambda each: each.row):
            countings = list(group)
            places = torch.tensor([place for each in countings for place in each.places])
            is_other = torch.stack([shown.is_other(each.word) for each in countings for _ in each.places])
            is_here = shown.rows == row
            pictures = len({*shown.rows.tolist()} - {row})
            is_wrong = torch.zeros(len(places), spelling.hidden.shape[-1], dtype=torch.bool)
            is_wrong[:, shown.places[is_here]] = is_other[:, is_here]
            beside = torch.where(is_other[:, ~is_here], -math.log(max(1, pictures)), HIDDEN)
            hidden = spelling.hidden[row, places]
            for q, keys in spelling.asked:
                asked = q[row, :, places]
                scores = (asked @ keys[row].transpose(1, 2)).float() + hidden
                strange = keys[shown.rows[~is_here], :, shown.places[~is_here]].permute(1, 2, 0)
                others = (asked @ strange).float() + beside
                right = scores.masked_fill(is_wrong, HIDDEN).logsumexp(-1)
                wrong = torch.cat((scores.masked_fill(~is_wrong, HIDDEN), others), -1).logsumexp(-1)
                losses.append(F.softplus(wrong - right).mean(0))
                astray.append(1 - (right - scores.logsumexp(-1)).detach().exp().mean(0))
        return torch.cat(losses).mean(), float(torch.cat(astray).mean())

    def countings(self, batch: Batch) -> Iterator[Counting]:
        pictured = set(batch.is_image.any(1).nonzero().flatten().tolist())
        for answer in batch.answers:
            word = counted_word(answer.question.text) if answer.question.task == "count" else ""
            if word and answer.row in pictured:
                yield Counting(answer.row, self.places(batch, answer, word), word)

    def places(self, batch: Batch, answer: Answer, word: str) -> tuple[int, ...]:
        """From the last time that the word begins before the answer to what the answer's last token follows."""
        said = (word, COLOURS[word][1] if word in COLOURS else KINDS[word])
        first, last = batch.rows[answer.row, [answer.start, answer.stop - 1]].tolist()
        ids = batch.ids[answer.row].tolist()
        start = first
        while not any(each in self.tokenizer.decode(ids[start : first + 1]) for each in said):
            start -= 1
            assert batch.branches[answer.row, start] == batch.branches[answer.row, first], (
                "not in its question"
            )
        return tuple(range(start, last + 1))


def shown_in(batch: Batch) -> Shown | None:
    """None where there are no shapes."""
    found: list[tuple[int, int, frozenset[str]]] = []
    for row, marks in zip(batch.is_image.any(1).nonzero().flatten().tolist(), batch.marks, strict=True):
        first = int(batch.is_image[row].nonzero()[0])
        found += [(row, first + token, looks) for token, looks in looks_of(marks).items()]
    if not found:
        return None
    rows, places, looks = zip(*found, strict=True)
    return Shown(torch.tensor(rows), torch.tensor(places), looks)


def looks_of(marks: Sequence[Mark]) -> Looks:
    """Of every token that any part of a shape's box lies in; of two shapes, what both may be said to be."""
    found: dict[int, frozenset[str]] = {}
    for mark in marks:
        look = mark.label.split()
        if look[-1] in KINDS:
            names = possible_names(look[0]) | {look[-1]}
            for token in touched(mark.box):
                found[token] = found.get(token, frozenset()) | names
    return found


def touched(box: Box) -> list[int]:
    left, top = (math.floor(value / CELL) for value in box[:2])
    right, bottom = (math.ceil(value / CELL) for value in box[2:])
    return [row * CELLS + column for row in range(top, bottom) for column in range(left, right)]
