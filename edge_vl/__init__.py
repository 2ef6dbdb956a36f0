"""edge-vl: DeepSeek-VL on the edge. `load` opens a bundle; everything else hangs on what it returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_runtime.version import VERSION

if TYPE_CHECKING:
    from edge_runtime.answer import Answer, AnswerStream, Usage
    from edge_runtime.assistant import Assistant
    from edge_runtime.chat import Chat
    from edge_runtime.constraint import Choice, JsonSchema, Regex
    from edge_runtime.errors import CheckFailed, EdgeVLError, MachineFault
    from edge_runtime.loading import load
    from edge_runtime.request import Request
    from edge_runtime.sampling import Sampling

__version__ = VERSION

__all__ = [
    "Answer",
    "AnswerStream",
    "Assistant",
    "Chat",
    "CheckFailed",
    "Choice",
    "EdgeVLError",
    "JsonSchema",
    "MachineFault",
    "Regex",
    "Request",
    "Sampling",
    "Usage",
    "load",
]

HOMES = {
    "Answer": "answer",
    "AnswerStream": "answer",
    "Assistant": "assistant",
    "Chat": "chat",
    "CheckFailed": "errors",
    "Choice": "constraint",
    "EdgeVLError": "errors",
    "JsonSchema": "constraint",
    "MachineFault": "errors",
    "Regex": "constraint",
    "Request": "request",
    "Sampling": "sampling",
    "Usage": "answer",
    "load": "loading",
}


def __getattr__(name: str) -> Any:
    """Public names are looked up on first use: the command must answer `--help` at once."""
    if name not in HOMES:
        raise AttributeError(f"module 'edge_vl' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"edge_runtime.{HOMES[name]}"), name)
