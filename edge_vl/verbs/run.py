"""`edge-vl run`."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from edge_runtime.errors import EdgeVLError
from edge_runtime.loading import load
from edge_vl.verbs.answering import request_from_arguments
from edge_vl.verbs.folders import refuse_checkpoint

if TYPE_CHECKING:
    from edge_vl.terminal import Terminal


def run(arguments: Namespace, terminal: Terminal) -> int:
    request = request_from_arguments(arguments)
    if arguments.raw_prompt and arguments.system is not None:
        raise EdgeVLError(
            "EVL-USAGE",
            "--raw-prompt and --system exclude each other",
            "a raw prompt has no system turn",
            "write the system text into the prompt, or leave --raw-prompt out",
        )
    refuse_checkpoint(arguments.bundle)
    with load(
        arguments.bundle,
        arguments.engine,
        arguments.max_context,
        arguments.trust_bundle,
        terminal.progress,
        arguments.engines,
    ) as assistant:
        if arguments.raw_prompt:
            stream = assistant.raw(arguments.prompt, arguments.image, request)
        else:
            stream = assistant.stream(arguments.prompt, arguments.image, arguments.system, request)
        for piece in stream:
            if not arguments.json:
                terminal.write(piece)
        if arguments.json:
            terminal.json(stream.answer.to_json())
        else:
            terminal.line()
    return 0
