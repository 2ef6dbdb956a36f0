"""`edge-vl chat`."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from edge_runtime.assistant import Assistant, Chat, Request
from edge_runtime.errors import EdgeVLError
from edge_runtime.loading import load
from edge_vl.verbs.answering import request_from_arguments

if TYPE_CHECKING:
    from edge_vl.cli import Terminal

HELP = "/image FILE shows a picture with the next question · /new starts over · /quit or Ctrl-D ends"


def run(arguments: Namespace, terminal: Terminal) -> int:
    request = request_from_arguments(arguments)
    with load(
        arguments.bundle, arguments.engine, arguments.max_context, arguments.trust_bundle, terminal.progress
    ) as assistant:
        Talk(assistant, arguments, request, terminal).run()
    return 0


class Talk:
    """Lines in, answers out. A mistake costs one line, not the conversation."""

    def __init__(
        self, assistant: Assistant, arguments: Namespace, request: Request, terminal: Terminal
    ) -> None:
        self.assistant = assistant
        self.arguments = arguments
        self.request = request
        self.terminal = terminal
        self.images: list[str] = list(arguments.image)
        self.chat: Chat = assistant.chat(arguments.system)

    def run(self) -> None:
        if sys.stdin.isatty():
            self.terminal.note(HELP)
        while (line := self._line()) is not None:
            if line in ("/quit", "/exit"):
                return
            try:
                self._obey(line)
            except EdgeVLError as error:
                self.terminal.error(error)

    def _line(self) -> str | None:
        try:
            return input("you> " if sys.stdin.isatty() else "").strip()
        except EOFError:
            return None

    def _obey(self, line: str) -> None:
        if line == "/new":
            self.chat, self.images = self.assistant.chat(self.arguments.system), []
        elif line.startswith("/image "):
            self.images.append(line.removeprefix("/image ").strip())
        elif line.startswith("/"):
            self.terminal.note(HELP)
        elif line:
            self._answer(line)

    def _answer(self, text: str) -> None:
        # A picture that cannot be read is dropped with its error; the question can be asked again.
        images, self.images = self.images, []
        stream = self.chat.stream(text, images, self.request)
        try:
            for piece in stream:
                if not self.arguments.json:
                    self.terminal.write(piece)
        except KeyboardInterrupt:
            stream.close()
            self.terminal.line(" …")
            return
        if self.arguments.json:
            self.terminal.json(stream.answer.to_json())
        else:
            self.terminal.line()
