"""A conversation."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from edge_runtime.answer import Answer, AnswerStream
from edge_runtime.errors import EdgeVLError
from edge_runtime.picture_source import Images
from edge_runtime.prompt import ImageRef, Turn
from edge_runtime.request import Request
from edge_runtime.stopwatch import Stopwatch
from edge_runtime.vision import EncodedImage

if TYPE_CHECKING:
    from edge_runtime.assistant import Assistant


class Chat:
    """A conversation that grows turn by turn. An answer that was not read to its end is not kept."""

    def __init__(self, assistant: Assistant, system: str | None = None) -> None:
        self._assistant = assistant
        self._system = system
        self._turns: list[Turn] = []
        self._images: list[EncodedImage] = []

    def ask(
        self,
        text: str,
        image: Images = None,
        request: Request = Request(),
    ) -> Answer:
        """The next question, with new images if any."""
        return self.stream(text, image, request).answer

    def stream(
        self,
        text: str,
        image: Images = None,
        request: Request = Request(),
    ) -> AnswerStream:
        """As `ask`, piece by piece."""
        stopwatch = Stopwatch()
        assistant, known = self._assistant, self._turns
        decoded = assistant.decoded(image, stopwatch)
        turns = [*known, Turn("user", text, tuple(ImageRef(each.digest) for each in decoded))]
        prompt = assistant.format.chat_prompt_tokens(turns, self._system)
        speaker = assistant.speaker(prompt, request, assistant.spec.prompt.stop_strings)
        images = [*self._images, *assistant.encoded(decoded, stopwatch)]
        answered = assistant.answered(prompt, images, speaker, stopwatch)
        return AnswerStream(self._kept(known, turns, images, answered))

    def _kept(
        self,
        known: list[Turn],
        turns: list[Turn],
        images: list[EncodedImage],
        answered: Generator[str, None, Answer],
    ) -> Generator[str, None, Answer]:
        """`known` are the turns that it goes on from, and the conversation's still."""
        if self._turns is not known:
            what, why = (
                "this answer cannot be begun",
                "the conversation has gone on since its question was asked",
            )
            fix = "read a stream to its end before the next question"
            raise EdgeVLError("EVL-STREAM-REPLACED", what, why, fix)
        answer = yield from answered
        self._turns, self._images = [*turns, Turn("assistant", answer.text)], images
        return answer
