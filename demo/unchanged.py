"""Cache, company and guesses change no answer: held-out questions, and each of them again in a conversation that has its
answer, asked in every way, token by token beside each alone:
`python -m demo.unchanged BUNDLE --out OUT.json`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from demo.circumstances import circumstances
from demo.evaluate import recipe_of
from demo.questions import Case, cases_from_questions, held_out_questions
from edge_runtime.answer import Answer
from edge_runtime.backends.backend import Backend
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.draft import DraftRules
from edge_runtime.loop.loop import Limits, Loop
from edge_runtime.loop.ticket import Question
from edge_runtime.picture_limits import PictureLimits
from edge_runtime.picture_source import picture_from_source
from edge_runtime.prompt import ImageRef, PromptFormat, Turn
from edge_runtime.publish import staged_file
from edge_runtime.record import bytes_from_json
from edge_runtime.request import Request
from edge_runtime.tokenizer import Tokenizer
from edge_runtime.vision import digest_of

LIMIT, CONTEXT = 24, 1024
LEAST_SAME, LARGEST_GAP = 0.99, 0.01
REQUEST = Request(max_tokens=LIMIT, logprobs=2)


@dataclass(frozen=True)
class Way:
    """How questions are asked: `slots` at once, from a cache that was emptied before each or that holds the whole prompt."""

    name: str
    slots: int = 1
    is_cold: bool = False
    is_asked_before: bool = False
    drafts: DraftRules | None = None


ALONE = Way("alone, from an empty cache", is_cold=True)
OTHERS = (
    Way("from the cache", is_asked_before=True),
    Way("four at once", slots=4),
    Way("guessed ahead", drafts=DraftRules()),
    # Answers are short: by the usual rules few are guessed at all.
    Way("guessed ahead wherever a token was seen before", drafts=DraftRules(shortest=1, rest=0)),
)


@dataclass(frozen=True)
class Parting:
    """The first token that differs, and how much likelier the likeliest was there than the next, in nats."""

    question: str
    place: int
    gap: float


@dataclass(frozen=True)
class Compared:
    way: str
    same_share: float
    guessed_tokens: int
    right_guesses: int
    partings: tuple[Parting, ...]

    @property
    def is_passed(self) -> bool:
        return self.same_share >= LEAST_SAME and all(each.gap < LARGEST_GAP for each in self.partings)


def question_from_case(
    case: Case, bundle: Bundle, is_again: bool = False, request: Request = REQUEST
) -> Question:
    """`is_again` asks it a second time in a conversation that has the answer already."""
    assert case.picture is not None, "these questions are about pictures"
    picture = picture_from_source(case.picture, PictureLimits())
    spec = bundle.spec
    prompts = PromptFormat(Tokenizer.open(bundle.tokenizer_path), spec.prompt, spec.image_tokens)
    turns = [Turn("user", case.prompt, (ImageRef(digest_of(picture)),))]
    if is_again:
        turns += [Turn("assistant", case.answer), Turn("user", case.prompt)]
    return Question(prompts.chat_prompt_tokens(turns), (picture,), request, spec.prompt.stop_strings)


def loop_for(way: Way, bundle: Bundle, backend: Backend, questions: int) -> Loop:
    limits = Limits(slots=way.slots, waiting=questions, waiting_tokens=questions * CONTEXT)
    context = min(CONTEXT, bundle.manifest.max_context)
    return Loop(bundle, backend, limits, context, drafts=way.drafts)


def answers_in(way: Way, loop: Loop, questions: Sequence[Question]) -> list[Answer]:
    if way.slots == 1:
        return [answer_in(way, loop, question) for question in questions]
    tickets = [loop.submit(question) for question in questions]
    run_out(loop)
    return [ticket.answer for ticket in tickets]


def answer_in(way: Way, loop: Loop, question: Question) -> Answer:
    if way.is_cold:
        loop.forget()
    for _ in range(1 + way.is_asked_before):
        ticket = loop.submit(question)
        run_out(loop)
    return ticket.answer


def run_out(loop: Loop) -> None:
    while loop.work():
        pass


def compared(
    way: Way, loop: Loop, names: Sequence[str], wanted: Sequence[Answer], found: Sequence[Answer]
) -> Compared:
    pairs = list(zip(names, wanted, found, strict=True))
    partings = [parting(name, one, other) for name, one, other in pairs if one.token_ids != other.token_ids]
    share = 1 - len(partings) / len(pairs)
    return Compared(way.name, round(share, 4), loop.drafted, loop.accepted, tuple(partings))


def parting(where: str, one: Answer, other: Answer) -> Parting:
    place = next(
        (at for at, (a, b) in enumerate(zip(one.token_ids, other.token_ids, strict=False)) if a != b),
        min(len(one.token_ids), len(other.token_ids)),
    )
    # Where one of them ended, the other has the scores.
    scores = next(each.logprobs for each in (one, other) if len(each.token_ids) > place)
    assert scores is not None, "they were asked for"
    first, second = scores[place].likeliest
    return Parting(where, place, round(first.logprob - second.logprob, 6))


def compared_all(bundle: Bundle, count: int) -> list[Compared]:
    cases = list(cases_from_questions(held_out_questions(count)))
    questions = [question_from_case(case, bundle, is_again) for is_again in (False, True) for case in cases]
    names = [case.where + again for again in ("", ", asked again") for case in cases]
    backend, found = OrtBackend(bundle), []
    wanted = answers_in(ALONE, loop_for(ALONE, bundle, backend, len(questions)), questions)
    for way in OTHERS:
        loop = loop_for(way, bundle, backend, len(questions))
        found.append(compared(way, loop, names, wanted, answers_in(way, loop, questions)))
        print(found[-1], flush=True)
    backend.close()
    return found


def report_of(
    bundle: Bundle, name: str, count: int, found: Sequence[Compared], command: str
) -> dict[str, object]:
    return {
        "kind": "answers beside those of each question alone, from an empty cache",
        "bundle": name,
        "decoder": bundle.graph("decoder", "ort").precision,
        "recipe": recipe_of(bundle),
        "questions": count,
        "answers": 2 * count,
        "most_tokens": LIMIT,
        "passed": all(each.is_passed for each in found),
        "bars": {"least_same_share": LEAST_SAME, "gap_below": LARGEST_GAP},
        "ways": [asdict(each) for each in found],
        **circumstances(command),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    bundle = Bundle.open(arguments.bundle, is_trusted=True)
    with staged_file(arguments.out) as out:
        found = compared_all(bundle, arguments.questions)
        name = arguments.bundle.name
        command = f"python -m demo.unchanged {name} --questions {arguments.questions}"
        out.write_bytes(bytes_from_json(report_of(bundle, name, arguments.questions, found, command)))
    return 0 if all(each.is_passed for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
