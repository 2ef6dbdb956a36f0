"""Pages to be read aloud say what is printed on them, line by line, and nothing of another set."""

from __future__ import annotations

import pytest

from demo.data.pages import READ, page_scene
from demo.data.scene import CANVAS, Scene
from demo.data.split import Split, rng_from_name, split_of
from demo.data.strings import NUMBER
from tests.demo.printed_lines import SPLITS, is_on_raster, printed_lines


def pages(split: Split, count: int = 60) -> list[Scene]:
    return [page_scene(rng_from_name(5, "page", split, index), split) for index in range(count)]


def test_the_same_numbers_give_the_same_page() -> None:
    one, other = (page_scene(rng_from_name(3, "page", 5), "train") for _ in range(2))
    assert one.picture is not None and other.picture is not None
    assert one.picture.tobytes() == other.picture.tobytes() and one.questions == other.questions


def test_the_answer_is_what_is_printed() -> None:
    for scene in pages("train"):
        (question,) = scene.questions
        assert question.text == READ
        assert question.answer == scene.words == " ".join(text for text, _ in printed_lines(scene))


@pytest.mark.parametrize("split", SPLITS)
def test_every_line_is_of_its_own_set(split: Split) -> None:
    lines = [line for scene in pages(split) for line in scene.words.split()]
    assert len(lines) > 100
    for line in lines:
        kind = NUMBER if line.isdigit() else "code"
        # A code may by chance be all digits, and then it is one of the codes of this set.
        assert split in (split_of(kind, line), split_of("code", line)), line


def test_symbols_stand_in_cells_of_the_raster_inside_the_picture() -> None:
    for scene in pages("train"):
        for mark in scene.marks:
            left, top, right, bottom = mark.box
            assert left >= 0 and right <= CANVAS and top >= 0 and bottom <= CANVAS, mark
            assert is_on_raster(mark.box), mark


def test_pages_have_one_to_four_lines_in_all_sizes() -> None:
    scenes = pages("train", 200)
    assert {len(scene.words.split()) for scene in scenes} == {1, 2, 3, 4}
    assert {mark.box[2] - mark.box[0] for scene in scenes for mark in scene.marks} == {12, 24, 36}
