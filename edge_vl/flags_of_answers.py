"""What can be asked of the verbs that answer questions, or measure how fast they are answered."""

from __future__ import annotations

from argparse import ArgumentParser

from edge_vl.flags import add_pictures, add_trust, given_path


def add_run(parser: ArgumentParser) -> None:
    parser.add_argument("bundle", type=given_path, metavar="BUNDLE")
    parser.add_argument("--prompt", required=True, metavar="TEXT")
    parser.add_argument(
        "--raw-prompt", action="store_true", help="no chat format; <image> marks where images go"
    )
    add_answering(parser)


def add_chat(parser: ArgumentParser) -> None:
    parser.add_argument("bundle", type=given_path, metavar="BUNDLE")
    add_answering(parser)


def add_bench(parser: ArgumentParser) -> None:
    parser.add_argument("bundle", type=given_path, metavar="BUNDLE")
    add_pictures(parser, "pictures to show, all in one prompt (default: a synthetic one)")
    parser.add_argument("--prompt", metavar="TEXT")
    parser.add_argument("--runs", type=int, metavar="N", help="of each measurement (default: 3)")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="to decode in each run (default: 32)")
    parser.add_argument(
        "--contexts",
        metavar="N[,N]",
        help="lengths to prefill and decode at (default: 128,512,1024,2048,4096)",
    )
    bars = parser.add_argument_group("bars", "what misses one is told, and the exit status is 1")
    bars.add_argument("--min-tokens-per-s", type=float, metavar="F", help="decoded in answers, median")
    bars.add_argument("--max-first-token-ms", type=float, metavar="F", help="of answers, median")
    bars.add_argument("--max-held-mib", type=float, metavar="F", help="anonymous and shared memory, at most")
    add_engine(parser)
    parser.add_argument(
        "--out", type=given_path, metavar="FILE", help="write the JSON there too; must not exist"
    )
    add_trust(parser)


def add_answering(parser: ArgumentParser) -> None:
    add_pictures(parser, "may be repeated")
    parser.add_argument("--system", metavar="TEXT", help="instead of the model's own system text")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="default: 512, or what fits")
    parser.add_argument("--temperature", type=float, default=0.0, metavar="F", help="0 (default) is greedy")
    parser.add_argument("--top-p", type=float, default=1.0, metavar="F")
    parser.add_argument("--top-k", type=int, default=0, metavar="N")
    parser.add_argument("--repetition-penalty", type=float, default=1.0, metavar="F")
    parser.add_argument("--seed", type=int, metavar="N")
    parser.add_argument("--stop", action="append", default=[], metavar="TEXT", help="may be repeated")
    add_constraints(parser)
    add_engine(parser)
    parser.add_argument("--max-context", type=int, metavar="N", help="less than the bundle's, to save memory")
    add_trust(parser)


def add_constraints(parser: ArgumentParser) -> None:
    """At most one of them."""
    held = parser.add_mutually_exclusive_group()
    held.add_argument(
        "--schema", type=given_path, metavar="FILE", help="the answer is JSON that this JSON schema describes"
    )
    held.add_argument("--regex", metavar="TEXT", help="the whole answer matches this expression")
    held.add_argument(
        "--choice", action="append", metavar="TEXT", help="the answer is one of these; may be repeated"
    )


def add_engine(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--engine",
        default="auto",
        metavar="NAME",
        help="auto (default): the fastest that works here; or onnxruntime, onnxruntime-cuda, onnxruntime-tensorrt, tensorrt, tensorrt-rtx",
    )
    parser.add_argument(
        "--engines",
        type=given_path,
        metavar="DIR",
        help="where built engines lie (default: as build leaves them)",
    )
