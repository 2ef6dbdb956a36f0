"""Scenes as the token sequences the product would write, and which of their tokens are learnt."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from demo.data.scene import Question, Scene, Task
from edge_runtime.prompt import ImageRef, PromptFormat, Turn, common_prefix

PICTURE = ImageRef(b"picture")
NO_WORTH: Mapping[Task, float] = {}
OPENING = re.compile(r'\{"\w+": "?')  # of an object with one answer
NUMBER = re.compile(r"0|[1-9]\d*")  # that JSON can hold
DESCRIBE = "describe the picture."
CAPITALISED = 0.2
CHAINED = 0.2  # share of the conversations in which one question follows the other
OBJECT_KEYS = ("answer", "result", "value", "text")  # or the task's own name
AROUND = 0.05  # how much tokens outside the answers count where the language itself is learnt


@dataclass(frozen=True)
class Conversation:
    """`weights` say how much each token counts as a target: those of answers and their ends, others little or nothing.
    Long answers count more than short ones, but not by their length: a colour is worth learning beside a box.

    Branches are questions that were asked apart: a token sees what all share (branch 0) and its own branch, and
    its position is that in a conversation of its own. A picture is paid for once and asked about many times.
    """

    ids: tuple[int, ...]
    is_image: tuple[bool, ...]
    positions: tuple[int, ...]
    branches: tuple[int, ...]
    weights: tuple[float, ...]
    answers: tuple[tuple[int, int], ...]  # first row and row after the last of each answer, its end included
    questions: tuple[Question, ...]

    def __post_init__(self) -> None:
        columns = (self.is_image, self.positions, self.branches, self.weights)
        assert all(len(column) == len(self.ids) for column in columns)
        assert len(self.answers) == len(self.questions)


class Writer:
    """Turns scenes into conversations; everything drawn comes from the generator it is given."""

    def __init__(self, prompts: PromptFormat) -> None:
        self.prompts = prompts
        self.cue = tuple(prompts.tokenizer.encode(prompts.spec.assistant + ":"))

    def about_picture(
        self,
        scene: Scene,
        rng: np.random.Generator,
        most: int,
        is_describing: bool,
        objects: float = 0.0,
        worth: Mapping[Task, float] = NO_WORTH,
    ) -> Conversation:
        """At most `most` questions, apart or one after the other; describing gives no answers away. `objects` is the share of answers
        that stand in a JSON object, `worth` what those to some tasks count more or less than others."""
        questions = chosen(scene, rng, most)
        if objects:
            questions = [in_object(each, rng) if rng.random() < objects else each for each in questions]
        is_chained = bool(rng.random() < CHAINED)
        if is_describing:
            questions = [*questions, Question("dialogue", DESCRIBE, scene.words)]
        talks = [questions] if is_chained else [[question] for question in questions]
        return self.joined([self.said(talk, "", True) for talk in talks], questions, 0.0, worth)

    def about_words(
        self, scene: Scene, rng: np.random.Generator, most: int, around: float = AROUND
    ) -> Conversation:
        """The picture told in words, then asked about; or plain dialogue. `around` is what other tokens count."""
        questions = chosen(scene, rng, most)
        is_chained = bool(rng.random() < CHAINED)
        talks = [questions] if is_chained else [[question] for question in questions]
        return self.joined([self.said(talk, scene.words, False) for talk in talks], questions, around)

    def said(self, questions: Sequence[Question], opening: str, has_picture: bool) -> tuple[int, ...]:
        """One conversation's ids, as the product writes them, the end of the last answer included."""
        turns: list[Turn] = []
        for index, question in enumerate(questions):
            text = f"{opening}\n{question.text}" if opening and index == 0 else question.text
            turns.append(Turn("user", text, (PICTURE,) if has_picture and index == 0 else ()))
            turns.append(Turn("assistant", question.answer))
        prompt = self.prompts.chat_prompt_tokens(turns[:-1])
        last = self.prompts.tokenizer.encode(" " + turns[-1].text)
        return (*prompt.ids, *last, self.prompts.spec.eos_id)

    def joined(
        self,
        talks: Sequence[tuple[int, ...]],
        questions: Sequence[Question],
        around: float,
        worth: Mapping[Task, float] = NO_WORTH,
    ) -> Conversation:
        """What all conversations begin with, once, and then the rest of each."""
        shared = min((common_prefix(talks[0], talk) for talk in talks[1:]), default=0)
        ids, positions, branches = list(talks[0][:shared]), list(range(shared)), [0] * shared
        for branch, talk in enumerate(talks, start=1):
            ids += talk[shared:]
            positions += range(shared, len(talk))
            branches += [branch] * (len(talk) - shared)
        is_image = tuple(each == self.prompts.spec.image_id for each in ids)
        weights = [0.0 if masked else around for masked in is_image]
        answers = list[tuple[int, int]]()
        for (begin, stop), question in zip(self.answers_in(tuple(ids)), questions, strict=True):
            start = begin + self.opening_of(question)
            # That an object begins, after a blank, is not to be learnt: only a schema asks for one.
            weights[begin + 2 : start] = [AROUND] * max(0, start - begin - 2)
            weight = worth.get(question.task, 1.0) * (stop - start) ** -0.5
            weights[start:stop] = [weight] * (stop - start)
            answers.append((start, stop))
        return Conversation(
            tuple(ids),
            is_image,
            tuple(positions),
            tuple(branches),
            tuple(weights),
            tuple(answers),
            tuple(questions),
        )

    def opening_of(self, question: Question) -> int:
        """How many tokens open the JSON object in which the answer stands, if it stands in one."""
        opening = OPENING.match(question.answer)
        return len(self.prompts.tokenizer.encode(" " + opening[0])) if opening else 0

    def answers_in(self, ids: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        """From after each cue to the end token."""
        found, size, row = list[tuple[int, int]](), len(self.cue), 0
        while row < len(ids):
            if ids[row : row + size] == self.cue:
                start = row + size
                row = ids.index(self.prompts.spec.eos_id, start) + 1
                found.append((start, row))
            else:
                row += 1
        return tuple(found)


def in_object(question: Question, rng: np.random.Generator) -> Question:
    """With its answer as it stands where a schema asks for a JSON object."""
    keys = (question.task, *OBJECT_KEYS)
    key = keys[int(rng.integers(len(keys)))]
    is_number = NUMBER.fullmatch(question.answer) is not None and bool(rng.integers(2))
    said = question.answer if is_number else json.dumps(question.answer, ensure_ascii=False)
    return replace(question, answer=f'{{"{key}": {said}}}')


def closing_of(question: Question) -> int:
    """How many tokens close the JSON object in which the answer stands, if it stands in one."""
    return 0 if OPENING.match(question.answer) is None else 2 if question.answer.endswith('"}') else 1


def chosen(scene: Scene, rng: np.random.Generator, most: int) -> list[Question]:
    """Some of the scene's questions in any order, some of them begun with a capital as people do."""
    order = rng.permutation(len(scene.questions))[:most]
    return [capitalised(scene.questions[index], bool(rng.random() < CAPITALISED)) for index in order]


def capitalised(question: Question, is_wanted: bool) -> Question:
    text = question.text
    return replace(question, text=text[:1].upper() + text[1:]) if is_wanted else question
