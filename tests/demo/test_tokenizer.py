from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, AutoTokenizer, PreTrainedTokenizerFast

from demo.data.dialogue import dialogue_scene
from demo.data.split import rng_from_name
from demo.random_checkpoint import write_random_checkpoint
from demo.sizes import SIZES
from demo.tokenizer import tokenizer_files, tokenizer_json_from_corpus
from edge_runtime.prompt import ImageRef, PromptFormat, Turn
from edge_runtime.tokenizer import Tokenizer
from export.checkpoint import Checkpoint
from export.prompt import BEGIN, END, IMAGE, SYSTEM, prompt_from_checkpoint
from tests.edge_runtime.tokenizer_samples import ids_with_control

SPEC = SIZES["tiny"]
SIZE = 511  # one less than the tiny model's table, so that the special ids are its own: 508, 509, 510
LARGE = 1024
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
# What the pre-tokenizer splits at, in any order.
SPELLED = st.text("AZ09.,:$/-[]() \n\t az红色？é\U0001f642", max_size=30)
TALKS: dict[str, list[Turn]] = {
    "one question": [Turn("user", "what colour is the circle?")],
    "a picture": [Turn("user", "  read the REF.\n", (ImageRef(b"1"),))],
    "two pictures": [Turn("user", "which is larger?", (ImageRef(b"1"), ImageRef(b"2")))],
    "a picture alone": [Turn("user", "", (ImageRef(b"1"),))],
    "nothing said": [Turn("user", " ")],
    "a mark in the text": [Turn("user", f"is {IMAGE} red?", (ImageRef(b"1"),))],
    "more turns": [
        Turn("user", "LOT K7P2X, REF 4HNRA. what is the REF?", (ImageRef(b"1"),)),
        Turn("assistant", " 4HNRA "),
        Turn("user", "圆形是什么颜色？"),
        Turn("assistant", ""),
        Turn("user", "and 4.50?"),
    ],
}


def lines() -> list[str]:
    scenes = [dialogue_scene(rng_from_name(1, index), "train") for index in range(100)]
    return [text for scene in scenes for asked in scene.questions for text in (asked.text, asked.answer)]


@pytest.fixture(scope="module")
def text() -> str:
    return tokenizer_json_from_corpus(lines(), SIZE)


