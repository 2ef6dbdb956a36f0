"""Several streams beside one, and a second question beside the first, of any bundle on this machine:
`python -m demo.full_loop BUNDLE --out OUT.json`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from demo.circumstances import circumstances
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.loop.loop import Limits, Loop
from edge_runtime.loop.ticket import Question
from edge_runtime.prompt import ImageRef, PromptFormat, PromptTokens, Turn
from edge_runtime.publish import staged_file
from edge_runtime.record import bytes_from_json
from edge_runtime.request import Request
from edge_runtime.tokenizer import Tokenizer
from edge_runtime.vision import digest_of

STREAMS, TOKENS, PROMPT = 4, 24, 64
FIRST, SECOND = "What is in this picture?", "How many are there, and of what colour?"


@dataclass(frozen=True)
class Round:
    """Tokens per second of one stream and of four together; milliseconds to the first token of two questions about one
    picture. One after the other, so that a busy moment of the machine touches all."""

    one_tokens_per_s: float
    four_tokens_per_s: float
    first_question_ms: float
    second_question_ms: float


@dataclass(frozen=True)
class Stand:
    bundle: Bundle
    one: Loop
    four: Loop

    def round(self, number: int) -> Round:
        rng = np.random.Generator(np.random.PCG64(number))
        pixels = rng.integers(0, 255, (480, 640, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels)
        return Round(
            round(self.tokens_per_s(self.one, 1, rng), 3),
            round(self.tokens_per_s(self.four, STREAMS, rng), 3),
            round(self.first_token_ms(picture, FIRST), 1),
            round(self.first_token_ms(picture, SECOND), 1),
        )

    def tokens_per_s(self, loop: Loop, streams: int, rng: np.random.Generator) -> float:
        """Of all together, from when the last prompt is read until the first answer is over."""
        for _ in range(streams):
            loop.submit(Question(self.words(rng), request=Request(max_tokens=TOKENS), has_end=False))
        while loop.decoding < streams:
            assert loop.work(), "an answer was over before all were begun: ask for more tokens"
        said, begun = loop.said, time.perf_counter()
        while loop.decoding == streams:
            loop.work()
        rate = (loop.said - said) / (time.perf_counter() - begun)
        run_out(loop)
        return rate

    def first_token_ms(self, picture: Image.Image, text: str) -> float:
        begun, said = time.perf_counter(), self.one.said
        self.one.submit(Question(self.asked(picture, text), (picture,), Request(max_tokens=2), has_end=False))
        while self.one.said == said:
            self.one.work()
        spent = time.perf_counter() - begun
        run_out(self.one)
        return 1000 * spent

    def words(self, rng: np.random.Generator) -> PromptTokens:
        """Any: the time does not depend on which."""
        ids = rng.integers(0, self.bundle.spec.decoder.vocab, PROMPT)
        return PromptTokens(tuple(map(int, ids)), (), self.bundle.spec.image_tokens)

    def asked(self, picture: Image.Image, text: str) -> PromptTokens:
        spec = self.bundle.spec
        prompts = PromptFormat(Tokenizer.open(self.bundle.tokenizer_path), spec.prompt, spec.image_tokens)
        return prompts.chat_prompt_tokens([Turn("user", text, (ImageRef(digest_of(picture)),))])


def run_out(loop: Loop) -> None:
    while loop.work():
        pass


def stand_of(bundle: Bundle) -> Stand:
    backend = OrtBackend(bundle)
    context = min(bundle.manifest.max_context, bundle.spec.image_tokens + 4 * PROMPT + TOKENS)
    one, four = (Loop(bundle, backend, Limits(slots=slots), context) for slots in (1, STREAMS))
    return Stand(bundle, one, four)


def report_of(bundle: Bundle, rounds: Sequence[Round], command: str) -> dict[str, object]:
    """Ratios are medians of the rounds' own."""
    more = median(each.four_tokens_per_s / each.one_tokens_per_s for each in rounds)
    sooner = median(each.first_question_ms / each.second_question_ms for each in rounds)
    entry = bundle.graph("decoder", "ort")
    return {
        "kind": "several streams beside one",
        "bundle": bundle.folder.name,
        "decoder": entry.precision,
        "streams": STREAMS,
        "four_beside_one": round(more, 2),
        "first_beside_second_question": round(sooner, 2),
        "rounds": [asdict(each) for each in rounds],
        **circumstances(command),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    bundle = Bundle.open(arguments.bundle, is_trusted=True)
    with staged_file(arguments.out) as out:
        stand = stand_of(bundle)
        stand.round(-1 % 1000)  # warms what the others find warm
        rounds = []
        for number in range(arguments.rounds):
            rounds.append(stand.round(number))
            print(rounds[-1], flush=True)
        command = f"python -m demo.full_loop {bundle.folder.name} --rounds {arguments.rounds}"
        out.write_bytes(bytes_from_json(report_of(bundle, rounds, command)))


if __name__ == "__main__":
    main()
