from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.loop.queue import FairQueue


def queue(most: int = 100, most_tokens: int = 1000) -> FairQueue[str]:
    return FairQueue(most, most_tokens)


def taken(held: FairQueue[str]) -> list[str]:
    return [held.take() for _ in range(len(held))]


def test_one_client_s_questions_stay_in_order() -> None:
    held = queue()
    for name in "abc":
        held.put(name, "", 5)
    assert taken(held) == ["a", "b", "c"]


def test_a_client_with_many_questions_waits_for_the_others() -> None:
    held = queue()
    for name in ("a1", "a2", "a3"):
        held.put(name, "a", 10)
    held.put("b1", "b", 10)
    assert taken(held) == ["a1", "b1", "a2", "a3"]


def test_long_questions_count_as_more() -> None:
    held = queue()
    for name in ("big1", "big2"):
        held.put(name, "camera", 100)
    for name in ("small1", "small2", "small3"):
        held.put(name, "desk", 10)
    assert taken(held) == ["big1", "small1", "small2", "small3", "big2"]


def test_a_newcomer_is_not_owed_the_time_before_it_came() -> None:
    held = queue()
    for number in range(4):
        held.put(f"a{number}", "a", 10)
    assert [held.take(), held.take()] == ["a0", "a1"]
    for number in range(3):
        held.put(f"b{number}", "b", 10)
    assert taken(held) == ["a2", "b0", "a3", "b1", "b2"]


def test_both_bounds_are_kept() -> None:
    held = queue(2, 100)
    held.put("a", "", 60)
    assert not held.has_room(41)
    assert held.has_room(40)
    held.put("b", "", 40)
    assert not held.has_room(0)
    held.take()
    assert held.has_room(60)


def test_what_is_longer_than_the_bound_is_let_in_alone() -> None:
    held = queue(2, 100)
    assert held.has_room(5000)
    held.put("a", "", 5000)
    assert not held.has_room(1)


def test_those_who_are_gone_take_no_room() -> None:
    held = queue(4, 100)
    for name, client in (("a1", "a"), ("b1", "b"), ("a2", "a"), ("c1", "c")):
        held.put(name, client, 25)
    held.drop(lambda name: name in ("a1", "c1"))
    assert (len(held), held.tokens) == (2, 50)
    assert sorted(taken(held)) == ["a2", "b1"]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 50), st.booleans()), min_size=1, max_size=60)
)
def test_nothing_is_lost_and_the_count_is_true(plan: list[tuple[str, int, bool]]) -> None:
    held, put, got, sizes = queue(), [], [], {}
    for number, (client, tokens, is_taken) in enumerate(plan):
        name = f"{client}{number}"
        if held.has_room(tokens):
            held.put(name, client, tokens)
            put.append(name)
            sizes[name] = tokens
        if is_taken and len(held):
            got.append(held.take())
        waiting = [name for name in put if name not in got]
        assert (len(held), held.tokens) == (len(waiting), sum(sizes[name] for name in waiting))
    got += taken(held)
    assert sorted(got) == sorted(put)
    for client in "abc":
        assert [name for name in got if name[0] == client] == [name for name in put if name[0] == client]
