"""The command line: verbs and flags. Nothing heavy is imported before a verb runs."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from edge_runtime.errors import EdgeVLError

if TYPE_CHECKING:
    from edge_vl.terminal import Terminal

LONGEST_VERB = len("calibrate")
Verb = Callable[[argparse.Namespace, "Terminal"], int]


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


def given_path(text: str) -> Path:
    # An unset variable in a script gives an empty text, which Path takes for the current folder.
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    return Path(text)


def given_count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return count


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
    chosen, strangers = parser.parse_known_args(arguments)
    verb = verbs.choices.get(arguments[0], parser) if arguments else parser
    if strangers:
        name = strangers[0].partition("=")[0]
        why = f"`{verb.prog}` has no such argument"
        fix = near_miss(name, verb._option_string_actions) or f"see `{verb.prog} --help`"
        raise EdgeVLError("EVL-USAGE", f"{name!r} is not understood", why, fix)
    if "verb" not in chosen:
        parser.error("a verb is missing")
    return chosen


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
    for add in (add_export, add_calibrate, add_build, add_verify, add_run, add_chat, add_bench, add_demo):
        add(verbs)
    return parser, verbs


def version() -> str:
    from edge_vl import __version__

    return f"edge-vl {__version__}"


Verbs = argparse._SubParsersAction  # the class has no public name


def new_verb(verbs: Verbs[Parser], name: str, help_text: str) -> Parser:
    parser = verbs.add_parser(name, help=help_text, description=help_text, allow_abbrev=False)
    parser.set_defaults(verb=verb_named(name))
    parser.add_argument("--json", action="store_true", help="end stdout with one JSON object")
    return parser


def add_export(verbs: Verbs[Parser]) -> None:
    parser = new_verb(verbs, "export", "checkpoint folder → bundle of ONNX graphs")
    parser.add_argument(
        "checkpoint", type=given_path, metavar="CHECKPOINT", help="folder with config.json and weights"
    )
    parser.add_argument("out", type=given_path, metavar="OUT", help="bundle folder to make; must not exist")
    parser.add_argument(
        "--dialect",
        default="ort",
        metavar="NAME[,NAME]",
        help="ort: ONNX Runtime (default); trt10: TensorRT 10.3 and later; trt: TensorRT 10.15 and later, TensorRT-RTX",
    )
    parser.add_argument("--precision", choices=["fp16", "fp32"], default="fp16", help="default: fp16")
    parser.add_argument(
        "--max-context", type=int, metavar="N", help="tokens a conversation may hold (default: 4096)"
    )
    parser.add_argument(
        "--images",
        type=given_path,
        metavar="DIR",
        help="measure activations on these; layers that need it keep fp32",
    )


def add_calibrate(verbs: Verbs[Parser]) -> None:
    parser = new_verb(verbs, "calibrate", "float bundle → quantised bundle, and what it cost")
    parser.add_argument("bundle", type=given_path, metavar="BUNDLE", help="a float bundle; only read")
    parser.add_argument("out", type=given_path, metavar="OUT", help="bundle folder to make; must not exist")
    samples = parser.add_mutually_exclusive_group()
    samples.add_argument(
        "--images",
        type=given_path,
        metavar="DIR",
        help="a folder of pictures to measure with, not of folders; up to 10 %% of them may be broken",
    )
    samples.add_argument(
        "--samples", type=given_path, metavar="FILE.jsonl", help='lines {"image": path, "prompt": text}'
    )
    parser.add_argument("--limit", type=int, metavar="N", help="samples at most (default: 128)")
    parser.add_argument(
        "--vision", choices=["int8", "fp16"], default="int8", help="towers and adaptor; fp16: as they are"
    )
    parser.add_argument(
        "--decoder",
        choices=["int4", "int8", "w8a8", "fp16"],
        default="int4",
        help="its weights; w8a8: 8-bit products too",
    )
    parser.add_argument("--head", choices=["int8", "int4", "fp16"], default="int8", help="its weights")
    parser.add_argument("--embedding", choices=["int8", "fp16"], default="fp16", help="the table of tokens")
    parser.add_argument(
        "--kv",
        choices=["int8", "fp16"],
        default="fp16",
        help="the cache of keys and values (ort and trt10 graphs)",
    )
    parser.add_argument(
        "--block", type=int, choices=[32, 64, 128], default=128, help="rows that share a 4-bit scale"
    )
    parser.add_argument(
        "--method",
        choices=["rtn", "gptq", "awq"],
        default="rtn",
        help="how 4-bit weights are rounded (default: rtn, to nearest)",
    )
    parser.add_argument(
        "--smooth",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="of the difference between channels that 8-bit weights take over from inputs; try 0.7 for outliers (default: 0)",
    )
    parser.add_argument(
        "--observer",
        choices=["minmax", "percentile", "entropy", "mse"],
        default="minmax",
        help="how far 8-bit inputs reach (default: minmax)",
    )
    parser.add_argument(
        "--eval",
        type=given_path,
        metavar="FILE.jsonl",
        help='questions asked before and after: lines {"image": path, "prompt": text, "answer": text}',
    )
    add_budgets(parser)
    add_trust(parser)


def add_budgets(parser: Parser) -> None:
    """Layers that cost too much stay finer than was asked for."""
    parser.add_argument(
        "--budget-kl", type=float, metavar="NATS", help="what a token's distribution may be off, on average"
    )
    parser.add_argument(
        "--budget-accuracy", type=float, metavar="POINTS", help="of --eval that may be lost, in points"
    )
    parser.add_argument("--budget-mib", type=float, metavar="MIB", help="what the whole bundle may take")
    parser.add_argument(
        "--rank", action="store_true", help="report the harm each layer does alone; takes long"
    )


def add_build(verbs: Verbs[Parser]) -> None:
    parser = new_verb(verbs, "build", "bundle → engines for this machine's GPU")
    parser.add_argument("bundle", type=given_path, metavar="BUNDLE", help="only read, but for engines/ in it")
    parser.add_argument(
        "--engine",
        choices=["auto", "tensorrt", "tensorrt-rtx"],
        default="auto",
        help="default: TensorRT where it and a GPU are, else TensorRT-RTX, which builds without one",
    )
    parser.add_argument(
        "--engines",
        type=given_path,
        metavar="DIR",
        help="where engines go (default: BUNDLE/engines; the user's cache if BUNDLE is read-only)",
    )
    parser.add_argument(
        "--max-context", type=given_count, metavar="N", help="serve fewer tokens than the bundle can hold"
    )
    parser.add_argument(
        "--memory-mib", type=given_count, metavar="N", help="what a build may hold (default: what is free)"
    )
    parser.add_argument("--dry-run", action="store_true", help="only tell what it will take, and if it fits")
    add_trust(parser)


def add_verify(verbs: Verbs[Parser]) -> None:
    parser = new_verb(verbs, "verify", "integrity and structure of a bundle, and parity with its checkpoint")
    parser.add_argument("bundle", type=given_path, metavar="BUNDLE")
    parser.add_argument(
        "--against", type=given_path, metavar="CHECKPOINT", help="compare every role and the greedy tokens"
    )
    parser.add_argument(
        "--images", type=given_path, metavar="DIR", help="pictures to compare with, besides synthetic ones"
    )
    add_trust(parser)


def add_run(verbs: Verbs[Parser]) -> None:
    parser = new_verb(verbs, "run", "one answer, streamed")
    parser.add_argument("bundle", type=given_path, metavar="BUNDLE")
    parser.add_argument("--prompt", required=True, metavar="TEXT")
    parser.add_argument(
        "--raw-prompt", action="store_true", help="no chat format; <image> marks where images go"
    )
    add_answering(parser)


def add_chat(verbs: Verbs[Parser]) -> None:
    parser = new_verb(verbs, "chat", "a conversation in the terminal")
    parser.add_argument("bundle", type=given_path, metavar="BUNDLE")
    add_answering(parser)


def add_bench(verbs: Verbs[Parser]) -> None:
    parser = new_verb(verbs, "bench", "how fast a bundle answers here, and what it costs in memory")
    parser.add_argument("bundle", type=given_path, metavar="BUNDLE")
    parser.add_argument(
        "--image",
        type=given_path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="pictures to show, all in one prompt (default: a synthetic one)",
    )
    parser.add_argument("--prompt", metavar="TEXT")
    parser.add_argument("--runs", type=int, metavar="N", help="of each measurement (default: 3)")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="to decode in each run (default: 32)")
    parser.add_argument(
        "--contexts",
        metavar="N[,N]",
        help="lengths to prefill and decode at (default: 128,512,1024,2048,4096)",
    )
    parser.add_argument("--engine", default="auto", metavar="NAME", help="auto (default) or onnxruntime")
    parser.add_argument(
        "--out", type=given_path, metavar="FILE", help="write the JSON there too; must not exist"
    )
    add_trust(parser)


def add_demo(verbs: Verbs[Parser]) -> None:
    parser = new_verb(verbs, "demo", "the whole way on a small checkpoint: export, calibrate, verify, ask")
    parser.add_argument(
        "--keep", type=given_path, metavar="DIR", help="keep checkpoint and bundle in this new folder"
    )


def add_answering(parser: Parser) -> None:
    parser.add_argument(
        "--image",
        type=given_path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="may be repeated",
    )
    parser.add_argument("--system", metavar="TEXT", help="instead of the model's own system text")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="default: 512, or what fits")
    parser.add_argument("--temperature", type=float, default=0.0, metavar="F", help="0 (default) is greedy")
    parser.add_argument("--top-p", type=float, default=1.0, metavar="F")
    parser.add_argument("--top-k", type=int, default=0, metavar="N")
    parser.add_argument("--repetition-penalty", type=float, default=1.0, metavar="F")
    parser.add_argument("--seed", type=int, metavar="N")
    parser.add_argument("--stop", action="append", default=[], metavar="TEXT", help="may be repeated")
    parser.add_argument("--engine", default="auto", metavar="NAME", help="auto (default) or onnxruntime")
    parser.add_argument("--max-context", type=int, metavar="N", help="less than the bundle's, to save memory")
    add_trust(parser)


def add_trust(parser: Parser) -> None:
    parser.add_argument(
        "--trust-bundle", action="store_true", help="skip hashing; structure is always checked"
    )
