"""How long work looks on one line: a bar, bytes or steps, and the time left."""

from __future__ import annotations

from edge_runtime.progress import is_in_bytes

WIDTH = 24
BLOCKS, PLAIN = ("█", "░"), ("#", ".")


def bar_line(label: str, done: int, total: int, left_s: float | None, columns: int, has_blocks: bool) -> str:
    """At most `columns` wide: a line that wraps cannot be drawn over."""
    full, empty = BLOCKS if has_blocks else PLAIN
    filled = min(WIDTH * done // max(total, 1), WIDTH)
    line = f"{full * filled}{empty * (WIDTH - filled)}  {plain_line(label, done, total, left_s)}"
    return line[: max(columns - 1, 1)]


def plain_line(label: str, done: int, total: int, left_s: float | None) -> str:
    if not is_in_bytes(label):
        return f"{label}  {done} of {total}{time_left(left_s)}"
    return f"{label}  {size(done, total)} of {size(total, total)}{time_left(left_s)}"


def size(count: int, total: int) -> str:
    if total >= 1 << 30:
        return f"{count / (1 << 30):.2f} GiB"
    return f"{count / (1 << 20):.1f} MiB"


def time_left(seconds: float | None) -> str:
    """Empty while nobody can know."""
    if seconds is None:
        return ""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"  {hour}:{minute:02d}:{second:02d} left" if hour else f"  {minute}:{second:02d} left"
