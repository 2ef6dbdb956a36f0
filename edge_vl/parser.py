"""The command line: which verbs there are, and what is not understood. Nothing heavy is imported before a verb runs."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

from edge_runtime.errors import EdgeVLError
from edge_vl.flags_of_answers import add_bench, add_chat, add_run
from edge_vl.flags_of_serving import add_serve
from edge_vl.flags_of_stages import add_build, add_calibrate, add_demo, add_export, add_verify

if TYPE_CHECKING:
    from edge_vl.terminal import Terminal

Verb = Callable[[argparse.Namespace, "Terminal"], int]
Verbs = argparse._SubParsersAction  # the class has no public name
VERBS: tuple[tuple[str, str, Callable[[argparse.ArgumentParser], None]], ...] = (
    ("export", "checkpoint folder → bundle of ONNX graphs", add_export),
    ("calibrate", "float bundle → quantised bundle, and what it cost", add_calibrate),
    ("build", "bundle → engines for this machine's GPU", add_build),
    ("verify", "integrity and structure of a bundle, and parity with its checkpoint", add_verify),
    ("run", "one answer, streamed", add_run),
    ("chat", "a conversation in the terminal", add_chat),
    ("serve", "answers over HTTP, and a web page", add_serve),
    ("bench", "how fast a bundle answers here, and what it costs in memory", add_bench),
    ("demo", "the whole way on a small checkpoint: export, calibrate, verify, ask", add_demo),
)
LACKS_BUNDLE = "are required: BUNDLE"  # in argparse's words
LONGEST_VERB = max(len(name) for name, _, _ in VERBS)


class Parser(argparse.ArgumentParser):
    """Mistakes are ours to word: one line each of what, why and what to do."""

    def error(self, message: str) -> NoReturn:
        raise EdgeVLError(
            "EVL-USAGE", "the command line is not understood", message, f"see `{self.prog} --help`"
        )


class VerbsHelp(argparse.HelpFormatter):
    """argparse forgets that verbs are indented, and wraps the longest one."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        self._action_max_length = LONGEST_VERB + 4


def verb_named(name: str) -> Verb:
    def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
        status: int = import_module(f"edge_vl.verbs.{name}").run(arguments, terminal)
        return status

    return run


def parsed_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """What the user asked for; whatever is wrong with it is an EdgeVLError with the code EVL-USAGE."""
    parser, verbs = whole_parser()
    if arguments and not arguments[0].startswith("-") and arguments[0] not in verbs.choices:
        why = f"edge-vl has {', '.join(verbs.choices)}"
        fix = near_miss(arguments[0], verbs.choices, "edge-vl ") or "see `edge-vl --help`"
        raise EdgeVLError("EVL-USAGE", f"there is no verb {arguments[0]!r}", why, fix)
    try:
        chosen, strangers = parser.parse_known_args(arguments)
    except EdgeVLError as error:
        raise told_where_it_went(error, arguments) from error
    verb = verbs.choices.get(arguments[0], parser) if arguments else parser
    if strangers:
        name = strangers[0].partition("=")[0]
        why = f"`{verb.prog}` has no such argument"
        fix = near_miss(name, verb._option_string_actions) or f"see `{verb.prog} --help`"
        raise EdgeVLError("EVL-USAGE", f"{name!r} is not understood", why, fix)
    if "verb" not in chosen:
        parser.error("a verb is missing")
    return chosen


def told_where_it_went(error: EdgeVLError, arguments: Sequence[str]) -> EdgeVLError:
    """A bundle that is named behind pictures was taken for one of them."""
    if LACKS_BUNDLE not in error.why or "--image" not in arguments:
        return error
    fix = f"begin with it, `edge-vl {arguments[0]} BUNDLE`: --image takes all names that follow"
    return EdgeVLError(error.code, error.what, error.why, fix)


def near_miss(word: str, known: Iterable[str], before: str = "") -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean `{before}{near[0]}`?" if near else ""


def whole_parser() -> tuple[Parser, Verbs[Parser]]:
    parser = Parser(
        prog="edge-vl",
        description="DeepSeek-VL from checkpoint to answers on the edge.",
        epilog="Exit codes: 0 done, 1 a check failed, 2 your mistake, 3 a fault of edge-vl or of the machine.",
        allow_abbrev=False,
        formatter_class=VerbsHelp,
    )
    parser.add_argument("--version", action="version", version=version())
    verbs = parser.add_subparsers(metavar="VERB", parser_class=Parser)
    for name, help_text, add_flags in VERBS:
        add_flags(new_verb(verbs, name, help_text))
    return parser, verbs


def version() -> str:
    from edge_vl import __version__

    return f"edge-vl {__version__}"


def new_verb(verbs: Verbs[Parser], name: str, help_text: str) -> Parser:
    parser = verbs.add_parser(name, help=help_text, description=help_text, allow_abbrev=False)
    parser.set_defaults(verb=verb_named(name))
    parser.add_argument("--json", action="store_true", help="end stdout with one JSON object")
    return parser
