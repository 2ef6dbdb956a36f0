"""The whole training: each stage from the weights of those before it, in one folder."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from demo.data.generator import PICTURED, scene_of
from demo.data.scene import Scene
from demo.tokenizer import tokenizer_json_from_corpus
from demo.train.conversation import DESCRIBE, Writer
from demo.train.diets import diet_of
from demo.train.loop import SAVE_SECONDS, Plan, Task, run_stage
from demo.train.model import Learner
from demo.train.plot import plot_log
from demo.train.recipe import LEARNS, ONE_PART, Recipe
from demo.train.stages import StageTask
from demo.train.start import Start
from demo.train.state import State, load_state, locked
from demo.train.towers import SamTask, SiglipTask, TextTask
from demo.trained_checkpoint import write_trained_checkpoint
from edge_runtime.errors import EdgeVLError
from edge_runtime.progress import Progress
from edge_runtime.prompt import PromptFormat
from edge_runtime.spec import Role
from edge_runtime.tokenizer import Tokenizer

TOKENIZER = "tokenizer.json"
CORPUS_SCENES = 3000
ROOT = Path(__file__).parents[2]
# Folders, and files whose rules decide what is drawn, seen, written or begun with.
SOURCES = (
    *("demo/data", "demo/train", "export/modules"),
    *(
        "demo/sizes.py",
        "export/layouts/parameters.py",
        "edge_runtime/preprocess.py",
        "edge_runtime/prompt.py",
    ),
)
PLACED_STAGE = "places"  # begins with waves in the table of positions


class Trainer:
    """One recipe in one folder; stages whose state is finished are not done again. With a `start` a stage begins with its weights, and
    not with those of the stages before."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        progress: Progress,
        tell: Callable[[str], None],
        save_seconds: float = SAVE_SECONDS,
        start: Start | None = None,
    ) -> None:
        self.save_seconds, self.start = save_seconds, start
        self.recipe, self.folder, self.progress, self.tell = recipe, folder, progress, tell
        if start is not None:
            start.weights(recipe.spec)  # refused before anything of it is in the folder
        self.tokenizer = tokenizer_in(folder, recipe, start)
        self.made_of = sources_digest((folder / TOKENIZER).read_bytes())
        if start is not None:
            start.check_words((folder / TOKENIZER).read_text(encoding="utf-8"))
            self.made_of += f"/{start.digest}"
        spec = recipe.spec
        self.writer = Writer(PromptFormat(self.tokenizer, spec.prompt, spec.image_tokens))

    def path(self, stage: str) -> Path:
        """Towers and language are taught once in a folder; every recipe goes on from there."""
        is_shared = stage in ONE_PART
        return self.folder / (f"{stage}.state" if is_shared else f"{self.recipe.name}-{stage}.state")

    def run(self, stage: str) -> State:
        """Trains a stage to its end; the stages it needs must be at theirs."""
        learner = self.learner_before(stage)
        plan = self.recipe.plan(stage)
        task = self.task(stage, plan, learner)
        path = self.path(stage)
        with locked(path):
            state = run_stage(plan, task, path, self.mark(stage), self.progress, self.tell, self.save_seconds)
        plot_log(stage, state["log"], self.path(stage).with_suffix(".png"))
        self.tell(f"{stage} done after {state['step']} steps")
        return state

    def finish(self) -> Path:
        """Writes the model after the last stage as a checkpoint folder, replacing an earlier one of ours."""
        out = self.folder / f"{self.recipe.name}-checkpoint"
        learner = self.finished()
        text = (self.folder / TOKENIZER).read_text(encoding="utf-8")
        state = {role: learner.state_of(role) for role in self.recipe.spec.roles}
        fresh = out.with_name(out.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        write_trained_checkpoint(self.recipe.spec, state, text, fresh)
        shutil.rmtree(out, ignore_errors=True)
        fresh.rename(out)
        self.tell(f"the checkpoint is in {out}")
        return out

    def mark(self, stage: str) -> str:
        """Names everything that decides a stage's weights: recipe, tokenizer, and the code of `SOURCES`."""
        said = f"{self.recipe.mark(stage)}/{self.made_of}"
        return hashlib.sha256(said.encode()).hexdigest()

    def learner_before(self, stage: str) -> Learner:
        # Towers and language are always taught as parts of the hybrid: on its pixels, from its first weights.
        spec = self.recipe.whole if stage in ONE_PART else self.recipe.spec
        learner = Learner(spec, self.recipe.seed)
        if self.start is not None:
            for role, tensors in self.start.weights(spec).items():
                learner.take(role, tensors)
        for need in self.recipe.needs.get(stage, ()) if self.start is None else ():
            self.teach(learner, need)
        if stage == PLACED_STAGE:
            learner.place()
        return learner

    def finished(self) -> Learner:
        """The model after the last stage."""
        last = self.recipe.stages[-1]
        learner = self.learner_before(last)
        self.teach(learner, last)
        return learner

    def teach(self, learner: Learner, stage: str) -> None:
        """What a stage has learnt, for its share, to one who has learnt what comes before it."""
        share = self.recipe.plan(stage).share
        for role, tensors in self.learnt(stage).items():
            before = learner.state_of(role)
            learner.take(
                role, {name: torch.lerp(before[name], each, share) for name, each in tensors.items()}
            )

    def learnt(self, stage: str) -> Mapping[Role, Mapping[str, Tensor]]:
        state = load_state(self.path(stage), self.mark(stage))
        if state is None or state["step"] < self.recipe.plan(stage).steps:
            fix = f"run the stage {stage} first"
            raise EdgeVLError(
                "EVL-TRAIN-ORDER", f"the stage {stage} is not finished", "later stages start from it", fix
            )
        return {role: state["modules"][role] for role in LEARNS[stage]}

    def task(self, stage: str, plan: Plan, learner: Learner) -> Task:
        seed, batch = self.recipe.seed, plan.batch
        if stage == "siglip":
            return SiglipTask(learner, self.writer, seed, batch)
        if stage == "sam":
            return SamTask(learner, seed, batch)
        if stage == "text":
            return TextTask(learner, self.writer, seed, batch)
        diet = diet_of(stage, plan.steps, self.recipe.language)
        return StageTask(learner, self.writer, stage, LEARNS[stage], seed, batch, diet, plan.checked)


def sources_digest(tokenizer: bytes) -> str:
    """Of the code that draws, teaches and computes, of the tokenizer, and of how sums are split."""
    digest = hashlib.sha256(tokenizer + f"{torch.__version__}/{torch.get_num_threads()}".encode())
    for source in SOURCES:
        where = ROOT / source
        assert where.exists(), source
        for path in [where] if where.is_file() else sorted(where.rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def tokenizer_in(folder: Path, recipe: Recipe, start: Start | None) -> Tokenizer:
    """The folder's tokenizer; where there is none yet, that of the weights to begin with, or one made from the training texts."""
    path = folder / TOKENIZER
    if not path.exists():
        partial = folder / (TOKENIZER + ".partial")
        text = (
            tokenizer_json_from_corpus(corpus(recipe.seed), recipe.spec.decoder.vocab)
            if start is None
            else start.tokenizer
        )
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    return Tokenizer.open(path)


def corpus(seed: int) -> list[str]:
    """Every text of the first training scenes."""
    lines = [DESCRIBE]
    for index in range(CORPUS_SCENES):
        for kinds in (PICTURED, ("dialogue",)):
            lines += texts_of(scene_of(seed, "train", index, kinds))
    return lines


def texts_of(scene: Scene) -> list[str]:
    said = [line for each in scene.questions for line in (each.text, " " + each.answer)]
    return [" " + scene.caption, " " + scene.words, *said]
