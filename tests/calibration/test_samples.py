"""Which pictures a calibration takes, and which it leaves out."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from calibration.samples import QUESTION, samples_from_file, samples_from_folder
from edge_runtime.errors import EdgeVLError


def pictures(folder: Path, count: int, first: int = 0) -> Path:
    folder.mkdir(exist_ok=True)
    for index in range(first, first + count):
        Image.new("RGB", (20 + index, 10), (index, 40, 90)).save(folder / f"{index}.png")
    return folder


def test_a_folder_is_asked_one_question(tmp_path: Path) -> None:
    found = samples_from_folder(pictures(tmp_path / "photos", 3), 10)
    assert {each.name for each in found.samples} == {"0.png", "1.png", "2.png"}
    assert {each.prompt for each in found.samples} == {QUESTION}
    assert found.broken == ()


def test_the_choice_depends_on_contents_and_not_on_names(tmp_path: Path) -> None:
    one = samples_from_folder(pictures(tmp_path / "one", 8), 4)
    other = pictures(tmp_path / "other", 8)
    for index in range(8):
        (other / f"{index}.png").rename(other / f"photo {7 - index}.png")
    assert samples_from_folder(other, 4).sha256 == one.sha256
    assert len(one.samples) == 4


def test_a_picture_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "photos", 2)
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    assert len(samples_from_folder(folder, 10).samples) == 2


def test_other_samples_have_another_hash(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "photos", 2)
    before = samples_from_folder(folder, 10).sha256
    pictures(folder, 1, first=2)
    assert samples_from_folder(folder, 10).sha256 != before


def test_a_few_broken_pictures_are_named_and_left_out(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "photos", 9)
    (folder / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    found = samples_from_folder(folder, 20)
    assert len(found.samples) == 9
    assert len(found.broken) == 1 and "torn.png" in found.broken[0]


def test_many_broken_pictures_are_an_error_that_names_them(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "photos", 8)
    (folder / "torn.png").write_bytes(b"torn")
    with pytest.raises(EdgeVLError, match=r"1 of the 9 pictures .* torn\.png") as caught:
        samples_from_folder(folder, 20)
    assert caught.value.code == "EVL-CALIBRATE-SAMPLES"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("[1]", "it is no object"),
        ('{"image": "a.png"}', "its keys are not image and prompt"),
        ('{"image": "a.png", "prompt": 3}', "image and prompt are not both texts"),
        ('{"image": "", "prompt": "?"}', "image is no name of a file"),
        ('{"image": "a\\u0000b", "prompt": "?"}', "image is no name of a file"),
    ],
)
def test_a_line_that_is_no_sample_is_told_why(tmp_path: Path, line: str, why: str) -> None:
    (tmp_path / "list.jsonl").write_text(line + "\n")
    with pytest.raises(EdgeVLError) as caught:
        samples_from_file(tmp_path / "list.jsonl", 4)
    assert (caught.value.code, caught.value.why) == ("EVL-CALIBRATE-SAMPLES", why)


def test_the_few_of_a_long_list_that_are_missing_are_few_however_few_are_wanted(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "photos", 40)
    lines = [{"image": f"{index}.png", "prompt": "?"} for index in range(42)]
    file = folder / "samples.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    found = samples_from_file(file, 4)
    assert (len(found.samples), len(found.broken)) == (4, 2)
    file.write_text(
        "\n".join(map(json.dumps, [{"image": f"{index}.png", "prompt": "?"} for index in range(45)]))
    )
    with pytest.raises(EdgeVLError, match=r"^5 of the 45 pictures "):
        samples_from_file(file, 4)


def test_a_pipe_among_the_pictures_is_broken_and_not_waited_for(tmp_path: Path) -> None:
    pictures(tmp_path, 9)
    os.mkfifo(tmp_path / "pipe.png")
    lines = [{"image": f"{index}.png", "prompt": "?"} for index in range(9)] + [
        {"image": "pipe.png", "prompt": "?"}
    ]
    file = tmp_path / "samples.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    found = samples_from_file(file, 20)
    assert len(found.samples) == 9 and "pipe.png" in found.broken[0]


def test_lines_name_pictures_beside_the_file(tmp_path: Path) -> None:
    pictures(tmp_path / "photos", 2)
    lines = [{"image": f"photos/{index}.png", "prompt": f"number {index}?"} for index in range(2)]
    file = tmp_path / "samples.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)) + "\n\n", encoding="utf-8")
    found = samples_from_file(file, 10)
    assert {(each.name, each.prompt) for each in found.samples} == {
        ("photos/0.png", "number 0?"),
        ("photos/1.png", "number 1?"),
    }


def test_one_picture_asked_two_questions_is_two_samples(tmp_path: Path) -> None:
    pictures(tmp_path / "photos", 1)
    file = tmp_path / "samples.jsonl"
    file.write_text(
        "\n".join(json.dumps({"image": "photos/0.png", "prompt": text}) for text in ("what?", "where?"))
    )
    assert len(samples_from_file(file, 10).samples) == 2


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '{"image": "a.png"}', '{"image": 3, "prompt": "?"}', '{"image": "a.png", "prompt": "?", "x": 1}',
     '{"image": "a\\u0000.png", "prompt": "?"}', '{"image": "", "prompt": "?"}'],
)  # fmt: skip
def test_a_line_that_is_no_sample_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "samples.jsonl"
    file.write_text(f"\n{line}\n")
    with pytest.raises(EdgeVLError, match="line 2") as caught:
        samples_from_file(file, 10)
    assert caught.value.code == "EVL-CALIBRATE-SAMPLES"


@pytest.mark.parametrize(
    "make", [lambda path: path.mkdir(), lambda path: path.write_text("x"), lambda path: None]
)
def test_a_folder_without_pictures_is_an_error(tmp_path: Path, make: object) -> None:
    path = tmp_path / "photos"
    make(path)  # type: ignore[operator]
    with pytest.raises(EdgeVLError) as caught:
        samples_from_folder(path, 10)
    assert caught.value.code == "EVL-CALIBRATE-SAMPLES"


def test_files_that_are_no_pictures_are_named_and_break_nothing(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "photos", 3)
    (folder / "notes.txt").write_text("sunny")
    found = samples_from_folder(folder, 10)
    assert len(found.samples) == 3 and found.broken == () and found.ignored == ("notes.txt",)


def test_folders_in_a_folder_are_told_and_not_searched(tmp_path: Path) -> None:
    pictures(tmp_path / "photos", 3)
    with pytest.raises(EdgeVLError, match="a folder, which is not searched"):
        samples_from_folder(tmp_path, 10)


def test_a_sample_knows_the_line_that_it_comes_from(tmp_path: Path) -> None:
    pictures(tmp_path, 2)
    lines = [{"image": f"{index}.png", "prompt": "?"} for index in (0, 1, 0)]
    file = tmp_path / "list.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    found = {each.name: each.where for each in samples_from_file(file, 10).samples}
    assert found == {"0.png": "list.jsonl, line 1", "1.png": "list.jsonl, line 2"}
    assert {each.where for each in samples_from_folder(tmp_path, 10).samples} == {"0.png", "1.png"}


def test_a_limit_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgeVLError, match="--limit"):
        samples_from_folder(pictures(tmp_path / "photos", 1), 0)
