"""Before the papers' stages: each tower learns to see, and the decoder learns to talk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from demo.data.generator import PICTURED, scene_of
from demo.data.lessons import lesson_scene
from demo.data.practice import practice_page
from demo.data.scene import Mark, Scene
from demo.data.shape_pages import shape_page
from demo.data.split import Split, rng_from_name
from demo.train.batch import batch_from, pixels_of
from demo.train.contrast import MOST_WORDS, Contrast, pairwise_sigmoid_loss, retrieval_accuracy
from demo.train.conversation import Writer
from demo.train.dense import CELLS, DenseHead, dense_accuracy, dense_loss, targets_from_marks
from demo.train.labels import CLASSES
from demo.train.loop import Figures
from demo.train.model import Learner, SamMaps, answer_loss
from demo.train.reading import share_right
from demo.train.stages import SHARES
from edge_runtime.preprocess import pixels_from_picture
from export.modules.sam import SamTower

CHECKED = 32  # scenes of a check
# Scenes without much print come more often: pages do not teach what is in them.
LESSONS = (
    *("shapes", "meters", "clocks", "shapes", "codes", "gauges"),
    *("meters", "shapes", "price_tags", "charts", "codes", "shapes"),
    *("meters", "gauges", "clocks", "shapes", "tables", "receipts"),
)
Lesson = tuple[Image.Image, tuple[Mark, ...]]  # a picture and what lies in it


class SamTask:
    """The high tower names what lies in each cell of the picture."""

    def __init__(self, learner: Learner, seed: int, batch: int, kinds: Sequence[str] = LESSONS) -> None:
        spec = learner.spec.high
        assert spec is not None
        tower = learner.roles["vision_high"]
        assert isinstance(tower, SamTower)
        self.learner, self.tower, self.seed, self.batch, self.kinds = learner, tower, seed, batch, kinds
        self.maps = SamMaps(tower)
        torch.manual_seed(seed)
        side = round(spec.tokens**0.5)
        self.head = DenseHead(spec.neck_width, spec.down_widths[1], spec.grid, side, len(CLASSES) + 1)
        self.learnt = [*learner.learn(["vision_high"]), *self.head.parameters()]

    def modules(self) -> Mapping[str, nn.Module]:
        return {"vision_high": self.tower, "head": self.head}

    def parameters(self) -> Sequence[nn.Parameter]:
        return self.learnt

    def loss(self, step: int) -> tuple[Tensor, Figures]:
        indices = range(step * self.batch, (step + 1) * self.batch)
        near, far, labels, edges = self.maps_of([self.lesson(index) for index in indices])
        first, second = dense_loss(near, labels, edges), dense_loss(far, labels, edges)
        return first + second, {"map": float(first.detach()), "tokens": float(second.detach())}

    @torch.no_grad()
    def check(self) -> Figures:
        scenes = [scene_of(self.seed, "validation", index, self.kinds) for index in range(CHECKED)]
        near, far, labels, _ = self.maps_of([(picture_of(scene), scene.marks) for scene in scenes])
        return {"map_right": dense_accuracy(near, labels), "tokens_right": dense_accuracy(far, labels)}

    def lesson(self, index: int) -> Lesson:
        """A page of print or of shapes, and then two scenes."""
        if index % 6 == 0:
            return practice_page(rng_from_name(self.seed, "practice", index))
        if index % 6 == 3:
            page = shape_page(rng_from_name(self.seed, "shapes", index), "train")
            return picture_of(page), page.marks
        scene = scene_of(self.seed, "train", index - index // 3 - 1, self.kinds)
        return picture_of(scene), scene.marks

    def maps_of(self, lessons: Sequence[Lesson]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        targets = [targets_from_marks(marks, CLASSES) for _, marks in lessons]
        labels = torch.from_numpy(np.stack([each.labels for each in targets]))
        edges = torch.from_numpy(np.stack([each.edges for each in targets]))
        assert labels.shape[1] == CELLS
        spec = self.learner.spec.preprocess
        planes = [pixels_from_picture(picture, spec).high for picture, _ in lessons]
        pixels = torch.from_numpy(np.stack([plane for plane in planes if plane is not None]))
        near, far = self.head(*self.maps(pixels))
        return near, far, labels, edges


def picture_of(scene: Scene) -> Image.Image:
    assert scene.picture is not None
    return scene.picture


class SiglipTask:
    """The low tower tells captions of pictures apart."""

    def __init__(
        self, learner: Learner, writer: Writer, seed: int, batch: int, kinds: Sequence[str] = PICTURED
    ) -> None:
        self.learner, self.writer, self.seed, self.batch, self.kinds = learner, writer, seed, batch, kinds
        self.tower = learner.roles["vision_low"]
        torch.manual_seed(seed)
        self.contrast = Contrast(learner.spec.decoder.vocab, learner.spec.low.width)
        self.learnt = [*learner.learn(["vision_low"]), *self.contrast.parameters()]

    def modules(self) -> Mapping[str, nn.Module]:
        return {"vision_low": self.tower, "contrast": self.contrast}

    def parameters(self) -> Sequence[nn.Parameter]:
        return self.learnt

    def loss(self, step: int) -> tuple[Tensor, Figures]:
        logits = self.logits("train", range(step * self.batch, (step + 1) * self.batch))
        return pairwise_sigmoid_loss(logits), {"own_caption": retrieval_accuracy(logits)}

    @torch.no_grad()
    def check(self) -> Figures:
        return {"validation_own_caption": retrieval_accuracy(self.logits("validation", range(CHECKED)))}

    def logits(self, split: Split, indices: range) -> Tensor:
        scenes = [scene_of(self.seed, split, index, self.kinds) for index in indices]
        low = np.stack([pixels_of(scene, self.learner.spec.preprocess).low for scene in scenes])
        features = self.tower(torch.from_numpy(low))
        logits: Tensor = self.contrast(features, self.caption_ids(scenes))
        return logits

    def caption_ids(self, scenes: Sequence[Scene]) -> Tensor:
        ids = np.zeros((len(scenes), MOST_WORDS), np.int64)
        for row, scene in enumerate(scenes):
            found = self.writer.prompts.tokenizer.encode(" " + scene.caption)[:MOST_WORDS]
            ids[row, : len(found)] = found
        return torch.from_numpy(ids)


class TextTask:
    """The decoder learns to talk: dialogue, and questions about pictures that are told in words."""

    TOLD, PAGES = 0.75, 0.1  # shares of the conversations about a picture in words, and about a page
    MOST = 8

    def __init__(self, learner: Learner, writer: Writer, seed: int, batch: int) -> None:
        self.learner, self.writer, self.seed, self.batch = learner, writer, seed, batch
        self.learnt = learner.learn(["embed", "decoder"])

    def modules(self) -> Mapping[str, nn.Module]:
        return {role: self.learner.roles[role] for role in ("embed", "decoder")}

    def parameters(self) -> Sequence[nn.Parameter]:
        return self.learnt

    def loss(self, step: int) -> tuple[Tensor, Figures]:
        loss, right = self.answered("train", step, self.batch)
        return loss, {"answers": right}

    @torch.no_grad()
    def check(self) -> Figures:
        return {"validation_answers": self.answered("validation", 0, CHECKED)[1]}

    def answered(self, split: Split, step: int, count: int) -> tuple[Tensor, float]:
        rng = rng_from_name(self.seed, "text", split, step)
        conversations = []
        for index in range(step * count, (step + 1) * count):
            scene = self.scene(rng, split, index)
            conversations.append(self.writer.about_words(scene, rng, self.MOST))
        batch = batch_from(conversations, [], False)
        embeds = self.learner.embeds(batch.ids, batch.is_image, None)
        logits = self.learner.logits(embeds, batch)
        return answer_loss(logits, batch.targets, batch.weights), share_right(logits, batch)

    def scene(self, rng: np.random.Generator, split: Split, index: int) -> Scene:
        kind = rng.random()
        if kind < self.PAGES:
            return lesson_scene(rng_from_name(self.seed, split, "page", index), split)
        return scene_of(self.seed, split, index, SHARES if kind < self.PAGES + self.TOLD else ("dialogue",))
