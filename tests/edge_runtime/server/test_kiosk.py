import dataclasses
from pathlib import Path

import pytest

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.kiosk import CODE, LONGEST_TEXT, MOST_QUESTIONS, Kiosk

FILE = """
title = "What am I looking at?"
questions = ["What is this?", "What does it cost?"]
idle_reset_s = 45
is_camera_first = false
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "kiosk.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(tmp_path: Path, text: str) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as refused:
        Kiosk.read(written(tmp_path, text))
    assert refused.value.code == CODE
    return refused.value


def test_a_file_says_what_it_says_and_leaves_the_rest_as_it_is(tmp_path: Path) -> None:
    assert Kiosk.read(written(tmp_path, FILE)) == Kiosk(
        title="What am I looking at?",
        questions=("What is this?", "What does it cost?"),
        idle_reset_s=45.0,
        is_camera_first=False,
    )


def test_an_empty_file_is_a_kiosk() -> None:
    assert Kiosk().questions


def test_a_key_that_is_not_known_is_named_with_the_one_that_was_meant(tmp_path: Path) -> None:
    assert "'questions'" in refusal(tmp_path, 'question = ["What?"]').why


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("title = 3", "title"),
        ('questions = "What?"', "questions"),
        ('questions = ["What?", 7]', "questions[1]"),
        ("questions = []", "questions"),
        ('questions = ["What?", "What?"]', "twice"),
        ('questions = ["  "]', "characters"),
        ("idle_reset_s = 5", "idle_reset_s"),
        ("idle_reset_s = nan", "idle_reset_s"),
        ("idle_reset_s = 3601", "idle_reset_s"),
        ("idle_reset_s = 20\ncountdown_s = 20", "countdown_s"),
        ("countdown_s = 1", "countdown_s"),
        ("can_type = 1", "can_type"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, text: str, named: str) -> None:
    assert named in refusal(tmp_path, text).why


def test_there_is_room_for_so_many_questions_and_no_more() -> None:
    questions = tuple(f"Question {number}?" for number in range(MOST_QUESTIONS))
    assert Kiosk(questions=questions).questions == questions
    with pytest.raises(ValueError, match="questions"):
        Kiosk(questions=(*questions, "One more?"))


def test_a_question_fits_a_button() -> None:
    assert Kiosk(questions=("x" * LONGEST_TEXT,))
    with pytest.raises(ValueError, match="characters"):
        Kiosk(questions=("x" * (LONGEST_TEXT + 1),))


def test_what_is_not_toml_is_refused(tmp_path: Path) -> None:
    assert "TOML" in refusal(tmp_path, "title = ").why


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "kiosk.toml"
    path.write_bytes(b'title = "\xff"')
    with pytest.raises(EdgeVLError) as refused:
        Kiosk.read(path)
    assert refused.value.code == CODE


def test_a_file_that_is_not_there_is_named_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(EdgeVLError) as refused:
        Kiosk.read(tmp_path / "nowhere.toml")
    assert refused.value.code == CODE
    assert "nowhere.toml" in refused.value.what
    assert str(tmp_path) not in str(refused.value)


def test_the_way_out_names_every_key(tmp_path: Path) -> None:
    fix = refusal(tmp_path, "title = 3").fix
    assert all(field.name in fix for field in dataclasses.fields(Kiosk))
