"""Scenes as the token sequences the product would write, and which of their tokens are learnt."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from demo.data.scene import Question, Scene
from edge_runtime.prompt import ImageRef, PromptFormat, Turn

PICTURE = ImageRef(b"picture")
DESCRIBE = "describe the picture."
CAPITALISED = 0.2
AROUND = 0.1  # how much tokens outside the answers count where the language itself is learnt


@dataclass(frozen=True)
class Conversation:
    """`weights` say how much each token counts as a target: nothing, except answers and their end tokens."""

    ids: tuple[int, ...]
    is_image: tuple[bool, ...]
    weights: tuple[float, ...]
    answers: tuple[tuple[int, int], ...]  # first row and row after the last of each answer, its end included
    questions: tuple[Question, ...]

    def __post_init__(self) -> None:
        assert len(self.ids) == len(self.is_image) == len(self.weights)
        assert len(self.answers) == len(self.questions)


class Writer:
    """Turns scenes into conversations; everything drawn comes from the generator it is given."""

    def __init__(self, prompts: PromptFormat) -> None:
        self.prompts = prompts
        self.cue = tuple(prompts.tokenizer.encode(prompts.spec.assistant + ":"))

    def about_picture(
        self, scene: Scene, rng: np.random.Generator, most: int, is_describing: bool
    ) -> Conversation:
        """At most `most` questions; describing comes last, where it cannot give answers away."""
        questions = chosen(scene, rng, most)
        if is_describing:
            questions = [*questions, Question("dialogue", DESCRIBE, scene.words)]
        return self.written(questions, "", True, 0.0)

    def about_words(self, scene: Scene, rng: np.random.Generator, most: int) -> Conversation:
        """The picture told in words, then asked about; or plain dialogue."""
        return self.written(chosen(scene, rng, most), scene.words, False, AROUND)

    def written(
        self, questions: list[Question], opening: str, has_picture: bool, around: float
    ) -> Conversation:
        turns: list[Turn] = []
        for index, question in enumerate(questions):
            text = f"{opening}\n{question.text}" if opening and index == 0 else question.text
            turns.append(Turn("user", text, (PICTURE,) if has_picture and index == 0 else ()))
            turns.append(Turn("assistant", question.answer))
        prompt = self.prompts.chat_prompt_tokens(turns[:-1])
        last = self.prompts.tokenizer.encode(" " + turns[-1].text)
        ids = (*prompt.ids, *last, self.prompts.spec.eos_id)
        is_image = [False] * len(ids)
        for start, _ in prompt.image_spans:
            is_image[start : start + prompt.image_tokens] = [True] * prompt.image_tokens
        weights = [0.0 if masked else around for masked in is_image]
        answers = self.answers_in(ids)
        for start, stop in answers:
            weights[start:stop] = [1.0] * (stop - start)
        return Conversation(ids, tuple(is_image), tuple(weights), answers, tuple(questions))

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


def chosen(scene: Scene, rng: np.random.Generator, most: int) -> list[Question]:
    """Some of the scene's questions in any order, some of them begun with a capital as people do."""
    order = rng.permutation(len(scene.questions))[:most]
    return [capitalised(scene.questions[index], bool(rng.random() < CAPITALISED)) for index in order]


def capitalised(question: Question, is_wanted: bool) -> Question:
    text = question.text
    return replace(question, text=text[:1].upper() + text[1:]) if is_wanted else question
