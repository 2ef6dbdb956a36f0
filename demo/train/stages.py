"""The papers' three stages: who learns, and from what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from demo.data.generator import PICTURED, scene_of
from demo.data.lessons import USUAL, Lessons, lesson_scene
from demo.data.scene import Mark, Task
from demo.data.split import Split, rng_from_name
from demo.train.batch import Batch, batch_from, pixels_of
from demo.train.conversation import Conversation, Writer
from demo.train.distraction import Distraction
from demo.train.loop import Figures
from demo.train.model import Learner, answer_loss
from demo.train.pointing import Pointing
from demo.train.reading import Score, share_of_tokens_right, share_right
from demo.train.whereabouts import Whereabouts
from edge_runtime.preprocess import Pixels
from edge_runtime.spec import Role

MOST_QUESTIONS = 8
MOST_CHECKED = 20  # pictures in a batch of a check


class StageTask:
    """Conversations about pictures, and a share of conversations without any."""

    def __init__(
        self,
        learner: Learner,
        writer: Writer,
        name: str,
        learns: Sequence[Role],
        seed: int,
        batch: int,
        diet: Diet,
        checked: int,
    ) -> None:
        """In a check `checked` pictures are asked about, in whole batches, and as many pages as a batch of them are read."""
        self.learner, self.writer, self.name, self.seed, self.batch = learner, writer, name, seed, batch
        self.learns, self.diet, self.checked = learns, diet, checked
        self.learnt = learner.learn(learns)
        self.whereabouts: Whereabouts | None = None
        if diet.is_asked:
            torch.manual_seed(seed)
            self.whereabouts = Whereabouts(learner.spec.decoder.width, learner.roles["decoder"])
            self.learnt += self.whereabouts.parameters()
        tokenizer, layers = writer.prompts.tokenizer, learner.spec.decoder.layers
        self.pointing = Pointing(tokenizer, layers, diet.is_across) if diet.is_pointed else None
        self.distraction = Distraction(tokenizer) if diet.is_undistracted else None

    def modules(self) -> Mapping[str, nn.Module]:
        modules: dict[str, nn.Module] = {role: self.learner.roles[role] for role in self.learns}
        return modules if self.whereabouts is None else {**modules, "whereabouts": self.whereabouts}

    def parameters(self) -> Sequence[nn.Parameter]:
        return self.learnt

    def loss(self, step: int) -> tuple[Tensor, Figures]:
        share, reading = self.diet.language.at(step), self.diet.reading.at(step)
        batch = self.drawn("train", step, self.batch, share, reading, self.diet.describing, self.diet.lessons)
        seen = self.seen(batch)
        logits = self.logits(batch, seen)
        loss = answer_loss(logits, batch.targets, batch.weights)
        figures = {"answers": share_right(logits, batch), "language": share}
        if self.whereabouts is not None and seen is not None:
            cells, figures["cells"] = self.whereabouts.cells(seen)
            boxes, figures["digits"] = self.whereabouts.boxes(batch.is_image, batch.marks)
            loss = loss + cells + boxes
        if self.pointing is not None:
            looks, figures["looks"] = self.pointing.judged(self.learner.spelling, batch)
            loss = loss + looks
        if self.distraction is not None:
            astray, figures["astray"] = self.distraction.judged(self.learner.spelling, batch)
            loss = loss + astray
        return loss, figures

    @torch.no_grad()
    def check(self) -> Figures:
        score = Score()
        count = min(self.checked, MOST_CHECKED)
        for step in range(self.checked // count):
            batch = self.drawn("validation", step, count, 0.0, 0.0, 0.0)
            score.add(self.logits(batch, self.seen(batch)), batch)
        return score.figures() | {"print": self.read(Lessons(1.0)), "shapes": self.read(Lessons(0.0))}

    def read(self, lessons: Lessons) -> float:
        """The share of a page's words that are right."""
        count = min(self.checked, MOST_CHECKED)
        pages = self.drawn("validation", self.checked, count, 0.0, 1.0, 0.0, lessons)
        return share_of_tokens_right(self.logits(pages, self.seen(pages)), pages)

    def seen(self, batch: Batch) -> Tensor | None:
        return None if batch.low is None else self.learner.rows_from_pixels(batch.low, batch.high)

    def logits(self, batch: Batch, seen: Tensor | None) -> Tensor:
        return self.learner.logits(self.learner.embeds(batch.ids, batch.is_image, seen), batch)

    def drawn(
        self,
        split: Split,
        step: int,
        count: int,
        language: float,
        reading: float,
        describing: float,
        lessons: Lessons = USUAL,
    ) -> Batch:
        rng = rng_from_name(self.seed, self.name, split, step)
        conversations: list[Conversation] = []
        pictures, marks = list[Pixels](), list[tuple[Mark, ...]]()
        spec = self.learner.spec
        is_training = split == "train"
        diet, most = self.diet, self.diet.most
        first, objects = (step * count + diet.first, diet.objects) if is_training else (step * count, 0.0)
        for index in range(first, first + count):
            if rng.random() < language:
                kinds = PICTURED if rng.random() < 0.5 else ("dialogue",)
                scene = scene_of(self.seed, split, index, kinds)
                conversations.append(self.writer.about_words(scene, rng, MOST_QUESTIONS, self.diet.around))
            else:
                is_page = bool(rng.random() < reading)
                scene = (
                    lesson_scene(rng_from_name(self.seed, split, "page", index), split, lessons)
                    if is_page
                    else scene_of(self.seed, split, index, self.diet.makers if is_training else SHARES)
                )
                is_describing = bool(rng.random() < describing)
                conversations.append(
                    self.writer.about_picture(scene, rng, most, is_describing, objects, diet.worth)
                )
                pictures.append(pixels_of(scene, spec.preprocess))
                marks.append(scene.marks)
        batch = batch_from(conversations, pictures, spec.high is not None)
        return replace(batch, marks=tuple(marks))


