"""What an answer is about: while it is given, heads of one block look at the tokens in which the shapes in question, or the symbol to be
said next, have their middles.

The picture's tokens know colours, kinds and boxes long before an answer finds the right one (docs/decisions.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from demo.data.nameless import possible_names
from demo.data.scene import Box, Mark, Task, box_text
from demo.data.shape import KINDS
from demo.data.shape_questions import counted_word
from demo.train.batch import Answer, Batch
from demo.train.branched import HIDDEN
from demo.train.conversation import closing_of
from demo.train.dense import CELL, CELLS, cell_of
from demo.train.spelling import Training
from demo.train.whereabouts import HEARD
from edge_runtime.tokenizer import Tokenizer

POINTING = HEARD + 1  # the block behind the one whose tokens know their boxes
HEADS = 4  # of it; of two or three things side by side they look at one each, in turn
NOWHERE = 0  # the first token of all, which every other sees
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
    """In one row of a batch the tokens at `places` are about what the tokens at `targets` stand for: a tuple for each head, all of
    which it should look at alike."""

    row: int
    places: tuple[int, ...]
    targets: tuple[tuple[int, ...], ...]
    counted: str = ""  # the colour or the kind, where only those of one are


@dataclass(frozen=True)
class Elsewhere:
    """Tokens of all of a batch's shapes: in which row, at which place, and what their colour and kind may be called."""

    rows: Tensor
    places: Tensor
    looks: tuple[frozenset[str], ...]

    def others(self, row: int, looks: Iterable[Look]) -> Tensor:
        """(places, tokens): True for what a place in this row must not look at, were it in its picture."""
        told = [
            [bool(look.counted) and look.counted not in each for each in self.looks]
            for look in looks
            for _ in look.places
        ]
        return torch.tensor(told) & (self.rows != row)


class Pointing:
    """How well the heads look. `is_across`: what counts as nothing of a colour or a kind is also told by the other pictures of a
    batch, for there are colours that no picture has together."""

    def __init__(self, tokenizer: Tokenizer, layers: int, is_across: bool = False) -> None:
        self.tokenizer = tokenizer
        self.block = min(POINTING, layers - 1)
        self.is_across = is_across

    def judged(self, spelling: Training, batch: Batch) -> tuple[Tensor, float]:
        """The loss, a look weighing as much as any other however long its answer is; and of looks at one thing the share that falls
        on it more than on anything else."""
        q, keys = spelling.asked[self.block]
        elsewhere = elsewhere_of(batch) if self.is_across else None
        loss, count, rights = 0.0 * q.float().sum(), 0, list[Tensor]()
        for row, looks in groupby(self.looks(batch), key=lambda look: look.row):
            several = list(looks)
            places = torch.tensor([place for look in several for place in look.places])
            scores = q[row, :HEADS, places] @ keys[row, :HEADS].transpose(1, 2)
            scores = scores.float() + spelling.hidden[row, places]
            if elsewhere is not None:
                strange = keys[elsewhere.rows, :HEADS, elsewhere.places].permute(1, 2, 0)
                beside = (q[row, :HEADS, places] @ strange).float()
                is_hidden = ~elsewhere.others(row, several)
                scores = torch.cat((scores, beside.masked_fill(is_hidden, HIDDEN)), -1)
            shares = scores.log_softmax(-1)
            wanted = [each for each in wanted_of(several) if each[0] < q.shape[1]]
            heads, order, targets = torch.tensor([each[:3] for each in wanted]).T
            weights = torch.tensor([each[3] for each in wanted])
            loss = loss - (shares[heads, order, targets] * weights).sum()
            found = shares.detach().argmax(-1)[heads, order] == targets
            rights.append(found[torch.tensor([each[4] for each in wanted])])
            count += len(several)
        right = torch.cat(rights).float() if rights else torch.zeros(0)
        return loss / max(1, count), float(right.mean()) if len(right) else 0.0

    def looks(self, batch: Batch) -> Iterator[Look]:
        pictured = batch.is_image.any(1).nonzero().flatten().tolist()
        marks = dict(zip(pictured, batch.marks, strict=True))
        for answer in batch.answers:
            if answer.row in marks:
                first = int(batch.is_image[answer.row].nonzero()[0])
                yield from self.looks_of(answer, batch, first, marks[answer.row])

    def looks_of(self, answer: Answer, batch: Batch, first: int, marks: Sequence[Mark]) -> Iterator[Look]:
        """`first` is the picture's first token."""
        symbols = self.symbols(batch, answer)
        *places, end = batch.rows[answer.row, answer.start : answer.start + len(symbols) + 1].tolist()
        about, task = answer.question.about, answer.question.task
        if task == "count":
            word = counted_word(answer.question.text)
            yield Look(answer.row, tuple(places), counted(about, first), word)
        elif about:
            seen = [(first + token_of(box),) for box in about]
            yield Look(answer.row, tuple(places), tuple(seen[head % len(seen)] for head in range(HEADS)))
        else:
            found = list((spelt if task in READ else boxed)(symbols, marks))
            for start, stop, box in found:
                yield Look(answer.row, tuple(places[start:stop]), ((first + token_of(box),),) * HEADS)
            if found and task in READ:  # where nothing more is to be read, nothing is to be seen
                yield Look(answer.row, (end,), ((NOWHERE,),) * HEADS)

    def symbols(self, batch: Batch, answer: Answer) -> list[str]:
        """What each token of an answer stands for, but its end, and that of an object in which it stands."""
        stop = answer.stop - 1 - closing_of(answer.question)
        tokens = batch.targets[answer.row, answer.start : stop].tolist()
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


