"""How long work that is under way will still take."""

from __future__ import annotations

MARKS = 64  # that are remembered of the time since the work began, spread over it
KNOWN_AFTER_S = 1.0


class Pace:
    """What was done by when, of one piece of work.

    Only the latter half of the time counts. Work that goes on after a kill begins somewhere, and runs through what was
    found before it in no time: neither says anything about what is left.
    """

    def __init__(self, now_s: float, done: int) -> None:
        self._began_s = self._now_s = now_s
        self._marks = [(now_s, done)]

    def note(self, now_s: float, done: int) -> None:
        """Times never go back."""
        marks, age_s = self._marks, now_s - self._began_s
        self._now_s = now_s
        if done == marks[-1][1]:
            return
        if len(marks) > 1 and now_s - marks[-2][0] < age_s / MARKS:
            marks.pop()
        marks.append((now_s, done))
        while len(marks) > 1 and marks[1][0] <= self._began_s + age_s / 2:
            marks.pop(0)

    def left_s(self, total: int) -> float | None:
        """None while nobody can know: before the first second, where nothing goes on, and at the end."""
        (start_s, first), (_, done) = self._marks[0], self._marks[-1]
        if self._now_s - self._began_s < KNOWN_AFTER_S or not first < done < total:
            return None
        return (total - done) * (self._now_s - start_s) / (done - first)
