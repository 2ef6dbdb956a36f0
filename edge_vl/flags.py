"""What flags of several verbs share: what a text on the command line is taken for, and flags alike in all."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path


def given_path(text: str) -> Path:
    # An unset variable in a script gives an empty text, which Path takes for the current folder.
    if not text:
        raise ArgumentTypeError("the path is empty")
    return Path(text)


def given_count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return count


def add_pictures(parser: ArgumentParser, help_text: str) -> None:
    parser.add_argument(
        "--image",
        type=given_path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help=help_text,
    )


def add_trust(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--trust-bundle", action="store_true", help="skip hashing; structure is always checked"
    )
