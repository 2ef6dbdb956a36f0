"""ONNX Runtime itself, imported as we want it."""

from __future__ import annotations

import os
import re
import sys
from contextlib import redirect_stdout
from typing import Any

from edge_runtime.backends.provider import Provider
from edge_runtime.errors import EdgeVLError
from edge_runtime.manifest import PAST, GraphEntry

FATAL = 4  # ONNX Runtime's log level; what it refuses arrives as an exception
BYTE_CACHES = (1, 25)  # the first whose GroupQueryAttention takes them; those before open no such graph
VERSION = re.compile(r"(\d+)\.(\d+)")


def imported_onnxruntime() -> Any:
    # Since 1.29 it reports to its maker, and leaves an identifier in the user's cache, unless this is set before
    # it is imported. Nothing of ours touches the network unasked.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime
    except ImportError as error:
        if error.__cause__ is not None and not isinstance(error.__cause__, Exception):
            raise error.__cause__ from None  # somebody stopped us in the middle of it
        raise EdgeVLError(
            "EVL-ENGINE-MISSING",
            "ONNX Runtime is not installed",
            str(error),
            "pip install 'edge-vl[cpu]'",
        ) from error
    return onnxruntime


def check_byte_caches(what: str, fix: str) -> None:
    """EVL-ENGINE-CACHE where the installed ONNX Runtime knows no `ort` decoder whose cache holds bytes."""
    version = str(imported_onnxruntime().__version__)
    found = VERSION.match(version)
    if found is not None and (int(found[1]), int(found[2])) < BYTE_CACHES:
        needed = ".".join(map(str, BYTE_CACHES))
        why = f"ONNX Runtime {version} is installed; {needed} is needed"
        raise EdgeVLError("EVL-ENGINE-CACHE", what, why, f"update onnxruntime, or {fix}")


def check_opens(entry: GraphEntry) -> None:
    """What is known of a graph and the installed ONNX Runtime before a session is opened."""
    is_own = entry.role == "decoder" and entry.dialect == "ort"  # plain operators take bytes in every version
    if is_own and any(port.name == f"{PAST}0.key" and port.dtype == "int8" for port in entry.inputs):
        check_byte_caches("this bundle's cache is 8-bit", "calibrate again without --kv int8")


def onnxruntime_for(provider: Provider) -> Any:
    """With what the provider's device needs loaded, as far as it is found."""
    onnxruntime = imported_onnxruntime()
    has = onnxruntime.get_available_providers()
    if provider.device == "cuda" and provider.name in has and hasattr(onnxruntime, "preload_dlls"):
        # CUDA's libraries that pip installed are on no search path. What it misses it prints, and stdout is answers'.
        with redirect_stdout(sys.stderr):
            onnxruntime.preload_dlls()
    return onnxruntime


def session_from_model(
    onnxruntime: Any, model: str | bytes, options: Any, provider: Provider, is_alone: bool = False
) -> Any:
    """A session on the provider or an exception: by itself ONNX Runtime would print, and go on with the CPU.

    `is_alone` refuses what only the providers behind it could run.
    """
    if provider.name not in onnxruntime.get_available_providers():
        raise FellBackError(f"this build of ONNX Runtime has no {provider.name}")
    wanted = [provider] if is_alone else [provider, *provider.behind]
    providers = [(each.name, dict(each.options)) for each in wanted]
    if is_alone:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    session = onnxruntime.InferenceSession(model, options, providers=providers, enable_fallback=0)
    if provider.name not in session.get_providers():
        has = ", ".join(session.get_providers())
        raise FellBackError(f"{provider.name} was asked for, and the session has only {has}")
    return session


class FellBackError(Exception):
    """ONNX Runtime would run without the provider that it was to use."""
