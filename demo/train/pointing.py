"""What an answer is about: while it is given, heads of one block look at the tokens in which the shapes in question, or the symbol to be
said next, have their middles.

The picture's tokens know colours, kinds and boxes long before an answer finds the right one (docs/decisions.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from demo.data.scene import Box, Mark, Task, box_text
from demo.data.shape import KINDS
from demo.train.batch import Answer, Batch
from demo.train.dense import CELL, CELLS, cell_of
from demo.train.spelling import Training
from demo.train.whereabouts import HEARD
from edge_runtime.tokenizer import Tokenizer

POINTING = HEARD + 1  # the block behind the one whose tokens know their boxes
HEADS = 4  # of it; of two shapes that are compared, every other looks at the same
OPEN = "["
READ: tuple[Task, ...] = (
    "code",
    "small_print",
    "meter",
    "receipt",
    "price_tag",
    "table",
)  # aloud, where others are judged
SPELT = len(box_text((0, 0, 0, 0)))  # symbols, each a token


@dataclass(frozen=True)
class Look:
    """In one row of a batch the tokens at `places` are about what those at `targets` stand for: each of the heads about all alike, or, of
    two that are compared, every other."""

    row: int
    places: tuple[int, ...]
    targets: tuple[int, ...]
    is_compared: bool = False


class Pointing:
    """How well the heads look."""

    def __init__(self, tokenizer: Tokenizer, layers: int) -> None:
        self.tokenizer = tokenizer
        self.block = min(POINTING, layers - 1)

    def judged(self, spelling: Training, batch: Batch) -> tuple[Tensor, float]:
        """The loss, and of looks at one thing the share that falls on it more than on anything else."""
        q, keys = spelling.asked[self.block]
        losses, rights = [0.0 * q.float().sum()[None]], list[Tensor]()
        for row, looks in groupby(self.looks(batch), key=lambda look: look.row):
            several = list(looks)
            places = torch.tensor([place for look in several for place in look.places])
            scores = q[row, :HEADS, places] @ keys[row, :HEADS].transpose(1, 2)
            shares = (scores.float() + spelling.hidden[row, places]).log_softmax(-1)
            sizes = [len(look.places) for look in several]
            for look, each in zip(several, torch.split(shares, sizes, dim=1), strict=True):
                targets, heads = torch.tensor(look.targets), torch.arange(len(each))
                if look.is_compared:
                    losses.append(-each[heads, :, targets[heads % 2]].flatten())
                else:
                    losses.append(-each[..., targets].mean(-1).flatten())
                if len(look.targets) == 1:
                    rights.append((each.detach().argmax(-1) == targets).flatten())
        right = float(torch.cat(rights).float().mean()) if rights else 0.0
        return torch.cat(losses).sum() / max(1, sum(map(len, losses[1:]))), right

    def looks(self, batch: Batch) -> Iterator[Look]:
        pictured = batch.is_image.any(1).nonzero().flatten().tolist()
        marks = dict(zip(pictured, batch.marks, strict=True))
        for answer in batch.answers:
            if answer.row in marks:
                first = int(batch.is_image[answer.row].nonzero()[0])
                yield from self.looks_of(answer, batch, first, marks[answer.row])

    def looks_of(self, answer: Answer, batch: Batch, first: int, marks: Sequence[Mark]) -> Iterator[Look]:
        """`first` is the picture's first token."""
        places = tuple(batch.rows[answer.row, answer.start : answer.stop - 1].tolist())  # not the end's
        about = tuple(first + token_of(box) for box in answer.question.about)
        task = answer.question.task
        if task == "count":  # how little is left to the first token of all says how many there are
            yield Look(answer.row, places, (0, *about))
        elif about:
            yield Look(answer.row, places, about, len(about) == 2)
        else:
            found = (spelt if task in READ else boxed)(self.symbols(batch, answer), marks)
            for start, stop, box in found:
                yield Look(answer.row, places[start:stop], (first + token_of(box),))

    def symbols(self, batch: Batch, answer: Answer) -> list[str]:
        """What each token of an answer stands for, but its end."""
        tokens = batch.targets[answer.row, answer.start : answer.stop - 1].tolist()
        return [self.tokenizer.decode([token]) for token in tokens]


Span = tuple[int, int, Box]  # tokens of an answer, and what they are about


def boxed(symbols: Sequence[str], marks: Iterable[Mark]) -> Iterator[Span]:
    """Boxes of shapes, from the first bracket to the last digit."""
    boxes = {box_text(mark.box): mark.box for mark in marks if mark.label.split()[-1] in KINDS}
    for start, symbol in enumerate(symbols):
        text = "".join(symbols[start : start + SPELT]) if symbol == OPEN else ""
        if text in boxes:
            yield start, start + SPELT - 1, boxes[text]


def spelt(symbols: Sequence[str], marks: Sequence[Mark]) -> Iterator[Span]:
    """Symbols that stand side by side in the picture as they do in the answer, and nowhere else; one alone might be anything."""
    wanted = [(place, symbol.strip()) for place, symbol in enumerate(symbols) if symbol.strip()]
    text, labels = [symbol for _, symbol in wanted], [mark.label for mark in marks]
    found = [start for start in range(len(labels)) if labels[start : start + len(text)] == text]
    if len(text) > 1 and len(found) == 1:
        for (place, _), mark in zip(wanted, marks[found[0] :], strict=False):
            yield place, place + 1, mark.box


def token_of(box: Box) -> int:
    """The one in which its middle lies."""
    left, top, right, bottom = (value / CELL for value in box)
    return cell_of(top, bottom) * CELLS + cell_of(left, right)
