from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_runtime.errors import EdgeVLError
from edge_runtime.textstream import LONGEST_STOP_STRING, MOST_STOP_STRINGS, TextStream
from edge_runtime.tokenizer import Tokenizer
from tests.edge_runtime.test_tokenizer import EOS, save_tokenizer
from tests.edge_runtime.tokenizer_samples import ids_with_control, token_count

FACE = "🙂"
FAMILY = "👩‍👩‍👧"  # five code points, joined
SAMPLE = f"plain {FACE} 中文 e\u0301 {FAMILY} naïve\n\nUser: done"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.open(save_tokenizer(tmp_path_factory.mktemp("textstream") / "tokenizer.json"))


def pieces_of(stream: TextStream, ids: Iterable[int]) -> list[str]:
    return [*(stream.feed(id_) for id_ in ids), stream.finish()]


def byte_ids(tokenizer: Tokenizer, data: bytes) -> list[int]:
    """One id for each byte, so that every character beyond ASCII is spread over tokens."""
    by_byte = {tokenizer.bytes_of(id_): id_ for id_ in range(token_count(tokenizer))}
    return [by_byte[bytes([value])] for value in data]


def cut_at_first_stop(text: str, stops: Iterable[str]) -> str:
    """What a reader of single characters sees: the slow and obvious twin."""
    for end in range(1, len(text) + 1):
        if found := [stop for stop in stops if text[:end].endswith(stop)]:
            return text[: end - max(map(len, found))]
    return text


@pytest.mark.parametrize("text", [SAMPLE, FACE, "中", FAMILY, "", "e\u0301" * 5, "\x00\t\u202e"])
def test_pieces_join_to_the_text_and_are_never_half_characters(tokenizer: Tokenizer, text: str) -> None:
    for ids in (tokenizer.encode(text), byte_ids(tokenizer, text.encode())):
        pieces = pieces_of(TextStream(tokenizer), ids)
        assert "".join(pieces) == text
        assert not any("\ufffd" in piece for piece in pieces)


@pytest.mark.parametrize(
    ("text", "stops", "wanted"),
    [
        (" yes", [" "], "yes"),
        (" yes", [" y"], "yes"),
        (" a b", [" "], "a"),
        ("yes", ["s"], "ye"),
        ("  x", [], " x"),
        (" ", [" "], ""),
    ],
)
def test_what_leads_a_text_is_no_part_of_it_and_no_stop_string_sees_it(
    tokenizer: Tokenizer, text: str, stops: list[str], wanted: str
) -> None:
    for ids in (tokenizer.encode(text), byte_ids(tokenizer, text.encode())):
        assert "".join(pieces_of(TextStream(tokenizer, stops, lead=" "), ids)) == wanted


def test_a_character_appears_with_its_last_byte(tokenizer: Tokenizer) -> None:
    stream = TextStream(tokenizer)
    assert [stream.feed(id_) for id_ in byte_ids(tokenizer, FACE.encode())] == ["", "", "", FACE]


def test_an_unfinished_character_is_replaced_once_the_next_token_shows_it(tokenizer: Tokenizer) -> None:
    stream = TextStream(tokenizer)
    broken = byte_ids(tokenizer, FACE.encode()[:3] + b"a")
    assert [stream.feed(id_) for id_ in broken] == ["", "", "", "\ufffda"]


def test_an_unfinished_character_is_replaced_at_the_end(tokenizer: Tokenizer) -> None:
    assert pieces_of(TextStream(tokenizer), byte_ids(tokenizer, FACE.encode()[:3])) == ["", "", "", "\ufffd"]


@given(st.lists(st.integers(0, 460), max_size=40), st.booleans())
@example([0xE4, 0xB8, 0xAD], True)
def test_any_ids_give_the_text_that_decoding_them_together_gives(
    tokenizer: Tokenizer, ids: list[int], skip: bool
) -> None:
    assert "".join(pieces_of(TextStream(tokenizer, (), skip), ids)) == tokenizer.decode(ids, skip)


@given(st.binary(max_size=24).filter(lambda data: not set(data) & {0xC0, 0xC1, *range(0xF5, 256)}))
@example(b"\xf0\x9f\x99\xf0\x9f\x99\x82\x82")
@example(b"\xed\xa0\x80\xe4\xb8")
@example(b"\xf0\x80\x80\x80\xf4\x90\x80\x80\xe0\x80")
def test_any_bytes_one_a_token_give_the_text_that_decoding_them_together_gives(
    tokenizer: Tokenizer, data: bytes
) -> None:
    ids = byte_ids(tokenizer, data)
    assert "".join(pieces_of(TextStream(tokenizer), ids)) == tokenizer.decode(ids)


