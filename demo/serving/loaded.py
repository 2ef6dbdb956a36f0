"""A load generator of somebody else's, unmodified: several streams of questions in words alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from demo.rivals.environments import python_of, version_of
from demo.serving.record import Figures, ran
from demo.serving.stand import Server, served
from demo.serving.tools import GUIDELLM

TOKENS = 32


def measured(server: Server, streams: int, requests: int, tokenizer: Path, tools: Path) -> Figures:
    tool = python_of(GUIDELLM, tools).with_name("guidellm")
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            *(str(tool), "run", "--disable-console-interactive"),
            *("--backend", f"kind=openai_http,target={server.url},request_format=/v1/chat/completions"),
            *("--profile", f"kind=concurrent,streams={streams}"),
            *("--constraint", f"kind=max_requests,count={requests}"),
            *("--tokenizer", f"kind=huggingface_auto,model={tokenizer}"),
            *("--data", f"kind=synthetic_text,prompt_tokens={TOKENS},output_tokens={TOKENS}"),
            *("--output", f"kind=json,path={report}"),
        ]
        ended = subprocess.run(command, stdout=sys.stderr, check=False)
        told = json.loads(report.read_text()) if report.exists() else {"benchmarks": []}
    done = [told_of(each) for each in told["benchmarks"]]
    return {
        "tool": f"guidellm {version_of(GUIDELLM, tools)}",
        "status": ended.returncode,
        "runs": done,
        "is_met": ended.returncode == 0
        and bool(done)
        and all(each["completed"] == requests for each in done),
    }


def told_of(run: Mapping[str, dict[str, object]]) -> dict[str, object]:
    """The few figures of a long report that we are after."""
    metrics: dict[str, dict[str, dict[str, dict[str, float]]]] = run["metrics"]  # type: ignore[assignment]
    totals: dict[str, int] = metrics["request_totals"]  # type: ignore[assignment]
    return {
        "completed": totals["successful"],
        "failed": totals["errored"],
        "first_token_ms": round(metrics["time_to_first_token_ms"]["successful"]["median"], 1),  # type: ignore[call-overload]
        "tokens_per_s": round(metrics["output_tokens_per_second"]["successful"]["mean"], 1),  # type: ignore[call-overload]
    }


def measure(bundle: Path, numbers: Mapping[str, int]) -> Figures:
    tokenizer = Path(__file__).parents[1] / "model"
    with served(bundle) as server:
        return measured(server, **numbers, tokenizer=tokenizer, tools=Path(gettempdir()) / "edge-vl-tools")


if __name__ == "__main__":
    sys.exit(ran("a load generator, unmodified", measure, {"streams": 4, "requests": 20}))
