"""Where the `edge-vl` command begins."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import NoReturn


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Until it can end in words Ctrl-C ends it at once and without any: nothing is there yet that would have to be cleaned up."""
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from edge_vl.cli import main as begin

    begin(arguments)
