"""A worker that holds no engine: `python fake_worker.py HABIT` does with each question as its habit says.

answers: one piece and the end. hangs: works, and says nothing of the question. silent: says nothing at all once it is ready.
garbles: answers with half a piece. unended: ends its answers with half an end. other: is of another version.
odd: tells its age in words. dies: ends when it is asked. unopened: the bundle does not open. crashes: ends before it is ready, but not as
the safe engine. lost: that too. slow: says nothing for a while before it is ready.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from dataclasses import asdict, replace
from threading import Thread

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.engine import EngineState
from edge_runtime.server.letters import body_of_error, letter_of_event, question_of_letter
from edge_runtime.server.orders import Orders
from edge_runtime.server.said import Done, Piece
from edge_runtime.server.wire import Message, packed, received_here
from tests.edge_runtime.server.fake_engine import FACTS

UNREADABLE = EdgeVLError("EVL-BUNDLE-FILES", "the bundle is not whole", "a file is missing", "copy it again")


def send(link: socket.socket, message: Message) -> None:
    for part in packed(message):
        link.sendall(part)


def beat(link: socket.socket, habit: str, began: float, is_busy: list[bool]) -> None:
    while True:
        age = time.monotonic() - began if is_busy else None
        state = asdict(EngineState(running=len(is_busy), last_token_age_s=age))
        send(link, Message("state", state | ({"last_token_age_s": "long"} if habit == "odd" else {})))
        time.sleep(0.02)


def main(habit: str) -> int:
    link = socket.socket(fileno=0)
    first = received_here(link)
    assert first is not None
    orders = Orders.of_body(first.body)
    if habit == "unopened":
        send(link, Message("failed", body_of_error(UNREADABLE)))
        return 2
    if habit == "lost" or (habit == "crashes" and orders.engine == "auto"):
        return 70
    if habit == "slow":
        time.sleep(1.0)
    facts = asdict(replace(FACTS, engine=orders.engine)) | ({"colour": "blue"} if habit == "other" else {})
    send(link, Message("ready", facts))
    is_busy: list[bool] = []
    if habit != "silent":
        Thread(target=beat, args=(link, habit, time.monotonic(), is_busy), daemon=True).start()
    while (message := received_here(link)) is not None:
        number = int(str(message.body["number"]))
        if message.kind == "ask" and habit in ("answers", "crashes"):
            asked = question_of_letter(message)
            send(link, letter_of_event(number, Piece(f"{asked.prompt.turns[0].text} {len(asked.pictures)}")))
            send(link, letter_of_event(number, Done("stop", 1, 0, 0, 1)))
        elif message.kind == "ask" and habit == "garbles":
            send(link, Message("piece", {"number": number, "words": "Hello"}))
        elif message.kind == "ask" and habit == "unended":
            send(link, Message("done", {"number": number, "finish_reason": "stop"}))
        elif message.kind == "ask" and habit == "dies":
            os._exit(7)
        elif message.kind == "ask":
            is_busy.append(True)
        elif message.kind == "cancel":
            is_busy.clear()
        elif message.kind == "ids":
            send(link, Message("reply", {"number": number, "value": [1, 2, 3]}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
