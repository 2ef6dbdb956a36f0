"""Questions that are asked: balanced, reproducible, never those of training; and those of a user's file."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo.data.generator import MAKERS, PICTURED, scene_of
from demo.data.scene import CANVAS, Question, Scene, Task
from demo.data.split import Split
from demo.questions import (
    Case,
    Selection,
    blank_picture,
    cases_from_file,
    cases_from_questions,
    held_out_questions,
    png_from_picture,
)
from edge_runtime.errors import EdgeVLError

OFFERED: dict[str, tuple[Task, ...]] = {
    "shapes": ("colour", "shape", "count", "place", "size", "box"),
    "codes": ("code", "small_print"),
    "clocks": ("clock",),
}


def fake_scene(seed: int, split: Split, index: int, makers: Sequence[str]) -> Scene:
    """Eight questions of the tasks of the one maker that is asked for, named by where they come from."""
    (maker,) = makers
    tasks = OFFERED[maker] * 8
    questions = tuple(
        Question(task, f"{maker} {split} {seed}/{index} question {number}?", f"{index}")
        for number, task in enumerate(tasks[:8])
    )
    picture = Image.new("RGB", (CANVAS, CANVAS), (index % 256, index // 256, 0))
    return Scene(picture, "a scene", "words", (), questions)


def asked(limit: int, seed: int = 0) -> list[tuple[int, Image.Image | None, Question]]:
    return list(held_out_questions(limit, "held-out", seed, tuple(OFFERED), fake_scene))


def file_of(folder: Path, *lines: object) -> Path:
    path = folder / "questions.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def picture_in(folder: Path, name: str, colour: tuple[int, int, int] = (9, 9, 9)) -> str:
    Image.new("RGB", (20, 10), colour).save(folder / name)
    return name


def refusal(path: Path) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        cases_from_file(path)
    assert caught.value.exit_status == 2
    return caught.value


def test_every_task_gets_about_the_same_number() -> None:
    counts = Counter(question.task for _, _, question in asked(900))
    assert len(counts) == 9
    assert max(counts.values()) - min(counts.values()) <= 12, counts


def test_every_task_of_the_real_scenes_gets_about_the_same_number() -> None:
    counts = Counter(question.task for _, _, question in held_out_questions(300))
    assert max(counts.values()) <= 2 * min(counts.values()), counts


def test_a_scene_is_asked_about_two_or_three_times_in_a_row_and_never_twice_the_same() -> None:
    found = asked(600)
    by_scene = Counter(index for index, _, _ in found)
    assert set(by_scene.values()) == {2, 3}
    assert [index for index, _, _ in found] == sorted(index for index, _, _ in found)
    assert len({question.text for _, _, question in found}) == len(found)


def test_the_limit_is_exact_and_fewer_questions_are_the_first_of_more() -> None:
    many = [(index, question) for index, _, question in asked(50)]
    for limit in (1, 2, 3, 49):
        assert [(index, question) for index, _, question in asked(limit)] == many[:limit]


def test_the_same_seed_asks_the_same_and_another_seed_asks_about_other_scenes() -> None:
    one, again, other = ([question.text for _, _, question in asked(40, seed)] for seed in (1, 1, 2))
    assert one == again
    assert not set(one) & set(other)


def test_real_questions_are_reproducible_to_the_byte() -> None:
    one, again = (list(cases_from_questions(held_out_questions(40))) for _ in range(2))
    assert one == again


def test_held_out_questions_come_from_held_out_scenes_and_have_pictures() -> None:
    splits: list[Split] = []

    def noting(seed: int, split: Split, index: int, makers: Sequence[str]) -> Scene:
        splits.append(split)
        return scene_of(seed, split, index, makers)

    found = list(held_out_questions(30, draw=noting))
    assert set(splits) == {"held-out"}
    assert all(picture is not None for _, picture, _ in found)
    assert "dialogue" not in PICTURED
    list(held_out_questions(3, "validation", draw=noting))
    assert splits[-1] == "validation"


def test_scenes_can_be_chosen_text_alone_among_them() -> None:
    cases = Selection(limit=5, makers=("dialogue",)).cases()
    assert [case.picture for case in cases] == [None] * 5
    assert {case.task for case in cases} == {"dialogue"}


def test_scenes_that_do_not_exist_are_refused_by_name() -> None:
    with pytest.raises(EdgeVLError, match="oil paintings") as caught:
        Selection(makers=("oil paintings",))
    assert next(iter(MAKERS)) in caught.value.why


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(EdgeVLError) as caught:
        Selection(limit=limit)
    assert (caught.value.code, caught.value.exit_status) == ("EVL-EVAL-LIMIT", 2)


def test_drawing_questions_tells_how_far_it_is() -> None:
    told: list[tuple[str, int, int]] = []
    Selection(limit=3, makers=("clocks",)).cases(lambda *each: told.append(each))
    assert told == [("drawing questions", done, 3) for done in (1, 2, 3)]


def test_pictures_travel_as_png_files_one_for_all_questions_of_a_scene() -> None:
    found = asked(20)
    cases = list(cases_from_questions(found))
    assert len({id(case.picture) for case in cases}) == len({index for index, _, _ in found})
    for case, (_, picture, question) in zip(cases, found, strict=True):
        assert isinstance(case.picture, bytes)
        assert picture is not None
        assert Image.open(io.BytesIO(case.picture)).tobytes() == picture.tobytes()
        assert (case.task, case.prompt, case.answer) == (question.task, question.text, question.answer)


def test_a_file_is_read_line_by_line_with_pictures_beside_it(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    name = picture_in(tmp_path, "photos/ä.png")
    path = file_of(
        tmp_path,
        {"image": name, "prompt": "Which colour?", "answer": "grey", "task": "colour"},
        "",
        {"image": name, "prompt": "Where?", "answer": "[1,2,3,4]"},
        {"prompt": "Who?", "answer": "Ada"},
    )
    picture = tmp_path / name
    assert cases_from_file(path) == [
        Case("questions.jsonl, line 1", picture, "colour", "Which colour?", "grey"),
        Case("questions.jsonl, line 3", picture, "box", "Where?", "[1,2,3,4]"),
        Case("questions.jsonl, line 4", None, "question", "Who?", "Ada"),
    ]


def test_questions_about_one_picture_of_a_file_are_asked_in_a_row(tmp_path: Path) -> None:
    one, other = picture_in(tmp_path, "one.png"), picture_in(tmp_path, "other.png")
    lines = [{"image": (one, other)[index % 2], "prompt": f"{index}", "answer": "x"} for index in range(6)]
    path = file_of(tmp_path, *lines)
    assert [case.prompt for case in cases_from_file(path)] == ["0", "2", "4", "1", "3", "5"]
    assert [case.prompt for case in cases_from_file(path, 3)] == ["0", "2", "1"]


def test_a_box_of_another_task_is_compared_as_text(tmp_path: Path) -> None:
    path = file_of(tmp_path, {"prompt": "?", "answer": "[1,2,3,4]", "task": "code"})
    assert cases_from_file(path)[0].task == "code"


def test_line_ends_and_byte_order_marks_of_other_systems_are_read(tmp_path: Path) -> None:
    path = tmp_path / "windows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"prompt": "a", "answer": "b"}\r\n' * 2)
    assert len(cases_from_file(path)) == 2


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "not JSON"),
        ("[1]", "top level"),
        ('{"prompt": "a", "answer": "b", "prompt": "c"}', "twice"),
        ("[" * 100_000, "not JSON"),
        ({"prompt": "a"}, "answer: is missing"),
        ({"prompt": "a", "answer": 3}, "answer: must be text"),
        ({"prompt": "a", "answer": "b", "imgae": "x.png"}, "imgae"),
        ({"prompt": " ", "answer": "b"}, "prompt: is empty"),
        ({"prompt": "a", "answer": ""}, "answer: is empty"),
        ({"prompt": "a", "answer": "left", "task": "box"}, "not a box"),
    ],
)
def test_a_bad_line_is_named_with_what_is_wrong(line: object, why: str, tmp_path: Path) -> None:
    error = refusal(file_of(tmp_path, {"prompt": "a", "answer": "b"}, line))
    assert error.code == "EVL-EVAL-FILE"
    assert "line 2" in error.what
    assert why in error.why


@pytest.mark.parametrize("image", ["nowhere.png", ".", "", "a\0b.png", "x" * 300])
def test_a_missing_picture_is_named_with_its_line(image: str, tmp_path: Path) -> None:
    error = refusal(file_of(tmp_path, {"image": image, "prompt": "a", "answer": "b"}))
    assert error.code == "EVL-EVAL-PICTURE"
    assert "line 1" in error.what


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe"])
def test_a_file_without_questions_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_bytes(content)
    assert refusal(tmp_path / "q.jsonl").code == "EVL-EVAL-FILE"


def test_a_file_that_is_missing_or_a_folder_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.jsonl").code == "EVL-EVAL-FILE"
    assert refusal(tmp_path).code == "EVL-EVAL-FILE"
    assert refusal(tmp_path / "a\0b").code == "EVL-EVAL-FILE"


def test_a_blanked_picture_is_its_mean_colour_at_its_size() -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:2] = (200, 100, 51)
    blank = Image.open(io.BytesIO(blank_picture(png_from_picture(Image.fromarray(pixels)))))
    assert blank.size == (6, 4)
    assert blank.getcolors() == [(24, (100, 50, 26))]
