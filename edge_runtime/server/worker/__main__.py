"""`python -m edge_runtime.server.worker`: its standard input is the socket to the front end, and it lives as long as that."""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
import signal
import socket
import sys
from dataclasses import asdict
from threading import Thread

from edge_runtime.errors import EdgeVLError
from edge_runtime.picture_limits import PictureLimits
from edge_runtime.server.letters import body_of_error, letter_of_fault, prompt_of, question_of_letter
from edge_runtime.server.orders import Orders
from edge_runtime.server.wire import Message, received_here
from edge_runtime.server.worker.desk import Desk
from edge_runtime.server.worker.opening import opened
from edge_runtime.server.worker.post import Post
from edge_runtime.server.worker.prompts import Prompts
from edge_runtime.server.worker.pulse import Pulse, Vitals

DECODING_BYTES = (
    160_000_000  # plain RGB of 25 million pixels takes 100, and the same as a progressive JPEG more
)
PR_SET_PDEATHSIG = 1  # of prctl


def main() -> int:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="worker: %(name)s: %(message)s")
    # The front end decides when this process ends, by closing the socket: signals go to whole groups.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end_with_parent()
    with link_from_stdin() as link:
        orders = received_here(link)
        return 0 if orders is None else worked(link, Orders.of_body(orders.body))


def end_with_parent() -> None:
    """Where a library that holds everything else up keeps this process from hearing that the socket was closed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def link_from_stdin() -> socket.socket:
    """Nothing else of this process reads or writes it by mistake: what libraries print goes to stderr."""
    # Above the standard streams, even where the caller closed some of them.
    link = socket.socket(fileno=fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3))
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    os.dup2(2, 1)
    return link


def worked(link: socket.socket, orders: Orders) -> int:
    post = Post(link)
    with Pulse(post.send) as pulse:
        try:
            whole = opened(orders)
        except EdgeVLError as error:
            post.send(Message("failed", body_of_error(error)))
            post.close()
            return error.exit_status
        limits = PictureLimits(max_pixels=orders.most_pixels, max_decoding_bytes=DECODING_BYTES)
        desk = Desk(whole.loop, whole.prompts, whole.facts.max_context, whole.preprocess, post.send, limits)
        pulse.read = Vitals(whole.loop, desk).state
        post.send(Message("ready", asdict(whole.facts)))
        Thread(target=listen, args=(link, desk, whole.prompts), name="ear", daemon=True).start()
        try:
            whole.loop.serve(lambda: False)
        except (
            EdgeVLError
        ) as error:  # the front end starts another process, to which the GPU may answer again
            logging.getLogger(__name__).error("%s", error)
            post.close()
            return error.exit_status
    return 0


def listen(link: socket.socket, desk: Desk, prompts: Prompts) -> None:
    """Until the front end is gone; then the process ends, whatever its other threads do. So it does after a fault of ours:
    nobody would hear any more what is asked."""
    status = 1
    try:
        while (message := received_here(link)) is not None:
            hear(message, desk, prompts)
        status = 0
    except Exception:
        logging.getLogger("edge_vl.worker").exception("what the front end says is not understood")
    finally:
        os._exit(status)


def hear(message: Message, desk: Desk, prompts: Prompts) -> None:
    number = int(str(message.body["number"]))
    if message.kind == "ask":
        desk.ask(number, question_of_letter(message))
    elif message.kind == "cancel":
        desk.cancel(number)
    else:
        desk.run(number, lambda: answered(number, message, prompts))


def answered(number: int, message: Message, prompts: Prompts) -> Message:
    """Small questions, of words and tokens."""
    body = message.body
    try:
        if message.kind == "ids":
            ids = prompts.tokens_of(prompt_of(body["prompt"])).ids  # type: ignore[arg-type]
            return Message("reply", {"number": number, "value": list(ids)})
        assert message.kind == "text", f"the front end says {message.kind!r}"
        return Message("reply", {"number": number, "value": prompts.text_of(body["ids"])})  # type: ignore[arg-type]
    except EdgeVLError as error:
        return letter_of_fault(number, error)


if __name__ == "__main__":
    sys.exit(main())