class Mixture:
    """A share that sinks from 1 to `final` over the first `warm_up` steps (modality warm-up)."""

    def __init__(self, final: float, warm_up: int) -> None:
        self.final, self.warm_up = final, warm_up

    def at(self, step: int) -> float:
        if step >= self.warm_up:
            return self.final
        return 1.0 - (1.0 - self.final) * step / self.warm_up


# Makers take turns; shapes and codes hold several of the tasks each.
SHARES = (
    "shapes",
    "codes",
    "meters",
    "shapes",
    "codes",
    "receipts",
    "charts",
    "shapes",
    "codes",
    "tables",
    "gauges",
    "codes",
    "clocks",
    "price_tags",
)
# Half of them shapes, whose questions are the most and the slowest to be learnt.
SHAPES_MOSTLY = tuple(name for other in SHARES if other != "shapes" for name in ("shapes", other))
# As many, and others by how much they still have to learn.
SHAPES_RATHER = tuple(
    name
    for other in (
        "codes",
        "meters",
        "receipts",
        "codes",
        "charts",
        "tables",
        "codes",
        "meters",
        "gauges",
        "clocks",
        "price_tags",
    )
    for name in ("shapes", other)
)


def beside_shapes_and_codes(*pairs: tuple[str, str]) -> tuple[str, ...]:
    """Those two hold several tasks each: every other picture is of one of them."""
    return tuple(name for one, other in pairs for name in ("shapes", one, "codes", other))


# What still misses its bars, and in between what has been told least where to look.
CODES_TOO = beside_shapes_and_codes(
    ("meters", "charts"),
    ("meters", "receipts"),
    ("clocks", "meters"),
    ("tables", "charts"),
    ("meters", "gauges"),
    ("clocks", "price_tags"),
)
# The others nearly alike.
ALL_ALIKE = beside_shapes_and_codes(
    ("meters", "charts"),
    ("receipts", "gauges"),
    ("clocks", "tables"),
    ("receipts", "meters"),
    ("gauges", "price_tags"),
    ("clocks", "tables"),
)


@dataclass(frozen=True)
class Diet:
    """What a stage learns from: the share of language; of pictures, those that are pages to be read aloud, and those that
    are described; and how much tokens around the answers count where there is no picture."""

    language: Mixture
    reading: Mixture
    describing: float = 0.0
    around: float = 0.0
    lessons: Lessons = USUAL
    makers: tuple[str, ...] = SHARES
    most: int = MOST_QUESTIONS
    is_asked: bool = False  # the picture's own tokens are asked where they are
    is_pointed: bool = False  # answers are told where to look
    is_across: bool = False  # and, where they count, at what not, even in other pictures
    is_undistracted: bool = False  # nor does a question that counts heed it on its way
    first: int = 0  # number of the first picture, so that a stage may see other pictures than those before it
    objects: float = 0.0  # share of the answers that stand in a JSON object
    worth: Mapping[Task, float] = field(default_factory=dict)  # of answers, where it is not 1
