"""Every operation of the API, asked for by a fuzzer of somebody else's that reads /openapi.json."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import gettempdir

from demo.rivals.environments import python_of, version_of
from demo.serving.record import Figures, ran
from demo.serving.stand import Server, served
from demo.serving.tools import SCHEMATHESIS

SEED = 7


def measured(server: Server, examples: int, folder: Path) -> Figures:
    tool = python_of(SCHEMATHESIS, folder).with_name("schemathesis")
    with as_file(files("demo.serving") / "schemathesis.toml") as config:
        command = [
            *(str(tool), "--config-file", str(config), "run", f"{server.url}/openapi.json"),
            *("--checks", "all", "--phases", "examples,coverage,fuzzing", "--max-examples", str(examples)),
            *("--request-timeout", "30", "--seed", str(SEED), "--no-color"),
        ]
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    words = ended.stdout
    print(words[-6000:], file=sys.stderr)
    cases = re.search(r"(\d[\d,]*) generated", words)
    return {
        "tool": f"schemathesis {version_of(SCHEMATHESIS, folder)}",
        "examples_per_operation": examples,
        "cases": int(cases[1].replace(",", "")) if cases else None,
        "status": ended.returncode,
        "is_met": ended.returncode == 0 and cases is not None,
    }


def measure(bundle: Path, numbers: Mapping[str, int]) -> Figures:
    folder = Path(gettempdir()) / "edge-vl-tools"
    with served(bundle) as server:
        return measured(server, numbers["examples"], folder)


if __name__ == "__main__":
    sys.exit(ran("the API fuzzed by its own description", measure, {"examples": 500}))
