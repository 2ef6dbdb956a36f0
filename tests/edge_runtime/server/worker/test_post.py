"""What leaves the worker."""

from __future__ import annotations

import socket
import tracemalloc

from edge_runtime.server.letters import error_of
from edge_runtime.server.wire import LONGEST_HEAD, Message, received_here
from edge_runtime.server.worker.post import BUNDLE_BYTES, Post


def test_messages_arrive_in_their_order_and_all_of_them_before_the_end() -> None:
    ours, its = socket.socketpair()
    with ours, its:
        post = Post(its)
        for number in range(20):
            post.send(Message("piece", {"number": number}))
        post.close()
        found = [received_here(ours) for _ in range(20)]
    assert [each and each.body["number"] for each in found] == list(range(20))


def test_a_reply_that_is_too_long_is_told_as_that_and_the_next_one_arrives() -> None:
    ours, its = socket.socketpair()
    with ours, its:
        post = Post(its)
        post.send(Message("reply", {"number": 3, "value": "x" * LONGEST_HEAD}))
        post.send(Message("state", {}))
        post.close()
        first, second = received_here(ours), received_here(ours)
    assert first is not None and second is not None
    assert (first.kind, first.body["number"]) == ("fault", 3)
    assert (error_of(first.body).code, second.kind) == ("EVL-REQUEST-LENGTH", "state")


def test_a_front_end_that_is_gone_keeps_nobody_waiting() -> None:
    ours, its = socket.socketpair()
    with its:
        ours.close()
        post = Post(its)
        for _ in range(3):
            post.send(Message("state", {}))
        post.close()


def test_what_waits_is_bundled_up_to_a_size() -> None:
    """A front end that does not read for a while costs the worker no copy of all that waits for it."""
    ours, its = socket.socketpair()
    with ours, its:
        post = Post(its)
        tracemalloc.start()
        try:
            text = "x" * (BUNDLE_BYTES * 4)
            for number in range(40):
                post.send(Message("reply", {"number": number, "value": text}))
            found = [received_here(ours) for _ in range(40)]
            held = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        post.close()
    assert [each and each.body["number"] for each in found] == list(range(40))
    kept = sum(len(str(each.body["value"])) for each in found if each)
    assert held - kept < 40 * BUNDLE_BYTES
