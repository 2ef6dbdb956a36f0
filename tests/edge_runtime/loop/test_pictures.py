"""Pictures are encoded in pieces: whoever goes away costs no more than one, and nobody waits for all of them."""

from __future__ import annotations

import pytest

from edge_runtime.assistant import Assistant
from edge_runtime.bundle import Bundle
from edge_runtime.loop.loop import Loop
from edge_runtime.request import Request
from tests.edge_runtime.loop.asking import TEXTS, asked_alone, question, run_out


@pytest.fixture
def ran(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The roles whose graphs were run, in order."""
    found: list[str] = []
    for role, graph in loop._reader._vision._graphs.items():

        def launch(feeds: object, role: str = role, launch: object = graph.launch) -> object:
            found.append(role)
            assert callable(launch)
            return launch(feeds)

        monkeypatch.setattr(graph, "launch", launch)
    return found


def roles(loop: Loop) -> list[str]:
    return list(loop._reader._vision._graphs)


def test_who_goes_away_between_two_towers_costs_no_second(
    loop: Loop, bundle: Bundle, ran: list[str], alone: Assistant
) -> None:
    ticket = loop.submit(question(bundle, TEXTS[0], 7))
    while not ran:
        assert loop.work()
    ticket.cancel()
    assert loop.work() is False
    assert len(ran) == 1 and not loop._reader._vision._known
    again = loop.submit(question(bundle, TEXTS[0], 7))
    run_out(loop)
    assert again.answer.token_ids == asked_alone(alone, TEXTS[0], 7).token_ids
    assert len(ran) == 1 + len(roles(loop))


def test_what_is_being_said_goes_on_between_the_towers(loop: Loop, bundle: Bundle, ran: list[str]) -> None:
    loop.submit(question(bundle, TEXTS[0], request=Request(max_tokens=60)))
    while not loop.decoding:
        assert loop.work()
    loop.submit(question(bundle, TEXTS[1], 3))
    said_at: list[int] = []
    while loop.decoding < 2:
        before = len(ran)
        assert loop.work()
        said_at += [loop.said] * (len(ran) - before)
    assert len(said_at) == len(roles(loop)) >= 2
    assert said_at == sorted(set(said_at)), "a token is said between any two of them"


def test_pictures_of_two_questions_do_not_share_the_towers_at_once(
    loop: Loop, bundle: Bundle, ran: list[str], alone: Assistant
) -> None:
    tickets = [loop.submit(question(bundle, TEXTS[0], seed)) for seed in (3, 4)]
    run_out(loop)
    assert ran == [*roles(loop), *roles(loop)]
    for ticket, seed in zip(tickets, (3, 4), strict=True):
        assert ticket.answer.token_ids == asked_alone(alone, TEXTS[0], seed).token_ids


def test_of_two_who_show_one_picture_the_second_finds_it_encoded(
    loop: Loop, bundle: Bundle, ran: list[str]
) -> None:
    for text in TEXTS[:2]:
        loop.submit(question(bundle, text, 6))
    run_out(loop)
    assert ran == roles(loop)
    assert (loop.pictures, loop.known_pictures) == (2, 1)


def test_as_many_pictures_are_remembered_as_the_rows_can_hold(loop: Loop, bundle: Bundle) -> None:
    held = 3 * (bundle.manifest.max_context // bundle.spec.image_tokens)
    assert loop._reader._vision.remembered == min(max(8, held), 64) > 8


def test_a_question_without_a_picture_is_read_between_the_pieces_of_one(
    loop: Loop, bundle: Bundle, ran: list[str]
) -> None:
    loop.submit(question(bundle, TEXTS[0], 3))
    short = loop.submit(question(bundle, "why?", request=Request(max_tokens=1)))
    while short._events.empty():
        assert loop.work()
    assert len(ran) < len(roles(loop)), "it did not wait for the whole picture"
