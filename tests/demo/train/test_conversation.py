"""What is learnt from a conversation, and that it is written as the product writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from demo.data.generator import PICTURED, scene_of
from demo.data.scene import Question
from demo.data.split import rng_from_name
from demo.sizes import DEMO_HYBRID
from demo.tokenizer import tokenizer_json_from_corpus
from demo.train.batch import batch_from
from demo.train.conversation import AROUND, DESCRIBE, PICTURE, Conversation, Writer, closing_of, in_object
from demo.train.model import Learner
from demo.train.training import texts_of
from edge_runtime.prompt import PromptFormat, Turn
from edge_runtime.tokenizer import Tokenizer
from tests.demo.train.small import SPEC


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Writer:
    path = tmp_path_factory.mktemp("writer") / "tokenizer.json"
    lines = [line for index in range(60) for line in texts_of(scene_of(1, "train", index))]
    path.write_text(tokenizer_json_from_corpus(lines, DEMO_HYBRID.decoder.vocab), encoding="utf-8")
    return Writer(PromptFormat(Tokenizer.open(path), DEMO_HYBRID.prompt, DEMO_HYBRID.image_tokens))


def conversations(writer: Writer) -> Iterator[Conversation]:
    for index in range(27):
        scene = scene_of(1, "train", index, PICTURED)
        yield writer.about_picture(scene, rng_from_name(1, index), 6, index % 2 == 0)


def test_only_answers_and_their_end_are_learnt(writer: Writer) -> None:
    for each in conversations(writer):
        learnt = [token for token, weight in zip(each.ids, each.weights, strict=True) if weight > 0]
        expected: list[int] = []
        for question in each.questions:
            expected += [*writer.prompts.tokenizer.encode(" " + question.answer), writer.prompts.spec.eos_id]
        assert learnt == expected
        for start, stop in each.answers:
            assert each.weights[start:stop] == ((stop - start) ** -0.5,) * (stop - start)


def own_ids(each: Conversation, branch: int, stop: int) -> tuple[int, ...]:
    """What a token of this branch before `stop` sees, in order."""
    return tuple(
        token
        for place, token in enumerate(each.ids[:stop])
        if each.branches[place] in (0, branch) and place < stop
    )


def test_every_answer_follows_exactly_the_prompt_that_the_product_writes(writer: Writer) -> None:
    kinds = set()
    for each in conversations(writer):
        branches = [each.branches[start] for start, _ in each.answers]
        is_chained = len(set(branches)) == 1
        kinds.add(is_chained)
        turns: list[Turn] = []
        for (start, _), question, branch in zip(each.answers, each.questions, branches, strict=True):
            turns = turns if is_chained else []
            turns.append(Turn("user", question.text, () if turns else (PICTURE,)))
            assert own_ids(each, branch, start) == writer.prompts.chat_prompt_tokens(turns).ids
            turns.append(Turn("assistant", question.answer))
    assert kinds == {True, False}


def test_a_branch_goes_on_where_the_shared_part_ends(writer: Writer) -> None:
    for each in conversations(writer):
        for branch in set(each.branches):
            places = [place for place, own in enumerate(each.branches) if own in (0, branch)]
            assert [each.positions[place] for place in places] == list(range(len(places)))


def test_questions_asked_apart_do_not_see_each_other(writer: Writer) -> None:
    scene = scene_of(1, "train", 0, ("tables",))
    rng = rng_from_name(5)
    each = writer.about_picture(scene, rng, 5, False)
    while len(set(each.branches)) == 1:
        each = writer.about_picture(scene, rng, 5, False)
    batch = batch_from([each], [], False)
    learner = Learner(SPEC, 3)
    with torch.no_grad():
        before = learner.logits(learner.roles["embed"](batch.ids), batch)
        changed = batch.ids.clone()
        changed[0, batch.branches[0] == 1] = 5  # another first question and answer
        after = learner.logits(learner.roles["embed"](changed), batch)
    first = [answer for answer in batch.answers if batch.branches[0, batch.rows[0, answer.start]] == 1]
    for answer in batch.answers:
        is_same = torch.allclose(before[0, answer.start : answer.stop], after[0, answer.start : answer.stop])
        assert is_same == (answer not in first)


def test_a_picture_takes_its_rows_once(writer: Writer) -> None:
    for each in conversations(writer):
        assert sum(each.is_image) == DEMO_HYBRID.image_tokens


def test_a_description_comes_last_where_it_gives_nothing_away(writer: Writer) -> None:
    scene = scene_of(1, "train", 0, ("codes",))
    described = writer.about_picture(scene, rng_from_name(2), 4, True)
    assert [each.text for each in described.questions].index(DESCRIBE) == len(described.questions) - 1
    assert described.questions[-1].answer == scene.words


def test_an_answer_in_an_object_is_learnt_from_where_a_schema_leaves_a_choice(writer: Writer) -> None:
    seen = set()
    for index in range(27):
        scene = scene_of(1, "train", index, PICTURED)
        each = writer.about_picture(scene, rng_from_name(1, index), 6, False, objects=0.5)
        plain = {question.text.lower(): question.answer for question in scene.questions}
        for (start, stop), question in zip(each.answers, each.questions, strict=True):
            answer, text = plain[question.text.lower()], writer.prompts.tokenizer.decode(each.ids[start:stop])
            if question.answer == answer:
                assert text.strip() == answer
                continue
            (value,) = json.loads(question.answer).values()
            seen.add(type(value))
            assert str(value) == answer
            assert text == (f"{answer}}}" if isinstance(value, int) else f'{answer}"}}')
            opening = writer.prompts.tokenizer.encode(" " + question.answer[: question.answer.index(text)])
            before = start - len(opening)
            assert each.ids[before:start] == tuple(opening)
            assert writer.prompts.tokenizer.decode(each.ids[before : before + 2]) == " {"
            assert each.weights[before : before + 2] == (
                0.0,
                0.0,
            )  # whether there is an object is not for the model to say
            assert set(each.weights[before + 2 : start]) == {AROUND}
            assert closing_of(question) == (1 if isinstance(value, int) else 2)
    assert seen == {int, str}


@pytest.mark.parametrize("answer", ["0", "7", "42", "0471", "red", 'he said "no"', "5.20", "红色", "a\nb"])
def test_an_object_is_json_whatever_the_answer(answer: str) -> None:
    for index in range(20):
        question = in_object(Question("count", "?", answer), rng_from_name(4, index))
        (value,) = json.loads(question.answer).values()
        assert str(value) == answer


def test_what_misses_its_bar_may_count_more(writer: Writer) -> None:
    scene = scene_of(1, "train", 0, ("codes",))
    even = writer.about_picture(scene, rng_from_name(3), 20, False)
    uneven = writer.about_picture(scene, rng_from_name(3), 20, False, worth={"code": 2.0})
    assert uneven.ids == even.ids
    tasks = set()
    for (start, stop), question in zip(even.answers, even.questions, strict=True):
        tasks.add(question.task)
        factor = 2.0 if question.task == "code" else 1.0
        assert uneven.weights[start:stop] == tuple(factor * weight for weight in even.weights[start:stop])
    assert tasks == {"code", "small_print"}


def test_without_a_picture_the_language_itself_counts_a_little(writer: Writer) -> None:
    scene = scene_of(1, "train", 0, ("tables",))
    each = writer.about_words(scene, rng_from_name(3), 4)
    assert min(each.weights) == AROUND
    assert not any(each.is_image)
    silent = writer.about_words(scene, rng_from_name(3), 4, around=0.0)
    assert [weight for weight in silent.weights if weight] == [w for w in each.weights if w > AROUND]


def test_a_batch_asks_for_each_answer_one_place_before_it(writer: Writer) -> None:
    talks = list(conversations(writer))[:5]
    batch = batch_from(talks, [], False)
    for answer in batch.answers:
        places = batch.rows[answer.row, answer.start : answer.stop] + 1
        wanted = batch.targets[answer.row, answer.start : answer.stop]
        assert batch.ids[answer.row, places].tolist() == wanted.tolist()
        text = writer.prompts.tokenizer.decode(wanted.tolist()).strip()
        assert text == answer.question.answer
    assert float(batch.weights.sum()) == pytest.approx(sum(sum(each.weights) for each in talks))
    assert len(batch.answers) == sum(len(each.questions) for each in talks)


def test_padding_is_never_a_target(writer: Writer) -> None:
    talks = list(conversations(writer))[:4]
    short = replace(
        talks[0],
        weights=(*(0.0 for _ in talks[0].weights[:-1]), 1.0),
        answers=(),
        questions=(),
    )
    batch = batch_from([short, talks[1]], [], False)
    assert np.count_nonzero(batch.weights[0].numpy()) == 1
