"""How many held-out questions a model answers right: `python -m demo.evaluate BUNDLE_OR_CHECKPOINT --limit N --json`."""

from __future__ import annotations

import argparse
import io
import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import get_args

from demo.command import Parser, Stop, status_told
from demo.data.generator import MAKERS, PICTURED
from demo.questions import DEFAULT_LIMIT, Case, Selection, UnseenSplit, blank_picture, out_of_range
from demo.score import FORMAT, KIND, Outcome, Report, outcome_of, score_from_outcomes
from edge_runtime.answer import Answer
from edge_runtime.assistant import Assistant
from edge_runtime.bench.machine import machine_here, versions_here
from edge_runtime.bundle import Bundle
from edge_runtime.choice import ENGINES
from edge_runtime.dialects import FloatPrecision
from edge_runtime.errors import EdgeVLError, one_line
from edge_runtime.loading import load
from edge_runtime.manifest import MANIFEST_NAME, QUALITY_NAME
from edge_runtime.progress import Progress, silent
from edge_runtime.progress_line import ProgressLine
from edge_runtime.publish import staged_file
from edge_runtime.record import bytes_from_json
from edge_runtime.request import Request

# Of the longest answer that is expected: room to be wrong in, and for a box written with spaces.
MARGIN_TOKENS = 8
CONFIG_NAME = "config.json"
TEMPORARY_PREFIX = "edge-vl-evaluate-"


@dataclass(frozen=True)
class EvalOptions:
    """Who is asked what, and how. `precision` is for checkpoints."""

    subject: Path
    selection: Selection
    is_blank: bool = False
    precision: FloatPrecision | None = None
    engine: str = "auto"
    wrong: int = 0  # so many mistakes are kept

    def __post_init__(self) -> None:
        if self.wrong < 0:
            raise out_of_range("--wrong", self.wrong, 0)


def report_from_options(options: EvalOptions, command: str, date: str, progress: Progress = silent) -> Report:
    """Asks every question; `command` and `date` are written down as they are."""
    is_bundle = is_bundle_rather(options.subject, options.precision)
    selection = options.selection
    cases = selection.cases(progress)
    with (
        nullcontext(options.subject) if is_bundle else exported(options, progress) as bundle,
        load(bundle, options.engine, progress=progress) as assistant,
    ):
        start = time.monotonic()
        outcomes, answer = asked(assistant, cases, options.is_blank, progress)
        seconds = time.monotonic() - start
        calibration, recipe = assistant.bundle.manifest.calibration, recipe_of(assistant.bundle)
    return Report(
        kind=KIND,
        format=FORMAT,
        model=one_line(options.subject.resolve().name),
        command=command,
        date=date,
        engine=answer.engine,
        precision=answer.precision,
        machine=machine_here(),
        versions=versions_here(),
        questions=selection.source,
        seed=selection.seed if selection.file is None else None,
        blank=options.is_blank,
        seconds=round(seconds, 1),
        score=score_from_outcomes(outcomes),
        wrong=tuple(outcome for outcome in outcomes if not outcome.is_right)[: options.wrong],
        calibration=calibration,
        recipe=recipe,
    )


def recipe_of(bundle: Bundle) -> dict[str, str] | None:
    """Every choice as text, as `edge-vl calibrate` takes it; None for a bundle without a quality report."""
    if not has_file(bundle.folder, QUALITY_NAME):
        return None
    report = json.loads((bundle.folder / QUALITY_NAME).read_bytes())
    return {name: str(choice) for name, choice in report["recipe"].items()}


def is_bundle_rather(subject: Path, precision: FloatPrecision | None) -> bool:
    """Than a checkpoint; an EdgeVLError if it is neither, or if a precision is wanted that it does not have."""
    if has_file(subject, MANIFEST_NAME):
        if precision is None:
            return True
        what, why = "--precision cannot be chosen", f"{subject} is a bundle, and has the one it was made with"
        raise EdgeVLError("EVL-USAGE", what, why, "leave --precision out, or give the checkpoint")
    if has_file(subject, CONFIG_NAME):
        return False
    why = f"it has neither {MANIFEST_NAME} nor {CONFIG_NAME}"
    fix = "give a folder that `edge-vl export` made, or a checkpoint folder"
    raise EdgeVLError("EVL-EVAL-MODEL", f"{subject} is neither a bundle nor a checkpoint", why, fix)


def has_file(folder: Path, name: str) -> bool:
    return os.path.isfile(folder / name)  # noqa: PTH113  (False, not an error, where the path cannot be)


@contextmanager
def exported(options: EvalOptions, progress: Progress) -> Iterator[Path]:
    """A bundle made of the checkpoint, which is gone afterwards."""
    try:  # here, so that bundles can be asked where torch is not
        from export.exporter import export_bundle
        from export.options import ExportOptions
    except ModuleNotFoundError as error:
        what, why = f"{options.subject} is a checkpoint, not a bundle", f"{error.name} is not installed here"
        fix = "give a bundle, or install edge-vl[cpu,export] with Python 3.11 or newer"
        raise EdgeVLError("EVL-WORKBENCH-MISSING", what, why, fix) from error
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX) as folder:
        out = Path(folder, "bundle")
        export_bundle(options.subject, out, ExportOptions(precision=options.precision or "fp16"), progress)
        yield out


def asked(
    assistant: Assistant, cases: Sequence[Case], is_blank: bool, progress: Progress
) -> tuple[list[Outcome], Answer]:
    """What came of every question, and the last answer. Greedy; what questions share is computed once."""
    longest = max(len(assistant.tokenizer.encode(case.answer)) for case in cases)
    request = Request(max_tokens=longest + MARGIN_TOKENS)
    outcomes: list[Outcome] = []
    for case in cases:
        answer = answer_to(assistant, case, is_blank, request)
        outcomes.append(outcome_of(case.task, case.prompt, case.answer, answer.text))
        progress("asking", len(outcomes), len(cases))
    return outcomes, answer


