"""Text that no keyboard types, in every place where the command takes text: an answer or three lines, soon."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.edge_vl.command import Ran, assert_refused, ran
from tests.faults.bounds import bounded
from tests.faults.damage import replace_file, twin_of
from tests.faults.forge import Forge
from tests.faults.reading import refusal

MILLION = 1_000_000
SECONDS, MIB = 20.0, 768  # a million marks are two million tokens before they are found too many
MARKS = "\u0301" * MILLION
PLACES = ("--prompt", "--system", "--stop", "--image", "--engine", "--seed")


def asked(bundle: Path, *more: str) -> Ran:
    """An answer or a refusal in three lines, within bounds."""
    prompt = () if "--prompt" in more else ("--prompt", "hi")
    with bounded(SECONDS, MIB):
        result = ran("run", bundle, *prompt, "--max-tokens", "2", *more)
    assert result.status in (0, 2), result
    told = [line.split(":")[0] for line in result.err.splitlines()]
    assert told == ([] if result.status == 0 else ["what", "why", "do"]), result.err
    assert len(result.err) < 4000
    return result


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "text", ["a\0b", "\0", "\ud800", "x\udcff", "\ud83d\ude00", "\x1b[2J\x07", "\u202e", ""], ids=ascii
)
def test_odd_letters_anywhere_are_answered_or_refused(text: str, place: str, bundle: Path) -> None:
    asked(bundle, place, text)


@pytest.mark.parametrize("place", [place for place in PLACES if place != "--prompt"])
def test_a_million_combining_marks_anywhere_are_refused(place: str, bundle: Path) -> None:
    assert asked(bundle, place, MARKS).status == 2


@pytest.mark.parametrize("more", [(), ("--raw-prompt",)])
def test_a_million_combining_marks_are_said_to_be_too_long(more: tuple[str, ...], bundle: Path) -> None:
    assert_refused(asked(bundle, "--prompt", f"e{MARKS}", *more), "EVL-CONTEXT-OVERFLOW")


def test_a_few_combining_marks_are_answered(bundle: Path) -> None:
    assert asked(bundle, "--prompt", "e" + "\u0301" * 100).status == 0


def test_half_a_surrogate_pair_is_no_text(bundle: Path) -> None:
    for place in ("--prompt", "--system"):
        assert_refused(asked(bundle, place, "\ud800"), "EVL-TEXT-UNICODE")
    assert_refused(asked(bundle, "--prompt", "\ud800", "--raw-prompt"), "EVL-TEXT-UNICODE")


def test_bytes_that_are_no_text_reach_a_process_as_they_reach_any(forge: Forge, bundle: Path) -> None:
    ended = forge.ran("run", bundle, "--prompt", "caf\udce9", "--max-tokens", "2")
    assert (ended.status, ended.code()) == (2, "EVL-TEXT-UNICODE")


def test_a_conversation_goes_on_after_text_that_is_none(bundle: Path) -> None:
    with bounded(SECONDS, MIB):
        result = ran("chat", bundle, "--max-tokens", "2", lines=f"\ud800\n{MARKS}\na\0b\nhi\n")
    assert result.status == 0
    assert result.err.count("EVL-TEXT-UNICODE") == 1
    assert result.err.count("EVL-CONTEXT-OVERFLOW") == 1
    assert len(result.err.splitlines()) == 6
    assert len(result.out.splitlines()) == 2


@pytest.mark.parametrize("text", ["a\0b", "\ud800", MARKS], ids=["NUL", "surrogate", "marks"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "TEXT", "out"),
        ("export", "CHECKPOINT", "TEXT"),
        ("verify", "TEXT"),
        ("run", "TEXT", "--prompt", "hi"),
        ("TEXT",),
    ],
)
def test_a_path_or_verb_that_cannot_be_is_refused(
    arguments: tuple[str, ...], text: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    meant = {"TEXT": text, "CHECKPOINT": str(checkpoint)}
    result = ran(*(meant.get(each, each) for each in arguments))
    assert result.status == 2, result.err[:600]
    assert [line.split(":")[0] for line in result.err.splitlines()] == ["what", "why", "do"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("tokenizer_config.json", {"bos_token": "\ud800"}),
        ("tokenizer_config.json", {"eos_token": {"content": "\udfff"}}),
        ("tokenizer_config.json", {"bos_token": MARKS}),
        ("processor_config.json", {"image_tag": "\ud800"}),
        ("generation_config.json", {"eos_token_id": ["\ud800"]}),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_checkpoint_that_names_its_tokens_oddly_is_refused(
    name: str, document: dict[str, object], checkpoint: Path, tmp_path: Path
) -> None:
    folder = twin_of(checkpoint, tmp_path / "twin")
    replace_file(folder / name, json.dumps(document).encode())
    with bounded(SECONDS, MIB):
        error = refusal(folder)
    assert error is not None
    assert error.code.startswith("EVL-CHECKPOINT-")


def test_a_tokenizer_that_knows_odd_tokens_is_read_or_refused(checkpoint: Path, tmp_path: Path) -> None:
    text = (checkpoint / "tokenizer.json").read_text(encoding="utf-8")
    for odd in ("\\ud800", "\\u0000", "\u0301" * MILLION):
        folder = twin_of(checkpoint, tmp_path / "twin")
        replace_file(folder / "tokenizer.json", text.replace("<image_placeholder>", odd).encode())
        with bounded(SECONDS, MIB):
            error = refusal(folder)
        assert error is None or error.code == "EVL-CHECKPOINT-TOKENIZER"
        shutil.rmtree(folder)