@pytest.fixture(scope="module")
def folder(text: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole checkpoint with random weights."""
    path = tmp_path_factory.mktemp("tokenizer") / "model"
    write_random_checkpoint(SPEC, path, "transformers", "float32")
    for name, content in tokenizer_files(text, SPEC.image_tokens).items():
        (path / name).write_text(content, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def ours(folder: Path) -> Tokenizer:
    return Tokenizer.open(folder / "tokenizer.json")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path = tmp_path_factory.mktemp("large") / "tokenizer.json"
    path.write_text(tokenizer_json_from_corpus(lines(), LARGE), encoding="utf-8")
    return Tokenizer.open(path)


@pytest.fixture(scope="module")
def theirs(folder: Path) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def processor(folder: Path) -> Any:
    return AutoProcessor.from_pretrained(folder)


def pieces_of(tokenizer: Tokenizer, text: str) -> list[str]:
    return [tokenizer.decode([id_]) for id_ in tokenizer.encode(text)]


# --- what is learnt ---


def test_the_same_lines_give_the_same_file_in_another_process(text: str) -> None:
    code = (
        "import sys; from demo.tokenizer import tokenizer_json_from_corpus as made;"
        f"sys.stdout.buffer.write(made(sys.stdin.buffer.read().decode().split('\\n'), {SIZE}).encode())"
    )
    data = "\n".join(lines()).encode()
    found = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    assert found.stdout.decode() == text


def test_the_special_tokens_are_the_last_ids(text: str, ours: Tokenizer) -> None:
    wanted = {BEGIN: SIZE - 3, END: SIZE - 2, IMAGE: SIZE - 1}
    assert ours.control == wanted
    assert ours.special_ids == set(wanted.values())
    assert max(json.loads(text)["model"]["vocab"].values()) == SIZE - 1


def test_every_byte_is_a_token(ours: Tokenizer) -> None:
    assert ours.missing_bytes == b""
    assert sum(len(ours.bytes_of(id_)) == 1 for id_ in range(SIZE - 3)) == 256


def test_a_small_corpus_leaves_ids_empty_and_the_special_ones_last(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(tokenizer_json_from_corpus([], 4096), encoding="utf-8")
    tokenizer = Tokenizer.open(tmp_path / "tokenizer.json")
    assert tokenizer.control[IMAGE] == 4095
    assert tokenizer.encode("red") == [tokenizer.id_of(letter) for letter in "red"]


@pytest.mark.parametrize("tokenizer_name", ["ours", "large"])
def test_the_system_text_is_one_token_a_word(tokenizer_name: str, request: pytest.FixtureRequest) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(tokenizer_name)
    assert len(tokenizer.encode(SYSTEM)) == 35  # 32 words, a comma and two full stops
    assert pieces_of(tokenizer, "\n\nUser: ") == ["\n\n", "User", ":", " "]
    assert pieces_of(tokenizer, "\n\nAssistant:") == ["\n\n", "Assistant", ":"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("LOT K7P2", ["L", "O", "T", " ", "K", "7", "P", "2"]),
        ("REF 4.50, A-9.", ["R", "E", "F", " ", "4", ".", "5", "0", ",", " ", "A", "-", "9", "."]),
        ("[012,345]", ["[", "0", "1", "2", ",", "3", "4", "5", "]"]),
        ("$1/2 (7:35)", ["$", "1", "/", "2", " ", "(", "7", ":", "3", "5", ")"]),
        ("what is the REF?", ["what", " is", " the", " ", "R", "E", "F", "?"]),
        ("红色 in", ["红", "色", " in"]),
        ("what?\n\nA", ["what", "?", "\n\n", "A"]),
        ("  K", [" ", " ", "K"]),
    ],
)
def test_codes_and_numbers_are_spelled_and_words_are_whole(
    text: str, wanted: list[str], large: Tokenizer
) -> None:
    assert pieces_of(large, text) == wanted


@pytest.mark.parametrize("token", [BEGIN, END, IMAGE])
def test_no_text_turns_into_a_special_token(token: str, ours: Tokenizer) -> None:
    assert ours.control_ids.isdisjoint(ours.encode(f"a {token} b"))
    assert ids_with_control(ours, token) == [ours.control[token]]


# --- transformers and the runtime agree ---


@given(st.one_of(ANY_TEXT, SPELLED))
@settings(max_examples=300, deadline=None)
def test_any_text_has_the_ids_of_transformers_and_comes_back(
    ours: Tokenizer, theirs: PreTrainedTokenizerFast, text: str
) -> None:
    ids = ours.encode(text)
    assert theirs(text, split_special_tokens=True).input_ids == ids
    assert ours.decode(ids) == theirs.decode(ids) == text


@given(st.lists(st.one_of(SPELLED, st.sampled_from([BEGIN, END, IMAGE])), max_size=6).map("".join))
@settings(max_examples=100, deadline=None)
def test_text_with_special_tokens_has_the_ids_of_transformers(
    ours: Tokenizer, theirs: PreTrainedTokenizerFast, text: str
) -> None:
    assert theirs(text).input_ids == ids_with_control(ours, text)


def test_transformers_finds_every_special_token(theirs: PreTrainedTokenizerFast) -> None:
    assert (theirs.bos_token, theirs.eos_token, theirs.pad_token) == (BEGIN, END, END)
    assert theirs.image_token == IMAGE
    assert len(theirs) == SIZE  # it added none of its own


@pytest.mark.parametrize("system", [None, "", " be brief. ", "  "])
@pytest.mark.parametrize("name", TALKS)
def test_the_chat_template_writes_the_prompt_of_the_runtime(
    name: str, system: str | None, ours: Tokenizer, processor: Any
) -> None:
    turns = TALKS[name]
    wanted = PromptFormat(ours, SPEC.prompt, SPEC.image_tokens).chat_prompt_tokens(turns, system)
    messages = [*([] if system is None else [said("system", system)]), *map(message_of, turns)]
    found = processor.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    assert tuple(found["input_ids"][0].tolist()) == wanted.ids
    images = sum(len(turn.images) for turn in turns)
    assert len(found.get("pixel_values", ())) == len(found.get("high_res_pixel_values", ())) == images


def message_of(turn: Turn) -> dict[str, Any]:
    """Images before the text, or where the text has the model's own mark."""
    texts = [{"type": "text", "text": part} for part in turn.text.split(IMAGE)]
    images = [{"type": "image", "image": Image.new("RGB", (40, 30), (200, 9, 9))} for _ in turn.images]
    if len(texts) == 1:
        return {"role": turn.role, "content": [*images, *texts]}
    assert len(texts) == len(images) + 1
    between = [part for pair in zip(texts, images, strict=False) for part in pair]
    return {"role": turn.role, "content": [*between, texts[-1]]}


def said(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text}]}


def test_messages_may_be_plain_strings(processor: Any) -> None:
    plain = [{"role": "system", "content": "be brief."}, {"role": "user", "content": "hello"}]
    listed = [said("system", "be brief."), said("user", "hello")]
    template, bos = processor.chat_template, processor.tokenizer.bos_token
    found = processor.tokenizer.apply_chat_template(plain, chat_template=template, tokenize=False)
    assert found == processor.apply_chat_template(listed) == f"{bos}be brief.\n\nUser: hello\n\n"


def test_a_message_of_a_stranger_is_refused_by_the_template(processor: Any) -> None:
    with pytest.raises(Exception, match="neither the user nor the assistant"):
        processor.apply_chat_template([said("tool", "7")])


def test_the_export_reads_the_prompt_that_the_template_writes(folder: Path) -> None:
    with Checkpoint.open(folder) as checkpoint:
        assert prompt_from_checkpoint(checkpoint, SPEC.prompt.image_id, SPEC.decoder.vocab) == SPEC.prompt


def test_transformers_answers_about_a_picture_from_the_folder_alone(folder: Path, processor: Any) -> None:
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    inputs = processor.apply_chat_template(
        [message_of(TALKS["a picture"][0])],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    with torch.inference_mode():
        found = model.generate(**inputs, max_new_tokens=4, do_sample=False)
    asked = inputs["input_ids"].shape[1]
    assert asked < found.shape[1] <= asked + 4
