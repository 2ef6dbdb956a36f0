"""Answers held to a schema, an expression or a choice, on the command line."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from demo.samples import FOLDER, samples
from demo.walkthrough import CHECKPOINT
from tests.edge_vl.command import assert_refused, ran

COLOURS = ["red", "green", "blue", "pink", "black"]
THINGS = {
    "type": "object",
    "properties": {"colour": {"enum": COLOURS}, "count": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["colour", "count"],
    "additionalProperties": False,
}  # fmt: skip


def written(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def asked(bundle: Path, *flags: str | Path) -> dict[str, Any]:
    result = ran("run", bundle, "--prompt", "hi", "--max-tokens", "200", "--json", *flags)
    assert (result.status, result.err) == (0, "")
    return result.record()


def test_an_answer_under_a_schema_is_json_of_it(bundle: Path, tmp_path: Path) -> None:
    bounded = {"type": "array", "items": {"enum": ["é", "中", 7]}, "minItems": 2, "maxItems": 2}
    for seed in "123":
        path = written(tmp_path / f"{seed}.json", bounded)
        record = asked(bundle, "--schema", path, "--temperature", "1", "--seed", seed)
        found = json.loads(record["text"])
        assert len(found) == 2
        assert set(found) <= {"é", "中", 7}
        assert record["finish_reason"] == "stop"


def test_an_answer_to_a_choice_is_one_of_its_texts(bundle: Path) -> None:
    flags = ("--choice", "a red one", "--choice", "größer", "--choice", "🙂")
    found = {asked(bundle, *flags, "--temperature", "2", "--seed", str(seed))["text"] for seed in range(8)}
    assert found <= {"a red one", "größer", "🙂"}
    assert len(found) > 1


def test_an_answer_under_an_expression_matches_it(bundle: Path) -> None:
    record = asked(bundle, "--regex", r"[A-Z]{3}-[0-9]{2}", "--temperature", "1", "--seed", "4")
    assert re.fullmatch(r"[A-Z]{3}-[0-9]{2}", record["text"])
    assert record["finish_reason"] == "stop"


def test_what_is_printed_is_the_answer_and_nothing_else(bundle: Path) -> None:
    result = ran("run", bundle, "--prompt", "hi", "--choice", "yes")
    assert (result.status, result.out, result.err) == (0, "yes\n", "")


def test_an_answer_that_is_cut_says_so(bundle: Path) -> None:
    result = ran("run", bundle, "--prompt", "hi", "--regex", "[a-z]{50}", "--max-tokens", "9", "--json")
    assert result.record()["finish_reason"] == "length"
    assert re.fullmatch("[a-z]{9}", result.record()["text"])


def test_a_conversation_is_held_to_its_choice(bundle: Path) -> None:
    result = ran("chat", bundle, "--choice", "yes", lines="is it?\nand now?\n")
    assert (result.status, result.out) == (0, "yes\nyes\n")


@pytest.mark.parametrize(
    "flags",
    [
        ("--regex", "a", "--choice", "b"),
        ("--schema", "x.json", "--regex", "a"),
        ("--choice", "b", "--schema", "x.json"),
    ],
)
def test_an_answer_is_held_to_one_thing(flags: tuple[str, ...]) -> None:
    assert_refused(ran("run", "BUNDLE", "--prompt", "hi", *flags), "EVL-USAGE")


@pytest.mark.parametrize("verb", [("run", "NOWHERE", "--prompt", "hi"), ("chat", "NOWHERE")])
@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (("--regex", "["), "EVL-CONSTRAINT-REGEX"),
        (("--regex", ""), "EVL-CONSTRAINT-REGEX"),
        (("--regex", r"[^\s\S]"), "EVL-CONSTRAINT-REGEX"),
        (("--regex", "\udcff"), "EVL-TEXT-UNICODE"),
        (("--choice", ""), "EVL-CONSTRAINT-CHOICE"),
        (("--schema", "/nowhere/schema.json"), "EVL-CONSTRAINT-FILE"),
        (("--schema", "/"), "EVL-CONSTRAINT-FILE"),
        (("--schema", "a\0b"), "EVL-CONSTRAINT-FILE"),
        (("--schema", "x" * 5000), "EVL-CONSTRAINT-FILE"),
        (("--schema", "/dev/zero"), "EVL-CONSTRAINT-SCHEMA"),
        (("--schema", ""), "EVL-USAGE"),
    ],
)
def test_what_cannot_be_followed_is_refused_before_anything_is_loaded(
    verb: tuple[str, ...], flags: tuple[str, str], code: str
) -> None:
    assert_refused(ran(*verb, *flags), code)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "EVL-CONSTRAINT-SCHEMA"),
        (b"\xff{}", "EVL-CONSTRAINT-FILE"),
        (b"[1, 2]", "EVL-CONSTRAINT-SCHEMA"),
        (b'{"type": "strange"}', "EVL-CONSTRAINT-SCHEMA"),
        (b'{"$ref": "http://127.0.0.1:9/x.json"}', "EVL-CONSTRAINT-SCHEMA"),
        (json.dumps({"enum": list(range(200_000))}).encode(), "EVL-CONSTRAINT-SCHEMA"),
        (("é" * 40_000).encode(), "EVL-CONSTRAINT-SCHEMA"),
    ],
)
def test_a_schema_that_cannot_be_followed_is_refused_before_anything_is_loaded(
    content: bytes, code: str, tmp_path: Path
) -> None:
    path = tmp_path / "schema.json"
    path.write_bytes(content)
    result = ran("run", "NOWHERE", "--prompt", "hi", "--schema", path)
    assert_refused(result, code)
    assert str(tmp_path) not in result.err


def test_without_the_library_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    result = ran("run", "NOWHERE", "--prompt", "hi", "--choice", "yes")
    assert_refused(result, "EVL-CONSTRAINT-MISSING")
    assert "pip install 'edge-vl[schema]'" in result.err


@pytest.fixture(scope="module")
def demo_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "bundle"
    result = ran("export", CHECKPOINT, path, "--precision", "fp32")
    assert result.status == 0, result.err
    return path


def test_the_demo_model_says_of_a_sample_what_the_schema_asks_for(demo_bundle: Path, tmp_path: Path) -> None:
    schema = written(tmp_path / "schema.json", THINGS)
    for sample in samples():
        prompt = ("--image", FOLDER / sample.picture, "--prompt", sample.question)
        record = ran(
            "run", demo_bundle, *prompt, "--schema", schema, "--max-tokens", "100", "--json"
        ).record()
        found = json.loads(record["text"])
        assert record["finish_reason"] == "stop"
        assert list(found) == ["colour", "count"]
        assert found["colour"] in COLOURS
        assert found["count"] in range(10)
        assert sample.task != "colour" or found["colour"] == sample.answer


def test_the_demo_model_answers_rightly_within_a_schema(demo_bundle: Path, tmp_path: Path) -> None:
    schema = written(tmp_path / "schema.json", {"type": "integer", "minimum": 0, "maximum": 9})
    sample = next(each for each in samples() if each.task == "count")
    prompt = ("--image", FOLDER / sample.picture, "--prompt", sample.question)
    assert json.loads(ran("run", demo_bundle, *prompt, "--schema", schema).out) == int(sample.answer)


def test_the_demo_model_chooses_rightly(demo_bundle: Path) -> None:
    sample = next(each for each in samples() if each.task == "colour")
    choices = [flag for colour in ("red", "green", "blue", sample.answer) for flag in ("--choice", colour)]
    prompt = ("--image", FOLDER / sample.picture, "--prompt", sample.question)
    assert ran("run", demo_bundle, *prompt, *choices).out.strip() == sample.answer
