"""An answer in one form or another is the same answer."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import cast

import pytest

from demo.forms import FORMS, NAMES, Form, cases, right_of
from edge_runtime.assistant import Assistant
from edge_runtime.constraint import Choice, JsonSchema
from edge_runtime.request import Request


class Sayer:
    """Says one and the same, in the form that it is held to."""

    def __init__(self, colour: str) -> None:
        self.colour = colour
        self.asked: list[Request] = []

    def ask(self, *_: object, request: Request) -> SimpleNamespace:
        self.asked.append(request)
        if isinstance(request.constraint, JsonSchema):
            (key,) = json.loads(request.constraint.text)["required"]
            return SimpleNamespace(text=json.dumps({key: self.colour}))
        return SimpleNamespace(text=f" {self.colour}")


def test_questions_are_about_colours_that_have_an_english_name() -> None:
    asked = cases(8)
    assert len(asked) == 8 and {case.task for case in asked} == {"colour"}
    assert {case.answer for case in asked} <= set(NAMES)
    assert len({case.answer for case in asked}) > 3


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_a_colour_is_found_in_every_form(form: Form) -> None:
    asked = cases(8)
    colour = asked[0].answer
    sayer = Sayer(colour)
    assert right_of(cast(Assistant, sayer), form, asked) == sum(case.answer == colour for case in asked)
    assert all(request.constraint == form.constraint for request in sayer.asked)
    assert right_of(cast(Assistant, Sayer("mauve")), form, asked) == 0


def test_an_object_that_was_cut_short_holds_no_colour() -> None:
    assert [form.colour_of('{"answer": "bl') for form in FORMS[2:]] == ["", ""]


def test_the_forms_are_free_chosen_and_in_objects() -> None:
    kinds = [type(form.constraint) for form in FORMS]
    assert kinds == [type(None), Choice, JsonSchema, JsonSchema]
