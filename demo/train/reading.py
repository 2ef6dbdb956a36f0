"""Which answers a batch's logits get right, word for word.

Every token of an answer being the likeliest after the true ones before it is the same as greedy decoding
giving the answer, so no decoding is needed to know.
"""

from __future__ import annotations

from collections import defaultdict

from torch import Tensor

from demo.train.batch import Batch


def rights(logits: Tensor, batch: Batch) -> list[bool]:
    """One verdict for each of the batch's answers."""
    is_right = (logits.argmax(dim=-1) == batch.targets).numpy()
    return [bool(is_right[each.row, each.start : each.stop].all()) for each in batch.answers]


def share_right(logits: Tensor, batch: Batch) -> float:
    verdicts = rights(logits.detach(), batch)
    return sum(verdicts) / len(verdicts)


def share_of_tokens_right(logits: Tensor, batch: Batch) -> float:
    is_right = (logits.argmax(dim=-1) == batch.targets) & (batch.weights > 0)
    return float(is_right.sum() / (batch.weights > 0).sum())


class Score:
    """Verdicts by task."""

    def __init__(self) -> None:
        self.right: defaultdict[str, int] = defaultdict(int)
        self.asked: defaultdict[str, int] = defaultdict(int)

    def add(self, logits: Tensor, batch: Batch) -> None:
        for answer, verdict in zip(batch.answers, rights(logits, batch), strict=True):
            self.asked[answer.question.task] += 1
            self.right[answer.question.task] += verdict

    def figures(self) -> dict[str, float]:
        by_task = {task: self.right[task] / self.asked[task] for task in sorted(self.asked)}
        return {"right": sum(self.right.values()) / max(1, sum(self.asked.values())), **by_task}
