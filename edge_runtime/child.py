"""What a process of ours that we start is given along."""

from __future__ import annotations

import os
import sys


def child_environment() -> dict[str, str]:
    """It finds the modules that this process finds, wherever it works."""
    places = [os.path.abspath(place) for place in sys.path]  # noqa: PTH100  ("" is the working folder)
    return os.environ | {"PYTHONPATH": os.pathsep.join(places)}
