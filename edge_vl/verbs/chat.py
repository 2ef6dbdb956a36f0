"""`edge-vl chat`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from edge_runtime.assistant import Assistant
from edge_runtime.chat import Chat
from edge_runtime.errors import STDOUT_FAULT, EdgeVLError, MachineFault
from edge_runtime.loading import load
from edge_runtime.picture import picture_from_file
from edge_runtime.picture_limits import PictureLimits
from edge_runtime.request import Request
from edge_vl.verbs.answering import request_from_arguments
from edge_vl.verbs.folders import refuse_checkpoint

if TYPE_CHECKING:
    from edge_vl.terminal import Terminal

HELP = "/image FILE shows a picture with the next question · /new starts over · /quit or Ctrl-D ends"


def run(arguments: Namespace, terminal: Terminal) -> int:
    request = request_from_arguments(arguments)
    refuse_checkpoint(arguments.bundle)
    images = [picture_from_file(path, PictureLimits()) for path in arguments.image]
    with load(
        arguments.bundle,
        arguments.engine,
        arguments.max_context,
        arguments.trust_bundle,
        terminal.progress,
        arguments.engines,
    ) as assistant:
        return Talk(assistant, arguments, request, images, terminal).run()


class Talk:
    """Lines in, answers out. A mistake costs one line, not the conversation."""

    def __init__(
        self,
        assistant: Assistant,
        arguments: Namespace,
        request: Request,
        images: list[Image.Image],
        terminal: Terminal,
    ) -> None:
        self.assistant = assistant
        self.arguments = arguments
        self.request = request
        self.terminal = terminal
        self.images = images  # to be shown with the next question
        self.chat: Chat = assistant.chat(arguments.system)
        self.lines = 0  # of JSON
        self.status = 0

    def run(self) -> int:
        """With --json a line for each question, whatever became of it, and one even if there was none. What the machine broke is
        the exit status in the end."""
        self._talk()
        if self.arguments.json and not self.lines:
            self.terminal.json({"answers": 0})
        return self.status

    def _talk(self) -> None:
        if self.terminal.is_typed:
            self.terminal.note(HELP)
        while (line := self.terminal.ask("you> ")) is not None:
            if line.strip() in ("/quit", "/exit"):
                return
            try:
                self._obey(line.strip())
            except EdgeVLError as error:
                if error.code == STDOUT_FAULT:  # nobody would hear the next answer either
                    raise
                if isinstance(error, MachineFault):
                    self.status = error.exit_status
                self.terminal.error(error, self.arguments.json)
                self.lines += 1

    def _obey(self, line: str) -> None:
        if line == "/new":
            self.chat, self.images = self.assistant.chat(self.arguments.system), []
        elif line.startswith("/image "):
            path = Path(line.removeprefix("/image ").strip())
            self.images.append(picture_from_file(path, self.assistant.limits))
        elif line.startswith("/"):
            self.terminal.note(HELP)
        elif line:
            self._answer(line)

    def _answer(self, text: str) -> None:
        """Pictures wait for the first question that is answered to its end."""
        try:
            stream = self.chat.stream(text, self.images, self.request)
            for piece in stream:
                if not self.arguments.json:
                    self.terminal.write(piece)
        except KeyboardInterrupt:
            stopped = "stopped; the question and this answer are forgotten"
            self.terminal.note(f" … {stopped}")
            if self.arguments.json:
                why, fix = "a signal came", "ask again"
                self._tell({"error": {"code": "EVL-STOPPED", "what": stopped, "why": why, "fix": fix}})
            return
        self.images = []
        if self.arguments.json:
            self._tell(stream.answer.to_json())
        else:
            self.terminal.line()

    def _tell(self, record: dict[str, object]) -> None:
        self.terminal.json(record)
        self.lines += 1
