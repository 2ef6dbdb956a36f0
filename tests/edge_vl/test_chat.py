"""`edge-vl chat`: a conversation by pipe and by hand; mistakes and Ctrl-C cost a turn, not the talk."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from edge_runtime.answer import AnswerStream
from edge_runtime.chat import Chat
from edge_runtime.errors import MachineFault
from tests.edge_vl.command import WAIT_S, assert_refused, ran, spawned, started
from tests.edge_vl.screen import on_screen

FLAGS = ("--max-tokens", "5")


def records(bundle: Path, lines: str, *more: str | Path) -> list[dict[str, Any]]:
    """What a program that talks over a pipe reads."""
    result = ran("chat", bundle, "--json", *FLAGS, *more, lines=lines)
    assert result.status == 0
    return [json.loads(line) for line in result.out.splitlines()]


def test_two_turns_over_a_pipe_are_one_conversation(bundle: Path) -> None:
    first, second = records(bundle, "hello\nand now?\n")
    assert first["usage"]["cached_tokens"] == 0
    # What the model said is written again with the next question: all before it is found in the cache.
    assert second["usage"]["cached_tokens"] >= first["usage"]["prompt_tokens"]
    assert second["usage"]["prompt_tokens"] > first["usage"]["prompt_tokens"] + 5


def test_a_real_pipe_gets_answers_and_nothing_else(bundle: Path) -> None:
    result = spawned("chat", bundle, *FLAGS, lines="hello\nagain\n")
    assert (result.status, result.err) == (0, "")
    assert [len(line) for line in result.out.splitlines()] == [5, 5]


def test_a_picture_is_shown_with_the_next_question_and_remembered(bundle: Path, picture: Path) -> None:
    turns = records(bundle, f"/image {picture}\nwhat is it?\nand now?\n")
    assert [turn["usage"]["image_tokens"] for turn in turns] == [16, 16]
    assert turns[1]["usage"]["cached_tokens"] > 16


def test_a_picture_from_the_command_line_is_shown_with_the_first_question(
    bundle: Path, picture: Path
) -> None:
    (turn,) = records(bundle, "what is it?\n", "--image", picture)
    assert turn["usage"]["image_tokens"] == 16


def test_a_bad_picture_on_the_command_line_ends_it_before_it_begins(bundle: Path) -> None:
    assert_refused(ran("chat", bundle, "--image", "/nowhere.png", lines="hi\n"), "EVL-IMAGE-FILE")


def test_new_starts_over(bundle: Path, picture: Path) -> None:
    first, second, third = records(bundle, f"hello\nmore\n/image {picture}\n/new\nhello\n")
    assert third["token_ids"] == first["token_ids"] != second["token_ids"]
    assert third["usage"]["prompt_tokens"] == first["usage"]["prompt_tokens"]


@pytest.mark.parametrize("word", ["/quit", "/exit"])
def test_quit_ends_it(word: str, bundle: Path) -> None:
    assert len(records(bundle, f"hello\n{word}\nnever asked\n")) == 1


def test_the_end_of_the_input_ends_it(bundle: Path) -> None:
    assert records(bundle, "") == [{"answers": 0}]  # the last line is one for programs, also of nothing
    assert len(records(bundle, "without a line end")) == 1


def test_empty_lines_ask_nothing_and_unknown_orders_get_help(bundle: Path) -> None:
    result = ran("chat", bundle, *FLAGS, lines="\n   \n/what\n/image\n")
    assert (result.status, result.out) == (0, "")
    assert len(result.err.splitlines()) == 2
    assert "/image FILE" in result.err


def test_a_mistake_in_a_turn_does_not_end_the_conversation(bundle: Path) -> None:
    result = ran("chat", bundle, *FLAGS, lines="hello\n/image /nowhere.png\n<image_placeholder>\nagain\n")
    assert result.status == 0
    assert len(result.out.splitlines()) == 2
    assert [line.split()[-1] for line in result.err.splitlines() if line.startswith("what")] == [
        "[EVL-IMAGE-FILE]",
        "[EVL-PROMPT-IMAGES]",
    ]
    first, refused, again = records(bundle, "hello\n<image_placeholder>\nagain\n")
    assert refused["error"]["code"] == "EVL-PROMPT-IMAGES"
    assert again["usage"]["cached_tokens"] >= first["usage"]["prompt_tokens"]


def test_what_the_machine_broke_is_the_status_in_the_end(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Chat.stream

    def broken(chat: Chat, text: str, *rest: Any) -> AnswerStream:
        if text == "break":
            raise MachineFault("EVL-ENGINE-RUN", "it broke", "who knows", "ask again")
        return said(chat, text, *rest)

    monkeypatch.setattr(Chat, "stream", broken)
    result = ran("chat", bundle, *FLAGS, lines="hello\nbreak\nagain\n")
    assert result.status == 3
    assert len(result.out.splitlines()) == 2 and "[EVL-ENGINE-RUN]" in result.err


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_full_disk_behind_stdout_ends_it(bundle: Path, flags: tuple[str, ...]) -> None:
    with (
        Path("/dev/full").open("wb") as full,
        started("chat", bundle, *FLAGS, *flags, stdin=PIPE, stdout=full) as process,
    ):
        _, err = process.communicate(b"hello\nagain\n", timeout=WAIT_S)
    assert process.returncode == 3
    assert err.count(b"[EVL-STDOUT]") == 1


def test_a_picture_waits_for_a_question_that_is_answered(bundle: Path, picture: Path) -> None:
    lines = f"/image {picture}\n<image_placeholder> <image_placeholder>\nwhat is it?\n"
    refused, answered = records(bundle, lines)
    assert refused["error"]["code"] == "EVL-PROMPT-IMAGES"
    assert answered["usage"]["image_tokens"] == 16


def test_a_question_beyond_the_context_costs_one_turn(bundle: Path) -> None:
    long, short = records(bundle, f"{'x' * 40_000}\nhello\n")
    assert long["error"]["code"] == "EVL-CONTEXT-OVERFLOW"
    assert len(short["token_ids"]) == 5


def test_bytes_that_are_no_text_cost_one_turn(bundle: Path) -> None:
    with started("chat", bundle, "--json", *FLAGS, stdin=PIPE) as process:
        out, _ = process.communicate(b"a\xffb\nhello\n", timeout=60)
    assert process.returncode == 0
    refused, answered = [json.loads(line) for line in out.splitlines()]
    assert refused["error"]["code"] == "EVL-TEXT-UNICODE"
    assert len(answered["token_ids"]) == 5


def test_an_interrupted_answer_over_a_pipe_leaves_the_conversation(bundle: Path) -> None:
    with started("chat", bundle, "--max-tokens", "30000", stdin=PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"hello\n")
        process.stdin.flush()
        process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(b"/quit\n", timeout=60)
    assert process.returncode == 0
    assert b"stopped" in err
    assert len(out) < 30000


def test_a_stopped_answer_is_a_line_for_programs_too(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edge_runtime.chat.Chat.stream", stopped)
    first, second = records(bundle, "hello\nhello?\n")
    assert first == second
    assert first["error"]["code"] == "EVL-STOPPED"


def test_a_terminated_chat_ends_even_in_the_middle_of_an_answer(bundle: Path) -> None:
    with started("chat", bundle, "--max-tokens", "30000", stdin=PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"hello\n")
        process.stdin.flush()
        process.stdout.read(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143


def test_by_hand_two_turns_a_picture_and_quit(bundle: Path, picture: Path) -> None:
    with on_screen("chat", bundle, *FLAGS) as screen:
        assert "/image FILE" in screen.wait_for("you> ")
        screen.type("hello\n")
        assert len(screen.wait_for("you> ").replace("\r\x1b[K", "").splitlines()[1]) == 5
        screen.type(f"/image {picture}\n")
        screen.wait_for("you> ")
        screen.type("what is it?\n")
        screen.wait_for("you> ")
        screen.type("/quit\n")
        assert screen.wait_for_end() == 0


def test_by_hand_ctrl_c_stops_the_answer_and_ctrl_d_ends(bundle: Path) -> None:
    with on_screen("chat", bundle, "--max-tokens", "30000") as screen:
        screen.wait_for("you> ")
        screen.type("hello\n")
        screen.wait_for("hello\r\n")
        screen.wait_for_more()  # the answer has begun
        screen.type("\x03")
        assert "forgotten" in screen.wait_for("you> ")
        screen.type("\x04")
        assert screen.wait_for_end() == 0
    assert "Traceback" not in screen.seen


def test_by_hand_ctrl_c_at_the_prompt_ends_it(bundle: Path) -> None:
    with on_screen("chat", bundle) as screen:
        screen.wait_for("you> ")
        screen.type("\x03")
        assert screen.wait_for_end() == 130
    assert "interrupted" in screen.seen
    assert "Traceback" not in screen.seen
