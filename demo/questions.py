"""Where questions with known answers come from: scenes that no training has seen, or a file of one's own."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from demo.data.generator import MAKERS, PICTURED, scene_of
from demo.data.scene import Question, Scene, Task
from demo.data.split import Split, rng_from_name
from demo.score import BOX_TASK, box_from_text
from edge_runtime.errors import EdgeVLError
from edge_runtime.picture_limits import PictureLimits
from edge_runtime.picture_source import ImageSource, picture_from_source
from edge_runtime.progress import Progress, silent
from edge_runtime.record import MismatchError, dict_from_pairs, read_value

UnseenSplit = Literal["held-out", "validation"]
Draw = Callable[[int, Split, int, Sequence[str]], Scene]
DEFAULT_LIMIT = 1000
FEWEST, MOST = 2, 3  # questions a scene: many pictures are worth more than many questions about one
NO_TASK = "question"
EVAL_CODE = "EVL-EVAL-FILE"


@dataclass(frozen=True)
class Case:
    """A question as it is asked and scored; `where` names it in errors. Without a picture it is text alone."""

    where: str
    picture: bytes | Path | None
    task: str
    prompt: str
    answer: str


@dataclass(frozen=True)
class Selection:
    """Which questions: the first `limit` of a file of one's own, or of scenes of a seed that nothing was trained on."""

    limit: int | None = None
    file: Path | None = None
    split: UnseenSplit = "held-out"
    seed: int = 0
    makers: tuple[str, ...] = PICTURED

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise out_of_range("--limit", self.limit, 1)
        for name in self.makers:
            if name not in MAKERS:
                why = f"there are {', '.join(MAKERS)}"
                raise EdgeVLError("EVL-USAGE", f"there are no scenes {name!r}", why, "choose some of these")

    @property
    def source(self) -> str:
        """Where they come from, without folders: reports are published."""
        return self.split if self.file is None else self.file.name

    def cases(self, progress: Progress = silent) -> list[Case]:
        if self.file is not None:
            return cases_from_file(self.file, self.limit)
        limit = DEFAULT_LIMIT if self.limit is None else self.limit
        cases: list[Case] = []
        for case in cases_from_questions(held_out_questions(limit, self.split, self.seed, self.makers)):
            cases.append(case)
            progress("drawing questions", len(cases), limit)
        return cases


def out_of_range(flag: str, value: int, least: int) -> EdgeVLError:
    why, fix = f"got {value}, wanted {least} or more", f"give {flag} such a value, or leave it out"
    return EdgeVLError("EVL-EVAL-LIMIT", f"{flag} is out of range", why, fix)


def held_out_questions(
    limit: int,
    split: UnseenSplit = "held-out",
    seed: int = 0,
    makers: Sequence[str] = PICTURED,
    draw: Draw = scene_of,
) -> Iterator[tuple[int, Image.Image | None, Question]]:
    """`limit` questions, those of one scene in a row; the same arguments give the same ones, fewer the first.

    Every task gets about the same number: a maker's turns grow with the number of tasks it has shown.
    """
    asked: dict[Task, int] = {}
    by_maker: dict[str, set[Task]] = {name: set() for name in makers}
    shares = dict.fromkeys(makers, 0)
    scene_index, left = 0, limit
    while left > 0:
        maker = min(shares, key=lambda name: shares[name] / max(1, len(by_maker[name])))
        scene = draw(seed, split, scene_index, (maker,))
        rng = rng_from_name(seed, "questions", split, scene_index)
        by_maker[maker] |= {question.task for question in scene.questions}
        for question in chosen(scene.questions, asked, rng)[:left]:
            yield scene_index, scene.picture, question
            shares[maker] += 1
            left -= 1
        scene_index += 1


def chosen(questions: Sequence[Question], asked: dict[Task, int], rng: np.random.Generator) -> list[Question]:
    """A few at random, of the tasks that were asked least; counts them in `asked`."""
    left = [questions[index] for index in rng.permutation(len(questions))]
    taken = []
    for _ in range(min(len(left), int(rng.integers(FEWEST, MOST + 1)))):
        rarest = min(left, key=lambda question: asked.get(question.task, 0))
        left.remove(rarest)
        taken.append(rarest)
        asked[rarest.task] = asked.get(rarest.task, 0) + 1
    return taken


