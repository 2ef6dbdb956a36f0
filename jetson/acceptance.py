"""`jetson/acceptance.sh`: one command that builds, verifies, asks and benches a bundle on a board, and writes one report."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import NoReturn, TextIO

from edge_runtime.bench.sample import sample_jpeg
from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.publish import staged_file
from edge_runtime.record import bytes_from_json
from edge_runtime.standard_streams import fill_gaps, let_go, nowhere
from jetson.acceptance_report import Report, as_text, command_line
from jetson.acceptance_request import Wish, wish_from_arguments
from jetson.acceptance_run import Acceptance, Commands
from jetson.acceptance_steps import steps_of
from jetson.acceptance_table import table_from_report
from jetson.errand import Tell
from jetson.stop import Stop

FAILED = 1


def accepted(wish: Wish, command: str, commands: Commands, stop: Stop, tell: Tell) -> Report:
    """Runs all there is to run and writes the report, whole or not at all; EVL-OUT-* before anything is run."""
    with staged_file(wish.out) as path, tempfile.TemporaryDirectory(prefix="edge-vl-acceptance-") as folder:
        picture = Path(folder) / "picture.jpg"
        picture.write_bytes(sample_jpeg())
        date = datetime.now(timezone.utc).isoformat(timespec="seconds")
        outcomes = Acceptance(commands, stop, tell).run(steps_of(wish, picture))
        report = Report(as_text(str(wish.bundle)), command, date, stop.words, outcomes)
        path.write_bytes(bytes_from_json(report.to_json()))
    return report


def exit_status(report: Report, stop: Stop) -> int:
    if stop.number is not None:
        return 128 + stop.number
    return FAILED if report.verdict == "failed" else 0


def told(report: Report, is_json: bool, out: TextIO) -> None:
    out.write(table_from_report(report))
    if is_json:
        out.write(json.dumps(report.to_json(), allow_nan=False) + "\n")
    out.flush()


def progress_on(err: TextIO) -> Tell:
    """The report is what counts: it is still written where nobody reads any more how it comes about."""

    def tell(line: str) -> None:
        try:
            err.write(f"{line}\n")
            err.flush()
        except (OSError, ValueError):  # a terminal that was closed, or a stream
            return

    return tell


def status_of_command(
    arguments: Sequence[str], commands: Commands, stop: Stop, out: TextIO, tell: Tell
) -> int:
    """Whatever is wrong is told in three lines: what, why and what to do; under --json to programs besides."""
    reader = out if "--json" in arguments else None
    try:
        wish = wish_from_arguments(arguments)
        command = command_line(("jetson/acceptance.sh", *arguments))
        report = accepted(wish, command, commands, stop, tell)
        told(report, wish.is_json, out)
        return exit_status(report, stop)
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    except EdgeVLError as error:
        return told_error(error, tell, reader)
    except OSError as fault:
        why, fix = f"{fault.strerror}: {fault.filename}", "check the machine's disk and limits"
        refused = MachineFault("EVL-SYSTEM", "the system refused what edge-vl asked for", why, fix)
        return told_error(refused, tell, reader)


def told_error(error: EdgeVLError, tell: Tell, reader: TextIO | None) -> int:
    tell(f"what: {error.what} [{error.code}]\nwhy:  {error.why}\ndo:   {error.fix}")
    if reader is not None:
        record = {"code": error.code, "what": error.what, "why": error.why, "fix": error.fix}
        with suppress(OSError):  # stdout may be what failed
            reader.write(json.dumps({"error": record}) + "\n")
            reader.flush()
    return error.exit_status


def main(arguments: Sequence[str] | None = None, commands: Commands | None = None) -> NoReturn:
    """The entry point of `python -m jetson.acceptance`."""
    fill_gaps()
    out, err = sys.stdout or nowhere(), sys.stderr or nowhere()
    for stream in (out, err):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    stop = Stop()
    stop.listen()
    given = sys.argv[1:] if arguments is None else arguments
    status = status_of_command(given, commands or Commands(), stop, out, progress_on(err))
    for stream in (out, err):
        let_go(stream)
    sys.exit(status)


if __name__ == "__main__":
    main()
