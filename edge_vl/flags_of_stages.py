"""What can be asked of the verbs that make a bundle, prove it or go the whole way."""

from __future__ import annotations

from argparse import ArgumentParser

from edge_vl.flags import add_trust, given_count, given_path


def add_export(parser: ArgumentParser) -> None:
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


def add_calibrate(parser: ArgumentParser) -> None:
    parser.add_argument("bundle", type=given_path, metavar="BUNDLE", help="a float bundle; only read")
    parser.add_argument("out", type=given_path, metavar="OUT", help="bundle folder to make; must not exist")
    add_samples(parser)
    add_precisions(parser)
    add_rounding(parser)
    parser.add_argument(
        "--eval",
        type=given_path,
        metavar="FILE.jsonl",
        help='questions asked before and after: lines {"image": path, "prompt": text, "answer": text}',
    )
    add_budgets(parser)
    add_trust(parser)


def add_samples(parser: ArgumentParser) -> None:
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


def add_precisions(parser: ArgumentParser) -> None:
    """What each part of the model is stored in."""
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
        help="the cache of keys and values (ort and trt10 graphs); int8 in ort graphs needs ONNX Runtime 1.25 where it answers",
    )


def add_rounding(parser: ArgumentParser) -> None:
    """How a float becomes an integer."""
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


def add_budgets(parser: ArgumentParser) -> None:
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


def add_build(parser: ArgumentParser) -> None:
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
    parser.add_argument(
        "--fallback",
        type=given_path,
        metavar="BUNDLE",
        help="the float bundle of a quantised one: its engines are built too and stand in where others are wrong or slow",
    )
    parser.add_argument("--dry-run", action="store_true", help="only tell what it will take, and if it fits")
    add_trust(parser)


def add_verify(parser: ArgumentParser) -> None:
    parser.add_argument("bundle", type=given_path, metavar="BUNDLE")
    parser.add_argument(
        "--against", type=given_path, metavar="CHECKPOINT", help="compare every role and the greedy tokens"
    )
    parser.add_argument(
        "--images", type=given_path, metavar="DIR", help="pictures to compare with, besides synthetic ones"
    )
    parser.add_argument(
        "--engines",
        type=given_path,
        metavar="DIR",
        help="where built engines lie (default: as build leaves them)",
    )
    add_trust(parser)


def add_demo(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--keep", type=given_path, metavar="DIR", help="keep checkpoint and bundle in this new folder"
    )
