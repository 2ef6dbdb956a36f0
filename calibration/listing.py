"""Lists that users write: one JSON object a line."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path

from edge_runtime.errors import EdgeVLError
from edge_runtime.record import parsed_json


@dataclass(frozen=True)
class Entry:
    """`where` is what an error calls it, as in "samples.jsonl, line 3"."""

    where: str
    value: object


def entries_from_file(path: Path, code: str, example: str) -> list[Entry]:
    """Lines with something in them. An EdgeVLError with `code` names the line that is no JSON and shows `example`."""
    fix = f"write one {example} a line, in UTF-8"
    try:
        data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as fault:
        why = fault.strerror or str(fault)
        raise EdgeVLError(code, f"cannot read {path}", why, f"give a file; {fix}") from fault
    lines = enumerate(data.splitlines(), start=1)
    return [
        entry_from_line(line, f"{path.name}, line {number}", code, fix)
        for number, line in lines
        if line.strip()
    ]


def entry_from_line(line: bytes, where: str, code: str, fix: str) -> Entry:
    try:
        return Entry(where, parsed_json(line))
    except UnicodeDecodeError:
        problem = "it is not UTF-8 text"
    except JSONDecodeError as fault:
        problem = f"{fault.msg} (column {fault.colno})"
    except ValueError as fault:
        problem = str(fault)
    raise EdgeVLError(code, f"{where} is no JSON", problem, fix)
