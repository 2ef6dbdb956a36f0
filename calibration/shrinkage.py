"""How far moments can be believed: what few tokens seem to say about inputs that go together is mostly chance."""

from __future__ import annotations

import numpy as np

from calibration.blocks import Floats

ROWS = 512  # at a time, so that a large moment is not copied whole


def drawn_to_diagonal(second_moment: Floats, tokens: int) -> None:
    """Draws x^T x (K, K) of so many tokens towards inputs that do not go together, in place.

    The share is that of oracle approximating shrinkage (Chen, Wiesel, Eldar and Hero 2010), of correlations: it needs
    nothing but the moment and the count. Where a few directions are large it takes the rest for as true as these: so
    it is no less than what the count alone says. The diagonal stays: how large an input is, few tokens tell well.
    """
    share = max(share_of_chance(second_moment, tokens), share_of_count(len(second_moment), tokens))
    diagonal = second_moment.diagonal().copy()
    second_moment *= np.float32(1 - share)
    second_moment[np.diag_indices_from(second_moment)] = diagonal


def share_of_count(width: int, tokens: int) -> float:
    """A half where tokens are as many as inputs, a hundredth where they are ten times as many."""
    return width**2 / (width**2 + tokens**2)


def share_of_chance(second_moment: Floats, tokens: int) -> float:
    """From 0, where tokens are many, to 1, where inputs go together no more than they would by chance."""
    diagonal = second_moment.diagonal().astype(np.float64)
    reached = diagonal > 0
    width = int(reached.sum())
    if width < 2:
        return 0.0  # nothing that could go together
    scales = np.zeros_like(diagonal)
    scales[reached] = 1 / diagonal[reached]
    squares = 0.0  # of all correlations, a one for every input itself
    for start in range(0, len(scales), ROWS):
        part = second_moment[start : start + ROWS].astype(np.float64) ** 2
        squares += float(scales[start : start + ROWS] @ part @ scales)
    together = squares - width
    if together <= 0:
        return 1.0
    by_chance = (1 - 2 / width) * squares + width**2
    return min(1.0, by_chance / ((tokens + 1 - 2 / width) * together))
