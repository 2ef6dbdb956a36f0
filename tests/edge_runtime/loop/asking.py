"""Questions to a loop, and the same to an assistant."""

from __future__ import annotations

import numpy as np
from PIL import Image

from edge_runtime.answer import Answer
from edge_runtime.assistant import Assistant
from edge_runtime.bundle import Bundle
from edge_runtime.loop.loop import Loop
from edge_runtime.loop.ticket import Question, Ticket
from edge_runtime.prompt import ImageRef, PromptFormat, Turn
from edge_runtime.request import Request
from edge_runtime.tokenizer import Tokenizer
from edge_runtime.vision import digest_of

TEXTS = (
    "what is it?",
    "where is the lamp?",
    "how many are there, and of what colour?",
    "read the sign",
    "why?",
)


def picture(seed: int) -> Image.Image:
    rng = np.random.Generator(np.random.PCG64(seed))
    return Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8))


def question(
    bundle: Bundle, text: str, seed: int | None = None, request: Request = Request(max_tokens=12)
) -> Question:
    pictures = () if seed is None else (picture(seed),)
    turn = Turn("user", text, tuple(ImageRef(digest_of(each)) for each in pictures))
    prompts = PromptFormat(
        Tokenizer.open(bundle.tokenizer_path), bundle.spec.prompt, bundle.spec.image_tokens
    )
    return Question(prompts.chat_prompt_tokens([turn]), pictures, request, bundle.spec.prompt.stop_strings)


def run_out(loop: Loop, most: int = 2000) -> int:
    works = 0
    while loop.work():
        works += 1
        assert works < most, "the loop does not come to an end"
    return works


def answers_of(loop: Loop, tickets: list[Ticket]) -> list[Answer]:
    run_out(loop)
    return [ticket.answer for ticket in tickets]


def asked_alone(
    alone: Assistant, text: str, seed: int | None, request: Request = Request(max_tokens=12)
) -> Answer:
    return alone.ask(text, None if seed is None else picture(seed), request=request)
