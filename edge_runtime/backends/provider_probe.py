"""Which providers work here: each counts after a tiny inference on it, in a process of its own that may crash or hang."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_runtime.backends.ort_library import (
    FATAL,
    imported_onnxruntime,
    onnxruntime_for,
    session_from_model,
)
from edge_runtime.backends.provider import CPU, PROVIDERS, Provider
from edge_runtime.backends.provider_model import tiny_model
from edge_runtime.child import ran_apart, signal_name
from edge_runtime.errors import MachineFault, one_line

CHILD = (sys.executable, "-m", "edge_runtime.backends.provider_probe")
RIGHT = b"right"
PROBE_S = 120.0  # TensorRT alone loads for half a minute from a board's card
LOGGED = re.compile(r"\[E:onnxruntime[^]]*\] ([^\x1b]*)")
PREFIX = re.compile(r"^.*?\[ONNXRuntimeError\] : \d+ : \w+ : |^\w+(\.\w+)+: ")
GIVEN, WANTED = [[1, 2], [3, 4]], [[7, 20], [45, 88]]

Probe = Callable[[Provider], str]


@dataclass(frozen=True)
class ProvidersHere:
    """Those that work, the one to take first, the CPU's last; and of the others, by engine, why not."""

    usable: tuple[Provider, ...]
    faults: Mapping[str, str]


def listed_providers() -> Collection[str]:
    """What this build of ONNX Runtime says it has: no word on whether it works."""
    names: list[str] = imported_onnxruntime().get_available_providers()
    return names


def probed(provider: Provider, command: Sequence[str] = CHILD, limit_s: float = PROBE_S) -> str:
    """Why a tiny inference on the provider does not work; "" where it does."""
    if provider == CPU:
        return ""
    with tempfile.TemporaryDirectory(prefix="edge-vl-provider-") as folder:
        try:
            ended = ran_apart((*command, provider.engine), folder, limit_s)
        except subprocess.TimeoutExpired:
            return f"a tiny inference on it had not ended after {limit_s:.0f} seconds"
    return fault_of_child(ended)


def fault_of_child(ended: subprocess.CompletedProcess[bytes]) -> str:
    if ended.returncode < 0:
        return f"a tiny inference on it was ended by {signal_name(-ended.returncode)}"
    why = cause_in(ended.stderr.decode(errors="replace"))
    if ended.returncode > 0:
        return f"a tiny inference on it failed: {why}"
    return "" if ended.stdout == RIGHT else f"a tiny inference on it ended without an answer: {why}"


def cause_in(text: str) -> str:
    """What ONNX Runtime logged first as an error is why; what it raised last may only be what came of it."""
    lines = [line for line in text.split("\n") if line.strip()]
    logged = [found[1] for line in lines if (found := LOGGED.search(line))]
    said = (*logged, *reversed(lines), "it said nothing")[0]
    return one_line(PREFIX.sub("", said))


def providers_here(
    listed: Callable[[], Collection[str]] = listed_providers, probe: Probe = probed
) -> ProvidersHere:
    """EVL-ENGINE-MISSING where there is no ONNX Runtime at all. Each GPU provider that is listed takes seconds."""
    names = listed()
    faults: dict[str, str] = {}
    for provider in PROVIDERS.values():
        if fault := fault_of(provider, names, faults, probe):
            faults[provider.engine] = fault
    return ProvidersHere(tuple(each for each in PROVIDERS.values() if each.engine not in faults), faults)


def fault_of(
    provider: Provider, names: Collection[str], faults: Mapping[str, str], probe: Probe = probed
) -> str:
    """Why it cannot be used; `faults` are those of providers asked before, which others may stand on."""
    if provider.name not in names:
        return f"this build of ONNX Runtime has no {provider.name}"
    for other in provider.behind:
        if why := faults.get(other.engine):
            return f"it needs {other.name}, which does not work: {why}"
    return probe(provider)


def provider_for_engine(
    engine: str, listed: Callable[[], Collection[str]] = listed_providers, probe: Probe = probed
) -> Provider:
    """The provider behind an engine's name, working; EVL-ENGINE-PROVIDER says why it does not."""
    provider, names = PROVIDERS[engine], listed()
    faults: dict[str, str] = {}
    for each in (*reversed(provider.behind), provider):
        if fault := fault_of(each, names, faults, probe):
            faults[each.engine] = fault
    if engine in faults:
        raise provider_fault(provider, faults[engine])
    return provider


def provider_fault(provider: Provider, why: str) -> MachineFault:
    needs = "CUDA, cuDNN and TensorRT" if provider.builds_engines else "CUDA and cuDNN"
    fix = (
        f"install an onnxruntime-gpu built for this GPU and the {needs} it was built with (pip install "
        "'edge-vl[cuda]'; a Jetson needs a wheel of its JetPack), or leave --engine out"
    )
    return MachineFault("EVL-ENGINE-PROVIDER", f"ONNX Runtime's {provider.name} cannot be used", why, fix)


class WrongAnswerError(Exception):
    """The provider ran, and its numbers are not those of arithmetic."""


def infer(provider: Provider) -> None:
    """A product by the vendor's library and one by a kernel of ONNX Runtime's own, in fp16, compared exactly."""
    onnxruntime = onnxruntime_for(provider)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    session = session_from_model(onnxruntime, tiny_model(), options, provider, is_alone=True)
    (found,) = session.run(["y"], {"x": np.asarray(GIVEN, dtype=np.float16)})
    if not np.array_equal(found, np.asarray(WANTED, dtype=np.float16)):
        raise WrongAnswerError(f"it computed {found.tolist()} where {WANTED} is right")


def main() -> None:
    answers = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no answer
    infer(PROVIDERS[sys.argv[1]])
    os.write(answers, RIGHT)


if __name__ == "__main__":
    main()