def answer_to(assistant: Assistant, case: Case, is_blank: bool, request: Request) -> Answer:
    try:
        picture = case.picture
        if is_blank and picture is not None:
            picture = blank_picture(picture)
        return assistant.ask(case.prompt, picture, request=request)
    except EdgeVLError as error:  # of a thousand questions, which one
        raise type(error)(error.code, f"{case.where}: {error.what}", error.why, error.fix) from error


def parser_of_command() -> Parser:
    parser = Parser(prog="python -m demo.evaluate", description=__doc__, allow_abbrev=False)
    parser.add_argument("subject", metavar="BUNDLE_OR_CHECKPOINT", type=Path)
    parser.add_argument(
        "--limit", metavar="N", type=int, help=f"questions; {DEFAULT_LIMIT}, or all of a file"
    )
    parser.add_argument(
        "--eval", metavar="FILE.jsonl", type=Path, help='{"image", "prompt", "answer"} a line'
    )
    parser.add_argument("--split", choices=get_args(UnseenSplit), help="held-out unless told")
    parser.add_argument("--seed", metavar="S", type=int, help="0 unless told; another seed, other scenes")
    parser.add_argument(
        "--scenes",
        metavar="NAME,...",
        help=f"of {', '.join(MAKERS)}; all pictures unless told. Of dialogue, greetings and words are alike in all sets",
    )
    parser.add_argument("--blank", action="store_true", help="show the mean colour in place of every picture")
    parser.add_argument("--precision", choices=get_args(FloatPrecision), help="of a checkpoint's export")
    parser.add_argument("--engine", choices=ENGINES, default="auto")
    parser.add_argument("--wrong", metavar="K", type=int, default=0, help="show the first K wrong answers")
    parser.add_argument("--out", metavar="FILE.json", type=Path, help="write the whole report there")
    parser.add_argument("--json", action="store_true", help="end with one line for programs")
    return parser


def options_from_arguments(arguments: argparse.Namespace) -> EvalOptions:
    given = [flag for flag in ("split", "seed", "scenes") if getattr(arguments, flag) is not None]
    if arguments.eval is not None and given:
        why = f"--eval brings its own, --{given[0]} chooses among ours"
        raise EdgeVLError("EVL-USAGE", "two kinds of questions are asked for", why, "leave one of them out")
    makers = PICTURED if arguments.scenes is None else tuple(arguments.scenes.split(","))
    split: UnseenSplit = arguments.split or "held-out"
    return EvalOptions(
        subject=arguments.subject,
        selection=Selection(arguments.limit, arguments.eval, split, arguments.seed or 0, makers),
        is_blank=arguments.blank,
        precision=arguments.precision,
        engine=arguments.engine,
        wrong=arguments.wrong,
    )


def command_from_arguments(arguments: argparse.Namespace) -> str:
    """As it was meant, with names in place of paths: reports are published, folders of a machine are not."""
    words = ["python", "-m", "demo.evaluate", arguments.subject.resolve().name]
    given = {
        "limit": arguments.limit,
        "eval": arguments.eval and arguments.eval.name,
        "split": arguments.split,
        "seed": arguments.seed,
        "scenes": arguments.scenes,
        "precision": arguments.precision,
        "engine": None if arguments.engine == "auto" else arguments.engine,
    }
    for flag, value in given.items():
        words += [] if value is None else [f"--{flag}", str(value)]
    return one_line(shlex.join([*words, *(["--blank"] if arguments.blank else [])]))


def evaluate(arguments: argparse.Namespace, progress: Progress) -> Report:
    options = options_from_arguments(arguments)
    command, today = command_from_arguments(arguments), datetime.now(timezone.utc).date().isoformat()
    if arguments.out is None:
        return report_from_options(options, command, today, progress)
    with staged_file(arguments.out) as out:  # a place that cannot be written is known before the work
        report = report_from_options(options, command, today, progress)
        out.write_bytes(bytes_from_json(report.to_json()))
    return report


def told(report: Report, is_json: bool) -> None:
    """On stdout; under --json the last line is the summary."""
    print("\n".join([*report.wrong_lines(), json.dumps(report.summary())] if is_json else report.lines()))


def exit_status(words: Sequence[str], progress: ProgressLine, stop: Stop) -> int:
    """Runs the command. What ends it early is told in three lines, under --json in one more for programs."""

    def watched(label: str, done: int, total: int) -> None:
        stop.check()
        progress(label, done, total)

    try:
        arguments = parser_of_command().parse_args(words)
        report = evaluate(arguments, watched)
    except BaseException as fault:  # libraries make other exceptions of a signal's, and so do we of theirs
        progress.clear()
        if not stop.number:
            if isinstance(fault, EdgeVLError):
                return status_told(fault, "--json" in words)
            raise
        print("stopped; what was made for it is gone", file=sys.stderr)
        if "--json" in words:
            what, why, fix = "stopped", "a signal came", "run it again"
            print(json.dumps({"error": {"code": "EVL-STOPPED", "what": what, "why": why, "fix": fix}}))
        return 128 + stop.number
    progress.clear()
    told(report, arguments.json)
    return 0


def main() -> int:
    for stream in (sys.stdout, sys.stderr):  # a name may hold what the terminal's encoding lacks
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    stop = Stop()
    stop.install()
    return exit_status(sys.argv[1:], ProgressLine(sys.stderr), stop)


if __name__ == "__main__":
    sys.exit(main())
