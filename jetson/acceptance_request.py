"""What an acceptance is asked for on the command line."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from edge_runtime.engines.selection import Wanted
from edge_runtime.errors import EdgeVLError
from edge_runtime.manifest import MANIFEST_NAME


@dataclass(frozen=True)
class Wish:
    """`engine` is whose engines are built; None and "auto" leave to `edge-vl` what is not said."""

    bundle: Path
    out: Path
    engine: Wanted = "auto"
    engines: Path | None = None
    memory_mib: int | None = None
    runs: int | None = None
    against: Path | None = None
    fallback: Path | None = None
    is_json: bool = False


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        fix = f"see `{self.prog} --help`"
        raise EdgeVLError("EVL-USAGE", "the command line is not understood", message, fix)


def wish_from_arguments(arguments: Sequence[str]) -> Wish:
    """EVL-USAGE where they are not understood; what is not there is said before anything takes time."""
    wish = Wish(**vars(parser_of_command().parse_args(arguments)))
    for bundle in (wish.bundle, wish.fallback):
        if bundle is not None and not os.path.isfile(bundle / MANIFEST_NAME):  # noqa: PTH113  (a name may be too long)
            what, why = f"{bundle} is not a bundle", f"there is no {MANIFEST_NAME} in it"
            raise EdgeVLError("EVL-BUNDLE-MISSING", what, why, "give the folder that export wrote")
    if wish.against is not None and not os.path.isdir(wish.against):  # noqa: PTH112
        what, why = f"there is no checkpoint at {wish.against}", "it is no folder"
        raise EdgeVLError(
            "EVL-CHECKPOINT-FOLDER", what, why, "give the folder that the bundle was exported from"
        )
    return wish


def parser_of_command() -> Parser:
    parser = Parser(
        prog="jetson/acceptance.sh",
        description="Builds a bundle's engines on this machine, verifies, asks and benches it, and writes one report.",
        epilog="Exit codes: 0 nothing failed, 1 a step failed, 2 your mistake, 3 a fault of the machine. "
        "What cannot be done here is skipped, and the report says so.",
        allow_abbrev=False,
    )
    parser.add_argument("bundle", type=given_path, metavar="BUNDLE")
    parser.add_argument(
        "--out", type=given_path, required=True, metavar="REPORT.json", help="the report; must not exist"
    )
    add_building(parser)
    parser.add_argument("--runs", type=given_count, metavar="N", help="of each measurement")
    parser.add_argument(
        "--against", type=given_path, metavar="CHECKPOINT", help="compare with it; needs the workbench"
    )
    parser.add_argument(
        "--json", dest="is_json", action="store_true", help="end stdout with the report in one line"
    )
    return parser


def add_building(parser: Parser) -> None:
    parser.add_argument("--engine", choices=["auto", "tensorrt", "tensorrt-rtx"], default="auto")
    parser.add_argument("--engines", type=given_path, metavar="DIR", help="where engines go")
    parser.add_argument("--memory-mib", type=given_count, metavar="N", help="what a build may hold")
    parser.add_argument(
        "--fallback", type=given_path, metavar="BUNDLE", help="the float bundle of a quantised one"
    )


def given_path(text: str) -> Path:
    # An unset variable in a script gives an empty text, which Path takes for the current folder.
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    return Path(text)


def given_count(text: str) -> int:
    if not (text.isdecimal() and len(text) < 10 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