def elsewhere_of(batch: Batch) -> Elsewhere | None:
    """None where there are no shapes."""
    found: list[tuple[int, int, frozenset[str]]] = []
    for row, marks in zip(batch.is_image.any(1).nonzero().flatten().tolist(), batch.marks, strict=True):
        first = int(batch.is_image[row].nonzero()[0])
        for mark in marks:
            look = mark.label.split()
            if look[-1] in KINDS:
                names = possible_names(look[0]) | {look[-1]}
                found += [(row, first + token, names) for token in tokens_of(mark.box)]
    if not found:
        return None
    rows, places, looks = zip(*found, strict=True)
    return Elsewhere(torch.tensor(rows), torch.tensor(places), looks)


def tokens_of(box: Box) -> list[int]:
    """Those whose middles lie in it."""
    left, top, right, bottom = (math.ceil(value / CELL - 0.5) for value in box)
    return [row * CELLS + column for row in range(top, bottom) for column in range(left, right)]


def token_of(box: Box) -> int:
    """The one in which its middle lies."""
    left, top, right, bottom = (value / CELL for value in box)
    return cell_of(top, bottom) * CELLS + cell_of(left, right)


def counted(boxes: Sequence[Box], first: int) -> tuple[tuple[int, ...], ...]:
    """Each head looks at those in its quarter of the picture, and nowhere: how little is left to that says how many there are, and
    none is told from one, and one from two, more easily than five from six."""
    tokens = [token_of(box) for box in boxes]
    return tuple(
        (NOWHERE, *(first + token for token in tokens if quarter_of(token) == head)) for head in range(HEADS)
    )


def quarter_of(token: int) -> int:
    row, column = divmod(token, CELLS)
    return row // (CELLS // 2) * 2 + column // (CELLS // 2)


Wanted = tuple[
    int, int, int, float, bool
]  # head, which of all places, target, weight, whether it is one thing


def wanted_of(looks: Iterable[Look]) -> list[Wanted]:
    """Of looks one after the other in one row; the weights of each are one in sum."""
    wanted: list[Wanted] = []
    start = 0
    for look in looks:
        for head, targets in enumerate(look.targets):
            weight = 1 / (len(look.targets) * len(look.places) * len(targets))
            for place in range(start, start + len(look.places)):
                is_one = len(targets) == 1 and targets[0] != NOWHERE
                wanted += [(head, place, target, weight, is_one) for target in targets]
        start += len(look.places)
    return wanted
