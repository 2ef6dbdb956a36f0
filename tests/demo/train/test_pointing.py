"""Answers are told where to look."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from demo.data.generator import scene_of
from demo.data.lessons import Lessons, lesson_scene
from demo.data.nameless import NAMELESS
from demo.data.scene import Mark, box_text
from demo.data.shape import COLOURS, KINDS
from demo.data.shapes import counted_scene, shapes_scene
from demo.data.split import rng_from_name
from demo.train.batch import Answer, Batch, batch_from
from demo.train.conversation import Writer
from demo.train.dense import CELL, CELLS
from demo.train.model import Learner
from demo.train.pointing import (
    HEADS,
    NOWHERE,
    SPELT,
    Look,
    Pointing,
    counted,
    elsewhere_of,
    spelt,
    token_of,
    tokens_of,
    wanted_of,
)
from edge_runtime.tokenizer import Tokenizer
from tests.demo.train.small import SPEC, batch_of

SHAPES = [shapes_scene(rng_from_name(3, index), "train", is_drill=True) for index in range(6)]


@pytest.fixture(scope="module")
def pointing(tokenizer: Tokenizer) -> Pointing:
    return Pointing(tokenizer, SPEC.decoder.layers)


def test_every_question_about_shapes_knows_those_it_is_about() -> None:
    for scene in SHAPES:
        boxes = [mark.box for mark in scene.marks]
        for question in scene.questions:
            assert set(question.about) <= set(boxes)
            if question.task == "count":
                assert len(question.about) == int(question.answer)
            elif question.task == "box":
                (box,) = question.about
                assert box_text(box) == question.answer
            else:
                is_compared = any(
                    word in question.text for word in (" or ", "哪个", " of ", "above", "below", "在")
                )
                assert len(question.about) in ((1, 2) if is_compared else (1,)), question


def test_all_tokens_of_an_answer_but_its_end_look_at_the_middles(pointing: Pointing, writer: Writer) -> None:
    batch = batch_of(writer, SHAPES)
    looks = list(pointing.looks(batch))
    answers = [answer for answer in batch.answers if answer.row > 0]
    assert len(looks) == len(answers) > 40
    kinds = set()
    for look, answer in zip(looks, answers, strict=True):
        first = int(batch.is_image[look.row].nonzero()[0])
        wanted = [first + token_of(box) for box in answer.question.about]
        assert all(batch.is_image[look.row, target] for target in wanted)
        rows = batch.rows[look.row].tolist()
        assert look.places == tuple(rows[answer.start : answer.stop - 1])
        assert len(look.targets) == HEADS
        if answer.question.task == "count":
            assert all(targets[0] == NOWHERE for targets in look.targets)
            assert sorted(target for targets in look.targets for target in targets[1:]) == sorted(wanted)
        else:
            assert look.targets == tuple((wanted[head % len(wanted)],) for head in range(HEADS))
        kinds.add((answer.question.task, len(wanted)))
    assert {("box", 1), ("size", 2), ("count", 1), ("count", 0), ("colour", 1)} <= kinds


def test_each_head_counts_in_a_quarter_of_its_own() -> None:
    boxes = [
        (20, 30, 40, 50),
        (120, 20, 140, 40),
        (10, 120, 30, 140),
        (40, 150, 60, 170),
        (100, 100, 190, 190),
    ]
    quarters = counted(boxes, 100)
    assert [len(targets) for targets in quarters] == [2, 2, 3, 2]
    assert quarters[2] == (NOWHERE, *(100 + token_of(box) for box in boxes[2:4]))
    assert counted([], 100) == ((NOWHERE,),) * HEADS


def test_answers_about_dials_and_bars_look_at_several_things_in_turn(
    pointing: Pointing, writer: Writer
) -> None:
    wanted: dict[str, dict[str, tuple[str, ...]]] = {
        "charts": {"what is the value of B?": ("bar top", "B"), "what colour is bar B?": ("bar top", "B")},
        "gauges": {"what does the gauge show?": ("needle tip", "dial centre")},
        "clocks": {
            "what time does the clock show?": ("hour tip", "minute tip", "dial centre"),
            "how many minutes past the hour is the clock?": ("minute tip", "dial centre"),
        },
        "meters": {
            "what is the first digit of the meter?": ("",),
            "what is the last digit of the meter?": ("",),
        },
    }
    seen = set()
    for maker, texts in wanted.items():
        for index in range(40):
            scene = scene_of(3, "train", index, (maker,))
            labels = {mark.box: mark.label for mark in scene.marks}
            batch = batch_of(writer, [scene])
            looks = {look.places: look for look in pointing.looks(batch)}
            for answer in batch.answers:
                text = answer.question.text[0].lower() + answer.question.text[1:]
                endings = texts.get(text) if answer.row else None
                if endings is None:
                    continue
                found = [labels[box] for box in answer.question.about]
                if endings == ("",):
                    assert found == [answer.question.answer]
                elif text == "what colour is bar B?":
                    assert found == [f"{answer.question.answer} bar top", "B"]
                else:
                    assert len(found) == len(endings)
                    assert all(label.endswith(ending) for label, ending in zip(found, endings, strict=True))
                first = int(batch.is_image[1].nonzero()[0])
                tokens = [first + token_of(box) for box in answer.question.about]
                look = looks[tuple(batch.rows[1, answer.start : answer.stop - 1].tolist())]
                assert look.targets == tuple((tokens[head % len(tokens)],) for head in range(HEADS))
                seen.add(text)
    assert seen == {text for texts in wanted.values() for text in texts}


def test_boxes_of_a_page_look_at_their_shapes_while_they_are_spelled(
    pointing: Pointing, writer: Writer
) -> None:
    page = lesson_scene(rng_from_name(5), "train", Lessons(print_share=0, located_share=1.0))
    looks = list(pointing.looks(batch_of(writer, [page])))
    assert len(looks) == len(page.marks)
    ((start,), *_) = looks[0].targets
    assert sorted(look.targets[0][0] for look in looks) == sorted(
        start - token_of(page.marks[0].box) + token_of(mark.box) for mark in page.marks
    )
    assert all(len(look.places) == SPELT - 1 and len(set(look.targets)) == 1 for look in looks)


def test_what_is_read_aloud_is_looked_at_symbol_by_symbol(pointing: Pointing, writer: Writer) -> None:
    scenes = [scene_of(3, "train", index, ("codes",)) for index in range(8)]
    batch = batch_of(writer, scenes)
    looks = {(look.row, look.places): look.targets for look in pointing.looks(batch)}
    seen = 0
    for answer in batch.answers:
        rows, marks = batch.rows[answer.row].tolist(), scenes[answer.row - 1].marks
        symbols = pointing.symbols(batch, answer)
        if (
            answer.row == 0
            or "".join(mark.label for mark in marks).count(answer.question.answer.replace(" ", "")) > 1
        ):
            continue
        first = int(batch.is_image[answer.row].nonzero()[0])
        for place, symbol in enumerate(symbols):
            targets = looks.get((answer.row, (rows[answer.start + place],)))
            if not symbol.strip():
                assert targets is None
                continue
            assert targets is not None
            ((target,),) = set(targets)
            assert symbol.strip() in {mark.label for mark in marks if first + token_of(mark.box) == target}
            seen += 1
        assert looks[(answer.row, (rows[answer.stop - 1],))] == ((NOWHERE,),) * HEADS
    assert seen > 100


def test_in_an_object_the_same_is_looked_at_and_nothing_while_it_is_closed(
    pointing: Pointing, writer: Writer
) -> None:
    kinds = set()
    for index, maker in enumerate(("codes", "shapes", "charts", "meters")):
        scene = scene_of(3, "train", index, (maker,))
        plain, boxed = (
            replace(
                batch_from([writer.about_picture(scene, rng_from_name(2), 30, False, share)], [], False),
                marks=(scene.marks,),
            )
            for share in (0.0, 1.0)
        )
        targets = [
            {
                (a.question.text.lower(), look.targets, len(look.places))
                for a, look in looks_by_answer(pointing, batch)
            }
            for batch in (plain, boxed)
        ]
        assert {text for text, *_ in targets[0]} == {text for text, *_ in targets[1]}
        for answer, look in looks_by_answer(pointing, boxed):
            said = boxed.targets[answer.row, answer.start : answer.stop].tolist()
            rows = boxed.rows[answer.row, answer.start : answer.stop].tolist()
            seen = [pointing.tokenizer.decode([said[rows.index(place)]]) for place in look.places]
            if look.targets == ((NOWHERE,),) * HEADS and answer.question.task != "count":
                assert seen in (['"'], ["}"])
                kinds.add("end")
            else:
                assert not {'"', "}"} & set(seen)
                kinds.add(answer.question.task)
    assert {"end", "code", "count", "colour", "chart", "meter"} <= kinds


def looks_by_answer(pointing: Pointing, batch: Batch) -> list[tuple[Answer, Look]]:
    first = int(batch.is_image[0].nonzero()[0])
    return [(a, look) for a in batch.answers for look in pointing.looks_of(a, batch, first, batch.marks[0])]


def test_what_stands_twice_or_alone_is_not_looked_for() -> None:
    marks = [
        Mark(symbol, (CELL * place, 0, CELL * place + CELL, CELL)) for place, symbol in enumerate("A7A7B9")
    ]
    assert list(spelt([" ", "A", "7"], marks)) == []
    assert list(spelt(["B"], marks)) == []
    assert list(spelt([], marks)) == []
    assert list(spelt([" ", "B", " ", "9"], marks)) == [(1, 2, marks[4].box), (3, 4, marks[5].box)]
    assert list(spelt(["B", "9", "9"], marks)) == []


def test_what_has_to_be_judged_is_not_looked_for(pointing: Pointing, writer: Writer) -> None:
    page = lesson_scene(rng_from_name(5), "train", Lessons(print_share=1.0))
    dials = [
        scene_of(3, "train", index, (maker,))
        for index in range(3)
        for maker in ("gauges", "clocks", "charts")
    ]
    judged = [
        replace(scene, questions=tuple(each for each in scene.questions if not each.about)) for scene in dials
    ]
    assert sum(len(scene.questions) for scene in judged) > 12
    assert list(pointing.looks(batch_of(writer, [page, *judged]))) == []


def test_the_token_of_a_box_is_that_of_its_middle() -> None:
    assert token_of((0, 0, CELL, CELL)) == 0
    assert token_of((2 * CELL, 3 * CELL, 5 * CELL, 6 * CELL)) == 4 * CELLS + 3


def test_heads_that_look_right_are_told_from_heads_that_do_not(pointing: Pointing, writer: Writer) -> None:
    batch = batch_of(writer, SHAPES[:2])
    learner = Learner(SPEC, 3)
    learner.spelling.arrange(batch.positions, batch.branches)
    rows, length = batch.ids.shape
    looks = [look for look in pointing.looks(batch) if look.targets != ((NOWHERE,),) * HEADS]
    q = torch.zeros(rows, HEADS, length, length)
    keys = torch.eye(length).expand(rows, HEADS, length, length)

    def judged(shift: int) -> tuple[float, float]:
        q.zero_()
        for look in looks:
            for place in look.places:
                for head in range(HEADS):
                    chosen = [target + shift * (target != NOWHERE) for target in look.targets[head]]
                    q[look.row, head, place, chosen] = 20.0
        learner.spelling.asked = [(q, keys)] * SPEC.decoder.layers
        loss, right = pointing.judged(learner.spelling, batch)
        return float(loss), right

    good, bad = judged(0), judged(1)
    assert good[1] == 1.0
    assert bad[1] < 0.1
    assert good[0] < 1.5 < 8 < bad[0]


def test_of_two_things_the_one_that_is_asked_about_is_looked_at() -> None:
    seen = set()
    for index in range(60):
        for maker in ("gauges", "clocks", "meters"):
            scene = scene_of(3, "train", index, (maker,))
            labels = {mark.box: mark.label for mark in scene.marks}
            hubs = [mark.box for mark in scene.marks if mark.label == "dial centre"]
            for question in scene.questions:
                found = [
                    side for side in ("left", "right", "top", "bottom") if f"the {side} " in question.text
                ]
                if len(found) != 1 or not question.about:
                    continue
                (side,) = found
                if "digit of" in question.text:
                    assert labels[question.about[0]] == question.answer
                elif question.about[-1] in hubs:
                    axis, choose = (
                        (0 if side in ("left", "right") else 1),
                        (min if side in ("left", "top") else max),
                    )
                    assert question.about[-1] == choose(hubs, key=lambda box: box[axis])
                else:
                    continue
                seen.add((maker, side))
    assert seen >= {
        ("gauges", "left"),
        ("gauges", "right"),
        ("clocks", "left"),
        ("clocks", "right"),
        ("meters", "top"),
    }


def test_a_look_weighs_as_much_as_any_other() -> None:
    long = Look(1, (4, 5, 6), ((9,), (9,), (10, 11), (9,)))
    short = Look(1, (8,), ((12,),) * HEADS)
    wanted = wanted_of([long, short])
    assert sum(each[3] for each in wanted if each[1] < 3) == pytest.approx(1.0)
    assert sum(each[3] for each in wanted if each[1] == 3) == pytest.approx(1.0)
    assert {each[:3] for each in wanted if each[1] == 3} == {(head, 3, 12) for head in range(HEADS)}
    assert {each[2] for each in wanted if each[0] == 2 and not each[4]} == {10, 11}


def test_what_lies_in_a_box_has_its_middle_there() -> None:
    assert tokens_of((0, 0, CELL, CELL)) == [0]
    assert tokens_of((CELL / 2 + 1, 0, 2 * CELL, 2 * CELL)) == [1, CELLS + 1]
    assert tokens_of((CELL / 2, 0, CELL * 1.5, CELL)) == [0]


@pytest.mark.parametrize("nameless", [0.0, 1.0])
def test_what_lies_in_other_pictures_counts_by_what_it_may_be_called(
    pointing: Pointing, writer: Writer, nameless: float
) -> None:
    scenes = [counted_scene(rng_from_name(4, index), "train", nameless) for index in range(3)]
    batch = batch_of(writer, scenes)
    elsewhere = elsewhere_of(batch)
    assert elsewhere is not None
    shown = {mark.label.split()[0] for scene in scenes for mark in scene.marks}
    assert any(shade in NAMELESS for shade in shown) == (nameless > 0)
    assert {name for names in elsewhere.looks for name in names} >= shown - set(NAMELESS)
    assert set(elsewhere.rows.tolist()) == {1, 2, 3}, "row 0 has no picture"
    assert bool(batch.is_image[elsewhere.rows, elsewhere.places].all())
    asked = set()
    for look in pointing.looks(batch):
        others = elsewhere.others(look.row, [look])
        assert others.shape == (len(look.places), len(elsewhere.looks))
        for place in others.tolist():
            for is_other, row, its in zip(place, elsewhere.rows.tolist(), elsewhere.looks, strict=True):
                assert is_other == (row != look.row and look.counted != "" and look.counted not in its)
        asked.add(look.counted)
    assert "" in asked and asked & set(COLOURS) and asked & set(KINDS)
    assert elsewhere_of(replace(batch, marks=((), (), ()))) is None


def test_heads_that_would_look_at_another_picture_are_told(pointing: Pointing, writer: Writer) -> None:
    batch = batch_of(writer, [counted_scene(rng_from_name(4, index), "train") for index in range(2)])
    learner = Learner(SPEC, 3)
    across = Pointing(pointing.tokenizer, SPEC.decoder.layers, is_across=True)
    elsewhere = elsewhere_of(batch)
    assert elsewhere is not None
    looks = [look for look in pointing.looks(batch) if look.counted]
    rows, length = batch.ids.shape
    keys = torch.zeros(rows, HEADS, length, 2)
    keys[elsewhere.rows, :, elsewhere.places, 1] = 1.0  # all shapes alike
    keys[:, :, NOWHERE, 0] = 1.0
    q = torch.zeros(rows, HEADS, length, 2)
    losses = []
    for strength in (0.0, 10.0):
        for look in looks:
            q[look.row, :, list(look.places), 1] = strength
        learner.spelling.arrange(batch.positions, batch.branches)
        learner.spelling.asked = [(q, keys)] * SPEC.decoder.layers
        losses.append([float(each.judged(learner.spelling, batch)[0]) for each in (pointing, across)])
    (calm, calm_across), (drawn, drawn_across) = losses
    assert calm_across > calm
    assert drawn_across - drawn > 2 * (calm_across - calm)


def test_without_shapes_elsewhere_nothing_changes(pointing: Pointing, writer: Writer) -> None:
    batch = batch_of(writer, SHAPES[:1])
    across = Pointing(pointing.tokenizer, SPEC.decoder.layers, is_across=True)
    learner = Learner(SPEC, 3)
    learner.logits(learner.roles["embed"](batch.ids), batch)
    alone, beside = (float(each.judged(learner.spelling, batch)[0].detach()) for each in (pointing, across))
    assert alone == pytest.approx(beside)


def test_looking_is_learnt(pointing: Pointing, writer: Writer) -> None:
    batch = batch_of(writer, SHAPES[:1])
    learner = Learner(SPEC, 3)
    optimizer = torch.optim.Adam(learner.learn(["embed", "decoder"]), 3e-3)
    losses = []
    for _ in range(12):
        learner.logits(learner.roles["embed"](batch.ids), batch)
        loss, _ = pointing.judged(learner.spelling, batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_without_a_look_there_is_nothing_to_learn(pointing: Pointing, writer: Writer) -> None:
    batch = replace(batch_of(writer, SHAPES[:1]), answers=())
    learner = Learner(SPEC, 3)
    learner.logits(learner.roles["embed"](batch.ids), batch)
    loss, right = pointing.judged(learner.spelling, batch)
    assert (float(loss.detach()), right) == (0.0, 0.0)
