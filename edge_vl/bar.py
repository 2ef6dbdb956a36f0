"""How long work looks on one line: a bar, bytes or steps, and the time left."""

from __future__ import annotations

WIDTH = 24
COUNTED_BELOW = 1024  # smaller totals are steps, not bytes
BLOCKS, PLAIN = ("█", "░"), ("#", ".")


def bar_line(label: str, done: int, total: int, spent_s: float, columns: int, has_blocks: bool) -> str:
    """At most `columns` wide: a line that wraps cannot be drawn over."""
    full, empty = BLOCKS if has_blocks else PLAIN
    filled = min(WIDTH * done // max(total, 1), WIDTH)
    line = f"{full * filled}{empty * (WIDTH - filled)}  {plain_line(label, done, total)}"
    return f"{line}{time_left(spent_s, done, total)}"[: max(columns - 1, 1)]


def plain_line(label: str, done: int, total: int) -> str:
    return f"{label}  {amount(done, total)} of {amount(total, total)}"


def amount(count: int, total: int) -> str:
    if total < COUNTED_BELOW:
        return str(count)
    if total >= 1 << 30:
        return f"{count / (1 << 30):.2f} GiB"
    return f"{count / (1 << 20):.1f} MiB"


def time_left(spent_s: float, done: int, total: int) -> str:
    """Empty while nobody can know: before the first second, and at the end."""
    if done <= 0 or spent_s < 1.0 or done >= total:
        return ""
    seconds = round(spent_s * (total - done) / done)
    return f"  {seconds // 60}:{seconds % 60:02d} left"