def cases_from_questions(found: Iterable[tuple[int, Image.Image | None, Question]]) -> Iterator[Case]:
    """As a user would send them: every picture as the bytes of a PNG file, made once."""
    last, data = -1, None
    for number, (scene_index, picture, question) in enumerate(found, start=1):
        if scene_index != last:
            last, data = scene_index, None if picture is None else png_from_picture(picture)
        yield Case(f"question {number}", data, question.task, question.text, question.answer)


def cases_from_file(path: Path, limit: int | None = None) -> list[Case]:
    """The first `limit` questions of a file, those about one picture in a row. Every line is checked first."""
    lines = [(number, line) for number, line in numbered_lines(path) if line.strip()]
    if not lines:
        raise file_error(f"{path} is empty", "there is no question in it")
    cases = [case_from_line(line, f"{path.name}, line {number}", path.parent) for number, line in lines]
    places: dict[object, int] = {}
    for case in cases[:limit]:
        places.setdefault(case.picture, len(places))
    return sorted(cases[:limit], key=lambda case: places[case.picture])


def numbered_lines(path: Path) -> list[tuple[int, str]]:
    try:
        if path.exists() and not path.is_file():
            raise file_error(f"{path} cannot be read", "it is not a regular file")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as fault:
        raise file_error(f"{path} cannot be read", f"{fault.strerror}") from fault
    except ValueError as fault:  # not UTF-8, or a name that cannot be one
        raise file_error(f"{path} cannot be read", f"{fault}") from fault
    return list(enumerate(text.split("\n"), start=1))


@dataclass(frozen=True)
class Line:
    """One line of a question file. `image` is a path seen from the file's folder."""

    prompt: str
    answer: str
    image: str | None = None
    task: str | None = None


def case_from_line(text: str, where: str, folder: Path) -> Case:
    line = line_from_text(text, where)
    if empty := [name for name in ("prompt", "answer") if not getattr(line, name).strip()]:
        raise file_error(f"{where} is not a question", f"{empty[0]}: is empty")
    is_box = box_from_text(line.answer) is not None
    if line.task == BOX_TASK and not is_box:
        why = f"answer: {line.answer!r} is not a box as [left,top,right,bottom], each 0 to 999"
        raise file_error(f"{where} is not a question", why)
    task = line.task or (BOX_TASK if is_box else NO_TASK)
    picture = None if line.image is None else folder / line.image
    if picture is not None and not os.path.isfile(picture):  # noqa: PTH113  (False where no path can be)
        what, fix = (
            f"{where}: the picture is missing",
            "paths of pictures start at the question file's folder",
        )
        raise EdgeVLError("EVL-EVAL-PICTURE", what, f"{picture} is not a file", fix)
    return Case(where, picture, task, line.prompt, line.answer)


def line_from_text(text: str, where: str) -> Line:
    what = f"{where} is not a question"
    try:
        line = read_value(Line, json.loads(text, object_pairs_hook=dict_from_pairs), "")
    except MismatchError as mismatch:
        raise file_error(what, f"{mismatch.path or 'top level'}: {mismatch}") from mismatch
    except (ValueError, RecursionError) as fault:
        raise file_error(what, f"not JSON: {fault}") from fault
    assert isinstance(line, Line)
    return line


def file_error(what: str, why: str) -> EdgeVLError:
    fix = 'give one question a line, as {"image": "picture.png", "prompt": "...", "answer": "..."}'
    return EdgeVLError(EVAL_CODE, what, why, fix)


def blank_picture(source: ImageSource) -> bytes:
    """A picture of the same size that shows nothing but the mean colour."""
    picture = picture_from_source(source, PictureLimits())
    red, green, blue = np.asarray(picture).reshape(-1, 3).mean(axis=0).round().astype(int).tolist()
    return png_from_picture(Image.new("RGB", picture.size, (red, green, blue)))


def png_from_picture(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
