"""The steps of an acceptance: what each runs, and which others it needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jetson.acceptance_request import Wish

PROMPT = "Describe this picture."
TOKENS = 64
ONNXRUNTIME = "onnxruntime"


@dataclass(frozen=True)
class Step:
    """`words` follow the command, a verb of `edge-vl` unless they are empty. `uses_built`: it is asked of the engines that
    the build made; `needs_ort`: of graphs that a bundle for boards alone has not."""

    name: str
    words: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    uses_built: bool = False
    needs_ort: bool = False


def steps_of(wish: Wish, picture: Path) -> Iterator[Step]:
    bundle, shelf = str(wish.bundle), flag("--engines", wish.engines)
    build = ("build", bundle, "--engine", wish.engine, *shelf, *flag("--memory-mib", wish.memory_mib))
    build += (*flag("--fallback", wish.fallback), "--json")
    ask = ("run", bundle, "--image", str(picture), "--prompt", PROMPT, "--max-tokens", f"{TOKENS}", "--json")
    bench = ("bench", bundle, *flag("--runs", wish.runs), "--json")
    on_cpu = ("--engine", ONNXRUNTIME)
    yield Step("machine")
    yield Step("verify", ("verify", bundle, "--json"))
    if wish.against is not None:
        # Apart from the files' integrity: what a board lacks for it leaves that answered.
        yield Step("parity", ("verify", bundle, "--against", str(wish.against), "--json"), ("verify",))
    yield Step("dry-run", (*build, "--dry-run"), ("verify",))
    yield Step("build", build, ("verify",))
    yield Step("answer", (*ask, *shelf), ("build",), uses_built=True)
    yield Step("answer-onnxruntime", (*ask, *on_cpu), ("verify",), needs_ort=True)
    yield Step("agreement", (), ("answer", "answer-onnxruntime"))
    yield Step("bench", (*bench, *shelf), ("build",), uses_built=True)
    yield Step("bench-onnxruntime", (*bench, *on_cpu), ("verify",), needs_ort=True)


def flag(name: str, value: object) -> tuple[str, ...]:
    return () if value is None else (name, str(value))
