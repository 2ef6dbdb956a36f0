"""A stage's log as a picture: the loss above, what it gets right below."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from demo.train.loop import Figures

Log = Sequence[tuple[int, Figures]]
SMOOTHED = 0.02  # of the steps, over which the loss is averaged
STROKES = ("-", "--", ":")  # so that more than ten lines can be told apart
NOT_SHARES = {"loss", "map", "tokens", "language"}


def plot_log(stage: str, log: Log, out: Path) -> None:
    """Replaces `out`."""
    import matplotlib  # here, because a machine without it may still ask how to train

    matplotlib.use("Agg")
    from cycler import cycler
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(2, 1, figsize=(9, 8), sharex=True)
    figure.subplots_adjust(left=0.11, right=0.98, bottom=0.07, top=0.95, hspace=0.08)
    steps = np.array([step for step, _ in log])
    losses = np.array([figures["loss"] for _, figures in log])
    above.plot(steps, losses, color="0.8", linewidth=0.5)
    above.plot(steps, smoothed(losses), color="tab:blue")
    above.set_yscale("log")
    above.set_ylabel("loss")
    above.set_title(stage)
    below.set_prop_cycle(cycler(linestyle=STROKES) * pyplot.rcParams["axes.prop_cycle"])
    for name in shares_in(log):
        found = [(step, figures[name]) for step, figures in log if name in figures]
        is_main = name in ("right", "answers")
        values = np.array([value for _, value in found])
        below.plot(
            [step for step, _ in found],
            smoothed(values) if len(found) > len(log) // 2 else values,
            label=name,
            linewidth=2.5 if is_main else 1.0,
        )
    below.set_ylim(0, 1)
    below.set_ylabel("share right")
    below.set_xlabel("step")
    below.grid(alpha=0.3)
    below.legend(fontsize="small", ncols=3)
    partial = out.with_name("partial-" + out.name)
    figure.savefig(partial, dpi=90)
    pyplot.close(figure)
    partial.replace(out)


def shares_in(log: Log) -> list[str]:
    return sorted({name for _, figures in log for name in figures} - NOT_SHARES)


def smoothed(values: np.ndarray) -> np.ndarray:
    """A running mean that is as long as what it is made of."""
    width = max(1, round(len(values) * SMOOTHED))
    padded = np.pad(values, (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.ones(width) / width, mode="valid")