def test_special_tokens_are_shown_on_request_only(tokenizer: Tokenizer) -> None:
    ids = ids_with_control(tokenizer, f"a{EOS}b")
    assert "".join(pieces_of(TextStream(tokenizer), ids)) == "ab"
    assert "".join(pieces_of(TextStream(tokenizer, (), skip_special=False), ids)) == f"a{EOS}b"


def test_a_stop_string_ends_the_text_and_is_not_shown(tokenizer: Tokenizer) -> None:
    stream = TextStream(tokenizer, ["User:"])
    assert "".join(stream.feed(id_) for id_ in tokenizer.encode("Yes.\n\nUser: and")) == "Yes.\n\n"
    assert stream.is_stopped
    assert stream.stop == "User:"
    assert stream.feed(tokenizer.encode("a")[0]) == ""
    assert stream.finish() == ""


def test_a_stop_string_written_as_a_special_token_is_found_when_shown(tokenizer: Tokenizer) -> None:
    stream = TextStream(tokenizer, [EOS], skip_special=False)
    assert "".join(pieces_of(stream, ids_with_control(tokenizer, f"a{EOS}b"))) == "a"


def test_the_beginning_of_a_stop_string_is_held_until_it_is_certain(tokenizer: Tokenizer) -> None:
    stream = TextStream(tokenizer, ["User:"])
    pieces = [stream.feed(id_) for id_ in byte_ids(tokenizer, b"a Usex")]
    assert pieces == ["a", " ", "", "", "", "Usex"]


def test_a_stop_string_that_never_completes_comes_out_at_the_end(tokenizer: Tokenizer) -> None:
    stream = TextStream(tokenizer, ["User:"])
    assert "".join(pieces_of(stream, tokenizer.encode("Use"))) == "Use"
    assert not stream.is_stopped


def test_a_stop_string_completed_by_the_last_replacement_is_found(tokenizer: Tokenizer) -> None:
    stream = TextStream(tokenizer, ["a\ufffd"])
    assert "".join(pieces_of(stream, byte_ids(tokenizer, b"xa\xe4"))) == "x"
    assert stream.stop == "a\ufffd"


@given(st.text("ab", max_size=16), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_where_tokens_are_cut_does_not_change_what_stops(
    tokenizer: Tokenizer, text: str, stops: list[str]
) -> None:
    wanted = cut_at_first_stop(text, stops)
    for ids in (tokenizer.encode(text), byte_ids(tokenizer, text.encode())):
        stream = TextStream(tokenizer, stops)
        assert "".join(pieces_of(stream, ids)) == wanted
        assert stream.is_stopped == (wanted != text)


@pytest.mark.parametrize(
    "stops",
    [[""], ["a", ""], ["x" * (LONGEST_STOP_STRING + 1)], [str(n) for n in range(MOST_STOP_STRINGS + 1)]],
)
def test_stop_strings_without_use_or_bounds_are_refused(tokenizer: Tokenizer, stops: list[str]) -> None:
    with pytest.raises(EdgeVLError) as caught:
        TextStream(tokenizer, stops)
    assert caught.value.code == "EVL-STOP-STRINGS"


def test_a_finished_stream_takes_nothing_more(tokenizer: Tokenizer) -> None:
    stream = TextStream(tokenizer)
    stream.finish()
    with pytest.raises(AssertionError, match="finished"):
        stream.feed(0)


def seconds_of(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


@pytest.mark.parametrize(
    "text", ["a", "中", "U", "\u0301"], ids=["letter", "chinese", "stop-start", "combining"]
)
def test_work_grows_with_the_length_and_not_with_its_square(tokenizer: Tokenizer, text: str) -> None:
    def seconds(tokens: int) -> float:
        ids = byte_ids(tokenizer, text.encode()) * tokens
        return min(
            seconds_of(lambda: pieces_of(TextStream(tokenizer, ["User:"]), ids[:tokens])) for _ in range(5)
        )

    assert seconds(20_000) / seconds(5_000) < 8  # 4 if linear, 16 if quadratic


def test_a_full_set_of_long_stop_strings_stays_affordable(tokenizer: Tokenizer) -> None:
    stops = ["a" * (LONGEST_STOP_STRING - 1 - n) + "b" for n in range(MOST_STOP_STRINGS)]
    ids = byte_ids(tokenizer, b"a" * 2_000)
    assert seconds_of(lambda: pieces_of(TextStream(tokenizer, stops), ids)) < 20
