"""Answers held to a schema, an expression or a choice, whatever the model would say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from demo.walkthrough import CHECKPOINT
from edge_runtime.constraint import Choice, Constraint, JsonSchema, Regex
from edge_runtime.constraint_grammar import Grammar
from edge_runtime.constraint_vocabulary import Vocabulary
from edge_runtime.errors import EdgeVLError
from edge_runtime.sampling import Sampling
from edge_runtime.tokenizer import Tokenizer
from tests.checkpoints import BOS_ID, EOS, EOS_ID, IMAGE, IMAGE_ID, write_json, write_tokenizer
from tests.edge_runtime.constraint_samples import POINT, SCHEMAS, TREE, Speaker, is_valid

LIMIT = 200
WARM = Sampling(temperature=1.3, top_p=0.95, repetition_penalty=1.1)


@pytest.fixture(scope="module", params=["tests", "demo"])
def speaker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Speaker:
    if request.param == "demo":
        tokenizer = Tokenizer.open(CHECKPOINT / "tokenizer.json")
        config = json.loads((CHECKPOINT / "config.json").read_text(encoding="utf-8"))["text_config"]
        return Speaker.of(tokenizer, config["eos_token_id"], config["vocab_size"])
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    # More logits than tokens, as DeepSeek's models have.
    return Speaker.of(Tokenizer.open(folder / "tokenizer.json"), EOS_ID, 300)


@pytest.fixture
def plain(tmp_path: Path) -> Speaker:
    write_tokenizer(tmp_path)
    return Speaker.of(Tokenizer.open(tmp_path / "tokenizer.json"), EOS_ID, 300)


def schema_of(document: object) -> JsonSchema:
    return JsonSchema(json.dumps(document))


@pytest.mark.parametrize("sampling", [Sampling(), WARM], ids=["greedy", "drawn"])
@pytest.mark.parametrize("name", SCHEMAS)
def test_every_answer_under_a_schema_is_json_of_that_schema_or_cut(
    name: str, sampling: Sampling, speaker: Speaker
) -> None:
    schema = SCHEMAS[name]
    whole = 0
    for seed in range(12):
        ids = speaker.says(schema_of(schema), seed, LIMIT, sampling)
        if len(ids) == LIMIT:
            continue
        whole += 1
        text = speaker.text(ids, schema_of(schema))
        assert text == text.strip()
        assert is_valid(json.loads(text), schema, schema), text
    assert whole > 0, "every answer was cut: that proves nothing"


def test_a_reader_of_the_tests_tells_right_from_wrong() -> None:
    assert is_valid({"x": 1, "y": 0.5}, POINT, POINT)
    wrong: tuple[object, ...] = (
        {"x": 1},
        {"x": -1, "y": 0},
        {"x": 1000, "y": 0},
        {"x": 1, "y": 0, "z": 0},
        {"x": 1.5, "y": 0},
        [],
    )
    assert not any(is_valid(value, POINT, POINT) for value in wrong)
    assert not is_valid({"name": "leaf", "below": [{"name": "twig"}]}, TREE, TREE)
    assert not is_valid({"code": "A-1", "ok": True}, SCHEMAS["code"], SCHEMAS["code"])


@pytest.mark.parametrize(
    "pattern",
    [
        "a+b?",
        "[0-9]{3}-[0-9]{4}",
        "a/b",
        "\\\\[\"'`]/\\\\",
        "(yes|no|größer|中|🙂)( (yes|no))*",
        "[^a]{3}",
        "(?i)stop",
        "^whole$",
        'a/ | "x" | /b',
        "//#x{2}",
        ".{1,20}",
        "(?s).{1,5}",
        "[0-9][a-z_]\\x20",
        "[🙂-🙄]{4}",
        "(a|b)*?c",
    ],
)
@pytest.mark.parametrize("sampling", [Sampling(), WARM], ids=["greedy", "drawn"])
def test_every_answer_under_an_expression_matches_it_as_a_whole(
    pattern: str, sampling: Sampling, speaker: Speaker
) -> None:
    whole = 0
    for seed in range(8):
        ids = speaker.says(Regex(pattern), seed, LIMIT, sampling)
        if len(ids) < LIMIT:
            whole += 1
            text = speaker.text(ids, Regex(pattern))
            assert re.fullmatch(pattern, text), text
    assert whole > 0


OPTIONS = (
    "red",
    "red apple",
    "reddish",
    "größer",
    "中文",
    "🙂",
    'q"uo\\te/',
    "two\nlines",
    "a.*b",
    EOS,
    "\x00",
)


@pytest.mark.parametrize("sampling", [Sampling(), WARM], ids=["greedy", "drawn"])
@pytest.mark.parametrize("options", [OPTIONS, (*OPTIONS, " x")], ids=["bare", "blank"])
def test_every_answer_to_a_choice_is_exactly_one_of_its_texts(
    options: tuple[str, ...], sampling: Sampling, speaker: Speaker
) -> None:
    choice = Choice(options)
    found = {speaker.text(speaker.says(choice, seed, LIMIT, sampling), choice) for seed in range(30)}
    assert found <= set(options)
    assert len(found) > 3


@pytest.mark.parametrize("option", [*OPTIONS, " x", " ", "  y"])
def test_every_text_can_be_the_only_choice(option: str, speaker: Speaker) -> None:
    assert speaker.text(speaker.says(Choice([option])), Choice([option])) == option


def test_control_tokens_and_ids_without_a_token_are_never_said(plain: Speaker) -> None:
    matcher = Grammar(Regex("(?s).*"), plain.vocabulary).matcher()
    assert {EOS_ID} == {BOS_ID, EOS_ID, IMAGE_ID, *range(IMAGE_ID, 300)} & set(matcher.allowed().tolist())
    marks = Choice([EOS + IMAGE])
    spelled = plain.says(marks)
    assert plain.text(spelled, marks) == EOS + IMAGE
    assert not {EOS_ID, IMAGE_ID} & set(spelled), "the marks are spelled as ordinary text"


def test_the_end_token_is_allowed_exactly_where_the_answer_may_end(plain: Speaker) -> None:
    matcher = Grammar(Regex("ab?c{0,2}"), plain.vocabulary).matcher()
    may_end = []
    for letter in "abcc":
        may_end.append(EOS_ID in matcher.allowed())
        matcher.take(plain.tokenizer.encode(letter)[0])
    assert may_end == [False, True, True, True]
    assert matcher.is_ended


def test_an_answer_that_can_only_end_is_ended_and_one_that_may_go_on_is_not(plain: Speaker) -> None:
    a, b = plain.tokenizer.encode("ab")
    matcher = Grammar(Choice(["a", "ab"]), plain.vocabulary).matcher()
    matcher.take(a)
    assert not matcher.is_ended
    assert matcher.allowed().tolist() == sorted([b, EOS_ID])
    matcher.take(b)
    assert matcher.is_ended


def test_characters_of_several_tokens_are_never_left_half_said(plain: Speaker) -> None:
    matcher = Grammar(Regex("[中🙂]+"), plain.vocabulary).matcher()
    for token in plain.tokenizer.encode("中🙂"):
        matcher.take(token)
    first, *rest = plain.tokenizer.encode("🙂")
    assert len(rest) == 3, "the vocabulary spells it byte by byte"
    matcher.take(first)
    for token in rest:
        assert EOS_ID not in matcher.allowed()
        matcher.take(token)
    assert EOS_ID in matcher.allowed()


@pytest.mark.parametrize("seed", range(20))
def test_a_constraint_that_an_answer_fulfils_anyway_changes_no_token(seed: int, speaker: Speaker) -> None:
    loose = Regex("[ -~]{1,30}")
    free = speaker.says(loose, seed)
    assert 0 < len(free) <= 30
    assert speaker.says(Choice([speaker.text(free, loose)]), seed) == free, "however the model spells it"


def test_a_seed_repeats_an_answer_under_a_constraint(speaker: Speaker) -> None:
    schema = schema_of(SCHEMAS["points"])
    answers = [speaker.says(schema, seed, LIMIT, WARM) for seed in (7, 7, 8)]
    assert answers[0] == answers[1] != answers[2]


def test_a_grammar_serves_many_answers(plain: Speaker) -> None:
    grammar = Grammar(Choice(["ab", "cd"]), plain.vocabulary)
    first, second = grammar.matcher(), grammar.matcher()
    for token in plain.tokenizer.encode("ab"):
        first.take(token)
    assert first.is_ended
    assert not second.is_ended
    for token in plain.tokenizer.encode("cd"):
        second.take(token)
    assert second.is_ended


def test_blanks_between_the_parts_of_an_answer_are_bounded(plain: Speaker) -> None:
    matcher = Grammar(schema_of(POINT), plain.vocabulary).matcher()
    opening, newline, blank = plain.tokenizer.encode("{\n ")
    for token in (opening, newline, *[blank] * 20):
        matcher.take(token)
    assert not {newline, blank} & set(matcher.allowed().tolist())


@pytest.mark.parametrize(
    "text", ['{"x": 1, "y": 2}', '{"x":1,"y":2}', '{\n  "x": 1,\n\t"y": 2\r\n}', ' {"x":1,"y":2}']
)
def test_json_may_be_written_in_every_usual_way(text: str, plain: Speaker) -> None:
    matcher = Grammar(schema_of(POINT), plain.vocabulary).matcher()
    for token in plain.tokenizer.encode(text):
        assert token in matcher.allowed()
        matcher.take(token)
    assert matcher.is_ended


def test_a_blank_before_an_answer_is_allowed_once_and_no_part_of_it(plain: Speaker) -> None:
    blank, letter = plain.tokenizer.encode(" x")
    matcher = Grammar(Choice(["x"]), plain.vocabulary).matcher()
    assert {blank, letter} <= set(matcher.allowed().tolist())
    matcher.take(blank)
    assert matcher.allowed().tolist() == [letter]
    assert matcher.lead == " "


@pytest.mark.parametrize("constraint", [Choice(["x", " y"]), Regex(" ?x"), Regex(".*"), Regex("\\s+x")])
def test_a_blank_that_the_constraint_asks_for_is_part_of_the_answer(
    constraint: Constraint, plain: Speaker
) -> None:
    assert Grammar(constraint, plain.vocabulary).matcher().lead == ""


def test_a_tokenizer_that_cannot_spell_a_text_is_told_instead_of_guessed_around(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    path = tmp_path / "tokenizer.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    lost = "Ã"  # the first byte of é
    document["model"]["vocab"]["Q" * 9] = document["model"]["vocab"].pop(lost)
    write_json(path, document)
    tokenizer = Tokenizer.open(path)
    with pytest.raises(EdgeVLError) as caught:
        Grammar(Choice(["é"]), Vocabulary.of(tokenizer, 300, EOS_ID))
    assert (caught.value.code, caught.value.why) == ("EVL-CONSTRAINT-CHOICE", "no text satisfies it")


def refused(constraint: Constraint, vocabulary: Vocabulary) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        Grammar(constraint, vocabulary)
    return caught.value


@pytest.mark.parametrize("document", [{"type": "strange"}, {"oneOf": [{}, {}]}, {"not": {}}, {"enum": []}])
def test_a_schema_that_cannot_be_followed_is_refused_in_one_sentence(
    document: object, plain: Speaker
) -> None:
    error = refused(schema_of(document), plain.vocabulary)
    assert error.code == "EVL-CONSTRAINT-SCHEMA"
    assert 0 < len(error.why) <= 200
    assert not re.search(r"no_forcing|non-verbose|\.rs\b|Enable", error.why)


@pytest.mark.parametrize(
    "pattern", ["[", "a(b", "(?=a)b", "\\bword", "(a)\\1", "(?-u:\\xff)", "[^\\s\\S]", "a{2,1}"]
)
def test_an_expression_that_cannot_be_followed_is_refused(pattern: str, plain: Speaker) -> None:
    error = refused(Regex(pattern), plain.vocabulary)
    assert error.code == "EVL-CONSTRAINT-REGEX"
    assert not re.search(r"no_forcing|non-verbose|\.rs\b", error.why)
