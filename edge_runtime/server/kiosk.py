"""The page as a kiosk: what the file of `edge-vl serve --kiosk` may say."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from edge_runtime.errors import EdgeVLError
from edge_runtime.record import MismatchError, read_record
from edge_runtime.server.config_file import text_of_file

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CODE = "EVL-KIOSK-FILE"
MOST_QUESTIONS = 12
LONGEST_TEXT = 200  # characters of a title or a question: more does not fit a button
SHORTEST_RESET_S = 10.0
LONGEST_RESET_S = 3600.0


@dataclass(frozen=True)
class Kiosk:
    """A ValueError says what cannot be. Nobody touched it for `idle_reset_s`: everything is cleared away, and for the
    last `countdown_s` of that the screen says so."""

    title: str = "Ask about a picture"
    questions: tuple[str, ...] = (
        "What is in this picture?",
        "What does the text say?",
        "How many things are there?",
    )
    idle_reset_s: float = 60.0
    countdown_s: float = 10.0
    is_camera_first: bool = True  # it opens by itself
    can_pick: bool = False  # files, which opens the system's own window
    can_type: bool = False  # questions of one's own

    def __post_init__(self) -> None:
        if not 1 <= len(self.questions) <= MOST_QUESTIONS:
            raise ValueError(f"questions: there must be 1 to {MOST_QUESTIONS}, got {len(self.questions)}")
        if len(set(self.questions)) != len(self.questions):
            raise ValueError("questions: one of them is there twice")
        for text in (self.title, *self.questions):
            if not text.strip() or len(text) > LONGEST_TEXT:
                raise ValueError(
                    f"title and questions must have 1 to {LONGEST_TEXT} characters, got {len(text)}"
                )
        if not SHORTEST_RESET_S <= self.idle_reset_s <= LONGEST_RESET_S:
            raise ValueError(
                f"idle_reset_s must be {SHORTEST_RESET_S:g} to {LONGEST_RESET_S:g}, got {self.idle_reset_s:g}"
            )
        if not 3 <= self.countdown_s < self.idle_reset_s:
            raise ValueError(
                f"countdown_s must be at least 3 and less than idle_reset_s, got {self.countdown_s:g}"
            )

    @classmethod
    def read(cls, path: Path) -> Kiosk:
        """The kiosk of a TOML file; keys it does not have keep their defaults."""
        try:
            return cast(Kiosk, read_record(cls, _table_from(path), ""))
        except MismatchError as mismatch:
            why = f"{mismatch.path or path.name}: {mismatch}"
        raise EdgeVLError(CODE, f"{path.name} does not describe a kiosk", why, _fix())

    def settings(self) -> dict[str, object]:
        """As the page reads it."""
        return {"kiosk": True, **dataclasses.asdict(self)}


def _table_from(path: Path) -> dict[str, object]:
    what = f"{path.name} cannot be read"
    try:
        return tomllib.loads(text_of_file(path))
    except EdgeVLError as fault:  # it speaks of another file's flag
        raise EdgeVLError(CODE, what, fault.why, _fix()) from fault
    except (ValueError, RecursionError) as fault:
        why = str(fault) if isinstance(fault, ValueError) else "it is nested too deeply"
        raise EdgeVLError(CODE, what, f"it is not TOML: {why}", _fix()) from fault


def _fix() -> str:
    names = ", ".join(field.name for field in dataclasses.fields(Kiosk))
    return f"write a TOML file with any of {names}"
