"""What guessing ahead is worth on this machine: the cost of a step of several tokens, and texts of several kinds said with
guesses and without, however busy it is meanwhile: `python -m demo.speculation BUNDLE ... --out OUT.json`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from demo.circumstances import circumstances
from demo.walkthrough import CHECKPOINT
from edge_runtime.backends.backend import Array, DecoderGraph, Ints
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.draft import DraftRules
from edge_runtime.embedding import EmbeddedPrompt
from edge_runtime.prompt import PromptTokens
from edge_runtime.publish import staged_file
from edge_runtime.record import bytes_from_json
from edge_runtime.request import Request
from edge_runtime.sampling import rng_from_seed
from edge_runtime.scores import Scores
from edge_runtime.sequence import KVSequence
from edge_runtime.tokenizer import Tokenizer
from edge_runtime.voice import Voice

RULES = DraftRules()
CONTEXT, MOST_TOKENS = 200, 96
SHARES = (0.3, 0.5, 0.7, 0.9)

STREET = (
    "A narrow street climbs between old houses toward a church with a green dome. On the left a woman in a red coat"
    " carries two bags of vegetables, while a boy beside her points at something outside the frame. Laundry hangs from"
    " several balconies. Near the corner stands a delivery van whose rear doors are open; cardboard boxes lie on the"
    " pavement. The light comes low from the west, so it is probably late afternoon in autumn."
)
RECEIPT = [
    {"item": name, "count": count, "price": price}
    for name, count, price in (
        ("bread", 1, "2.40"), ("milk", 2, "1.19"), ("apples", 6, "0.35"), ("cheese", 1, "4.85"), ("tea", 3, "2.05"),
    )
]  # fmt: skip
LINES = "\n".join(f"{each['item']} {each['count']} x {each['price']}" for each in RECEIPT)


@dataclass(frozen=True)
class Text:
    """A kind of answer, and what was said before it."""

    kind: str
    before: str
    answer: str


TEXTS = (
    Text("a description, nothing said twice", "Describe the picture.", STREET),
    Text("a receipt as JSON", f"Write this as JSON: {LINES}", json.dumps(RECEIPT, indent=1)),
    Text("a receipt read a second time", f"Read it. {LINES} Read it again.", LINES),
    Text("a description said again", f"{STREET} Correct the spelling.", STREET),
)


class Reciting:
    """A decoder that works as it does and then says a text whatever came out: the time is its own, the text ours."""

    batch = 1

    def __init__(self, decoder: DecoderGraph, text: Sequence[int]) -> None:
        self._decoder = decoder
        self._text = text

    @property
    def capacity(self) -> int:
        return self._decoder.capacity

    def row(self, row: int) -> DecoderGraph:
        assert row == 0, "there is one"
        return self

    def step(self, embeds: Array, write_index: Ints, logit_index: Ints) -> Scores:
        logits = self._decoder.step(embeds, write_index, logit_index).logits
        for place, row in enumerate(logit_index[0]):
            follows = int(write_index[0] + row) + 1
            logits[0, place, self._text[min(follows, len(self._text) - 1)]] = 1e4
        return Scores.of(logits)


@dataclass(frozen=True)
class Stand:
    bundle: Bundle
    decoder: DecoderGraph

    def step_ms(self, tokens: int, rng: np.random.Generator) -> float:
        """Behind a context of random text, logits and all."""
        sequence = KVSequence(self.decoder, self.bundle.embedding())
        sequence.keys = list(range(CONTEXT))
        ids = [int(each) for each in rng.integers(0, self.bundle.spec.decoder.vocab, tokens)]
        begun = time.perf_counter()
        scores = sequence.append(*ids)
        for place in range(tokens):
            scores.place(place).logits[0, 0].argmax()
        return 1000 * (time.perf_counter() - begun)

    def largest_difference(self, rng: np.random.Generator) -> float:
        """Of any logit, between tokens that are fed at once and one by one, behind the same context."""
        ids = [
            int(each) for each in rng.integers(0, self.bundle.spec.decoder.vocab, CONTEXT + RULES.most + 1)
        ]
        sequence = KVSequence(self.decoder, self.bundle.embedding())
        sequence.append(*ids[:CONTEXT])
        single = [sequence.append(each).logits[0, 0] for each in ids[CONTEXT:]]
        del sequence.keys[CONTEXT:]
        together = sequence.append(*ids[CONTEXT:]).logits[0]
        return float(np.abs(together - np.stack(single)).max())

    def said(self, text: Text, drafts: DraftRules | None) -> Said:
        tokenizer = Tokenizer.open(CHECKPOINT / "tokenizer.json")
        before, answer = tokenizer.encode(text.before), tokenizer.encode(text.answer)[:MOST_TOKENS]
        prompt = PromptTokens(tuple(before), (), self.bundle.spec.image_tokens)
        sequence = KVSequence(Reciting(self.decoder, [*before, *answer]), self.bundle.embedding())
        own = Tokenizer.open(self.bundle.tokenizer_path)
        voice = Voice(own, self.bundle.spec, self.decoder.capacity, drafts)
        speaker = voice.speaker(prompt, Request(max_tokens=len(answer)), (), has_end=False)
        scores, _ = sequence.prefill(EmbeddedPrompt(prompt, self.bundle.embedding(), [], []))
        told, found, times = [speaker.saying.hear(scores)], [], [time.perf_counter()]
        while speaker.saying.reason is None:
            found.append(speaker.step(sequence, told.append))
            times.append(time.perf_counter())
        assert speaker.saying.ids == answer, "the text was to be said"
        guessed, right = (sum(each[place] for each in found) for place in (0, 1))
        sizes = tuple(1 + each.guessed for each in found)
        return Said(len(answer), sizes, guessed, right, np.diff(times))


@dataclass(frozen=True)
class Said:
    tokens: int
    sizes: tuple[int, ...]  # of its steps, in tokens
    guessed: int
    right: int
    seconds: npt.NDArray[np.float64]  # of every step


def stand_of(bundle: Bundle, backend: OrtBackend) -> Stand:
    longest = max(len(Tokenizer.open(CHECKPOINT / "tokenizer.json").encode(each.before)) for each in TEXTS)
    capacity = max(CONTEXT, longest) + MOST_TOKENS + 1 + RULES.most
    return Stand(bundle, backend.decoder(1, capacity))


def step_costs(stand: Stand, rounds: int) -> dict[int, float]:
    """Least milliseconds by tokens: what else runs on a machine only adds. All sizes in every round, so that a busy moment
    touches all."""
    rng = rng_from_seed(1)
    sizes = range(1, RULES.most + 2)
    taken = [{size: stand.step_ms(size, rng) for size in sizes} for _ in range(rounds)]
    return {size: round(min(each[size] for each in taken), 3) for size in sizes}


def curve(costs: dict[int, float]) -> Iterator[dict[str, float]]:
    """How much faster an answer would be whose next token is guessed right with this probability, each for itself."""
    for share in SHARES:
        faster = {
            guessed: (1 - share ** (guessed + 1)) / (1 - share) * costs[1] / costs[guessed + 1]
            for guessed in range(1, RULES.most + 1)
        }
        best = max(faster, key=lambda guessed: faster[guessed])
        yield {"right": share, "best_guess": best, "faster": round(faster[best], 2)}


def kinds(stand: Stand, rounds: int) -> Iterator[dict[str, object]]:
    """Every step as in its quickest round: the same steps are taken in all."""
    for text in TEXTS:
        pairs = [(stand.said(text, None), stand.said(text, RULES)) for _ in range(rounds)]
        told = pairs[0][1]
        plain_s, guessed_s = (
            float(np.min([pair[side].seconds for pair in pairs], axis=0).sum()) for side in (0, 1)
        )
        yield {
            "text": text.kind,
            "tokens": told.tokens,
            "steps": len(told.sizes),
            "guessed": told.guessed,
            "right": told.right,
            "faster": round(plain_s / guessed_s, 2),
            "seconds": [round(plain_s, 4), round(guessed_s, 4)],
        }


def measured(bundle: Bundle, name: str, rounds: int) -> dict[str, object]:
    backend = OrtBackend(bundle)
    stand = stand_of(bundle, backend)
    costs = step_costs(stand, 5 * rounds)
    found = {
        "bundle": name,
        "decoder": bundle.graph("decoder", "ort").precision,
        "step_ms": costs,
        "beside_one_token": {size: round(cost / costs[1], 2) for size, cost in costs.items()},
        "by_share_of_right_guesses": list(curve(costs)),
        "largest_difference_of_logits": float(f"{stand.largest_difference(rng_from_seed(2)):.3g}"),
        "texts": list(kinds(stand, rounds)),
    }
    backend.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    with staged_file(arguments.out) as out:
        found = []
        for path in arguments.bundles:
            found.append(measured(Bundle.open(path, is_trusted=True), path.name, arguments.rounds))
            print(json.dumps(found[-1]), flush=True)
        names = " ".join(path.name for path in arguments.bundles)
        report = {
            "kind": "guessing ahead beside one token a step",
            "rules": asdict(RULES),
            "context": CONTEXT,
            "bundles": found,
            **circumstances(f"python -m demo.speculation {names} --rounds {arguments.rounds}"),
        }
        out.write_bytes(bytes_from_json(report))


if __name__ == "__main__":
    main()
