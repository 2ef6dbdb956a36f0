from __future__ import annotations

import gc
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_runtime.assistant import Assistant, Parts
from edge_runtime.backends.backend import Array, Ints
from edge_runtime.bundle import Bundle
from edge_runtime.constraint import Regex
from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.request import DEFAULT_MAX_TOKENS, Request
from edge_runtime.sampling import Sampling
from edge_runtime.scores import Scores
from edge_runtime.stopwatch import STAGES
from tests.checkpoints import BOS_ID, IMAGE_ID
from tests.edge_runtime.fake_backend import CONTEXT, IMAGE_TOKENS, Room, fake_bundle, room_for
from tests.edge_runtime.tokenizer_samples import ids_with_control

RED, BLUE = Image.new("RGB", (8, 8), (200, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 200))


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return fake_bundle(tmp_path / "bundle")


def prompt_ids(room: Room, text: str) -> list[int]:
    return [BOS_ID, *room.assistant.tokenizer.encode(f"User: {text}\n\nAssistant:")]


def test_an_answer_ends_at_the_end_token(bundle: Bundle) -> None:
    room = room_for(bundle, "a dog")
    answer = room.assistant.ask("what?")
    assert answer.text == "a dog"
    assert answer.finish_reason == "stop"
    assert list(answer.token_ids) == room.backend.script[:-1], "without the end token"


def test_the_prompt_is_fed_in_the_models_own_format(bundle: Bundle) -> None:
    room = room_for(bundle, "a")
    room.assistant.ask("what?")
    assert room.fed[0] == (0, prompt_ids(room, "what?"))


def test_an_answer_is_cut_at_max_tokens(bundle: Bundle) -> None:
    room = room_for(bundle, "", is_ended=False)
    answer = room.assistant.ask("what?", request=Request(max_tokens=5))
    assert (answer.text, answer.finish_reason) == ("zzzzz", "length")
    assert answer.usage.completion_tokens == len(answer.token_ids) == 5


def test_an_answer_of_exactly_max_tokens_does_not_look_for_the_end(bundle: Bundle) -> None:
    room = room_for(bundle, "abc")
    answer = room.assistant.ask("what?", request=Request(max_tokens=3))
    assert (answer.text, answer.finish_reason) == ("abc", "length")


@pytest.mark.parametrize("text", ["a dogUser: and", "a dogUser:"])
def test_the_models_own_stop_strings_end_a_chat_answer(bundle: Bundle, text: str) -> None:
    room = room_for(bundle, text)
    answer = room.assistant.ask("what?")
    assert (answer.text, answer.finish_reason) == ("a dog", "stop")


def test_a_stop_string_ends_the_answer_without_a_further_step(bundle: Bundle) -> None:
    room = room_for(bundle, "one.two.three")
    answer = room.assistant.ask("what?", request=Request(stop=(".",)))
    assert (answer.text, answer.finish_reason) == ("one", "stop")
    assert len(room.fed) == len(answer.token_ids), "the prompt, and every token before the last"


def test_a_stop_string_at_the_last_allowed_token_is_a_stop(bundle: Bundle) -> None:
    room = room_for(bundle, "ab.cd")
    answer = room.assistant.ask("what?", request=Request(max_tokens=3, stop=(".",)))
    assert (answer.text, answer.finish_reason) == ("ab", "stop")


def test_what_might_have_become_a_stop_string_is_part_of_the_text(bundle: Bundle) -> None:
    assert room_for(bundle, "the Use").assistant.ask("what?").text == "the Use"


def test_pieces_of_a_stream_make_up_the_text(bundle: Bundle) -> None:
    stream = room_for(bundle, "größer 中 🙂").assistant.stream("what?")
    pieces = list(stream)
    assert "".join(pieces) == stream.answer.text == "größer 中 🙂"
    assert "\ufffd" not in "".join(pieces)


def test_a_raw_prompt_stands_as_it_is(bundle: Bundle) -> None:
    room = room_for(bundle, "x User: y")
    answer = room.assistant.raw("once upon").answer
    assert answer.text == "x User: y", "the chat's stop strings do not count"
    assert room.fed[0] == (0, [BOS_ID, *room.assistant.tokenizer.encode("once upon")])


def test_images_of_a_raw_prompt_stand_at_their_marks(bundle: Bundle) -> None:
    room = room_for(bundle, "x")
    usage = room.assistant.raw("a<image>b", RED).answer.usage
    encode = room.assistant.tokenizer.encode
    start, values = room.fed[0]
    assert (start, values[:2], values[-1:]) == (0, [BOS_ID, *encode("a")], encode("b"))
    assert min(values[2:-1]) >= 900, "image rows come from the adaptor, not from the table"
    assert usage.image_tokens == IMAGE_TOKENS


@pytest.mark.parametrize(("text", "images"), [("<image><image>", 1), ("<image>", 0), ("none", 1)])
def test_a_raw_prompt_wants_one_image_a_mark(bundle: Bundle, text: str, images: int) -> None:
    with pytest.raises(EdgeVLError) as caught:
        room_for(bundle, "x").assistant.raw(text, [RED] * images)
    assert caught.value.code == "EVL-PROMPT-IMAGES"


def test_usage_counts_prompt_image_cached_and_new_tokens(bundle: Bundle) -> None:
    room = room_for(bundle, "a dog")
    first = room.assistant.ask("what?", RED).usage
    length = len(prompt_ids(room, "what?")) + IMAGE_TOKENS
    assert (first.prompt_tokens, first.image_tokens, first.cached_tokens) == (length, IMAGE_TOKENS, 0)
    assert first.completion_tokens == len(room.backend.script) - 1, "without the end token"
    second = room.assistant.ask("what?", RED).usage
    assert second.cached_tokens == length - 1, "only the last token is fed again"


def test_a_second_question_about_a_picture_pays_for_its_own_tokens_only(bundle: Bundle) -> None:
    room = room_for(bundle, "a")
    room.assistant.ask("what is it?", RED)
    usage = room.assistant.ask("where is it?", RED).usage
    shared = len([BOS_ID, *room.assistant.tokenizer.encode("User: ")]) + IMAGE_TOKENS
    assert usage.cached_tokens >= shared
    start, values = room.fed[-2]  # the last step fed the answer's only token
    assert (start, len(values)) == (usage.cached_tokens, usage.prompt_tokens - usage.cached_tokens)


def test_two_images_stand_in_order_before_the_text(bundle: Bundle) -> None:
    room = room_for(bundle, "x")
    usage = room.assistant.ask("same?", [RED, BLUE]).usage
    assert usage.image_tokens == 2 * IMAGE_TOKENS
    values = [value for value in room.fed[0][1] if value >= 900]
    red, blue = values[:IMAGE_TOKENS], values[IMAGE_TOKENS:]
    assert len(set(red)) == len(set(blue)) == 1
    room.assistant.ask("same?", [BLUE, RED])
    turned = [value for _, fed in room.fed[1:] for value in fed if value >= 900]
    assert turned == blue + red


def test_a_picture_is_encoded_once_however_it_is_given(bundle: Bundle, tmp_path: Path) -> None:
    room = room_for(bundle, "x")
    file = tmp_path / "red.png"
    RED.save(file)
    data = BytesIO()
    RED.save(data, "PNG")
    for source in (RED, file, str(file), data.getvalue(), [RED, RED]):
        room.assistant.ask("what?", source)
    assert room.backend.ran == ["vision_low", "adaptor"]
    room.assistant.ask("what?", BLUE)
    assert room.backend.ran == ["vision_low", "adaptor"] * 2


def test_a_chat_shows_the_model_every_turn_before(bundle: Bundle) -> None:
    room = room_for(bundle, "a dog")
    chat = room.assistant.chat()
    chat.ask("what?", RED)
    usage = chat.ask("sure?").usage
    text = "User: what?\n\nAssistant: a dog<｜end▁of▁sentence｜>User: sure?\n\nAssistant:"
    ids = [BOS_ID, *ids_with_control(room.assistant.tokenizer, text)]
    assert usage.prompt_tokens == len(ids) + IMAGE_TOKENS
    assert usage.image_tokens == IMAGE_TOKENS
    start, values = room.fed[-1 - usage.completion_tokens]
    assert values == ids[start - IMAGE_TOKENS :]


def test_a_system_text_stands_first(bundle: Bundle) -> None:
    room = room_for(bundle, "x")
    room.assistant.ask("what?", system="Be brief.")
    assert room.fed[0][1][1:5] == room.assistant.tokenizer.encode("Be brief.")[:4]


def test_an_answer_that_was_not_read_to_its_end_is_not_kept(bundle: Bundle) -> None:
    room = room_for(bundle, "a dog")
    chat = room.assistant.chat()
    stream = chat.stream("what?", RED)
    next(stream)
    stream.close()
    usage = chat.ask("sure?").usage
    assert usage.image_tokens == 0
    assert usage.prompt_tokens == len(prompt_ids(room, "sure?"))


def test_a_closed_answer_leaves_the_turns_before_it(bundle: Bundle) -> None:
    room = room_for(bundle, "yes")
    chat = room.assistant.chat()
    chat.ask("one?")
    stream = chat.stream("two?")
    next(stream)
    stream.close()
    wanted = room.assistant.chat()
    wanted.ask("one?")
    expected = wanted.ask("three?").usage.prompt_tokens
    assert chat.ask("three?").usage.prompt_tokens == expected


def test_an_answer_cannot_go_on_once_another_was_begun(bundle: Bundle) -> None:
    room = room_for(bundle, "abcdef")
    first = room.assistant.stream("one?")
    next(first)
    assert room.assistant.ask("two?").text == "abcdef"
    with pytest.raises(EdgeVLError) as caught:
        next(first)
    assert caught.value.code == "EVL-STREAM-REPLACED"


@pytest.mark.parametrize("work", ["edge_runtime.assistant.picture_from_source", "VisionEncoder.encode"])
def test_an_answer_goes_on_after_the_fault_of_another_question_s_picture(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    def failing(*_: object) -> None:
        raise MachineFault("EVL-IMAGE-MEMORY", "there is not enough memory", "it is large", "buy more")

    room = room_for(bundle, "abcdef")
    first = room.assistant.stream("one?")
    begun = next(first)
    monkeypatch.setattr(work if "assistant" in work else f"edge_runtime.vision.{work}", failing)
    with pytest.raises(MachineFault):
        room.assistant.stream("two?", RED)
    assert begun + "".join(first) == "abcdef"
    prompt = len(prompt_ids(room, "one?"))
    assert [start for start, _ in room.fed] == [0, *range(prompt, prompt + 6)], "no token lost its prompt"


def test_no_answer_goes_on_over_a_cache_that_a_fault_has_emptied(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = room_for(bundle, "abcdef")
    first = room.assistant.stream("one?")
    next(first)
    assert room.assistant._parts is not None
    sequence = room.assistant._parts.sequence
    with pytest.raises(MachineFault), room.assistant._forgetting(sequence):
        raise MachineFault("EVL-GPU-MEMORY", "the GPU's memory is full", "it has 8 MiB", "buy another")
    assert sequence.keys == []
    with pytest.raises(EdgeVLError) as caught:
        next(first)
    assert caught.value.code == "EVL-STREAM-REPLACED"


def test_of_two_questions_that_go_on_from_one_turn_the_second_is_told(bundle: Bundle) -> None:
    room = room_for(bundle, "yes")
    chat = room.assistant.chat()
    first, second = chat.stream("one?"), chat.stream("two?")
    assert "".join(first) == "yes"
    with pytest.raises(EdgeVLError) as caught:
        next(second)
    assert caught.value.code == "EVL-STREAM-REPLACED"
    wanted = room.assistant.chat()
    wanted.ask("one?")
    assert chat.ask("three?").usage.prompt_tokens == wanted.ask("three?").usage.prompt_tokens


def test_without_max_tokens_an_answer_may_fill_the_context(bundle: Bundle) -> None:
    room = room_for(bundle, "", is_ended=False)
    answer = room.assistant.ask("what?")
    assert answer.finish_reason == "length"
    assert answer.usage.prompt_tokens + answer.usage.completion_tokens == CONTEXT


def test_without_max_tokens_an_answer_ends_after_512(tmp_path: Path) -> None:
    room = room_for(fake_bundle(tmp_path / "long", max_context=1024), "", is_ended=False)
    assert room.assistant.ask("what?").usage.completion_tokens == DEFAULT_MAX_TOKENS == 512


def test_a_conversation_beyond_the_context_is_an_error_with_both_numbers(bundle: Bundle) -> None:
    room = room_for(bundle, "x")
    needed = len(prompt_ids(room, "w" * 200)) + 1
    with pytest.raises(EdgeVLError) as caught:
        room.assistant.ask("w" * 200)
    assert caught.value.code == "EVL-CONTEXT-OVERFLOW"
    assert f"{needed} tokens" in caught.value.why
    assert f"holds {CONTEXT}" in caught.value.why
    assert not room.fed, "nothing was computed"


def test_max_tokens_that_do_not_fit_are_an_error_with_both_numbers(bundle: Bundle) -> None:
    room = room_for(bundle, "x")
    needed = len(prompt_ids(room, "what?")) + CONTEXT
    with pytest.raises(EdgeVLError) as caught:
        room.assistant.ask("what?", request=Request(max_tokens=CONTEXT))
    assert f"{needed} tokens" in caught.value.why
    assert f"holds {CONTEXT}" in caught.value.why


@pytest.mark.parametrize(
    ("text", "request_", "code"),
    [
        ("w" * 300, Request(), "EVL-CONTEXT-OVERFLOW"),
        ("what?", Request(max_tokens=CONTEXT), "EVL-CONTEXT-OVERFLOW"),
        ("what?", Request(constraint=Regex(r"[^\s\S]")), "EVL-CONSTRAINT-REGEX"),
    ],
)
def test_a_question_s_own_mistakes_are_told_before_its_picture_is_encoded(
    bundle: Bundle, text: str, request_: Request, code: str
) -> None:
    room = room_for(bundle, "x")
    for ask in (
        room.assistant.stream,
        lambda text, image, system, request: room.assistant.raw(f"{text}<image>", image, request),
    ):
        with pytest.raises(EdgeVLError) as caught:
            ask(text, RED, None, request_)
        assert caught.value.code == code
    assert room.backend.ran == []


def test_a_raw_prompt_without_its_mark_is_told_before_its_picture_is_encoded(bundle: Bundle) -> None:
    room = room_for(bundle, "x")
    with pytest.raises(EdgeVLError) as caught:
        room.assistant.raw("none", RED)
    assert caught.value.code == "EVL-PROMPT-IMAGES"
    assert room.backend.ran == []


def test_as_many_pictures_are_remembered_as_the_cache_can_hold(bundle: Bundle) -> None:
    room = room_for(bundle, "x")
    shades = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in range(CONTEXT // IMAGE_TOKENS)]
    for _ in range(2):
        for shade in shades:
            room.assistant.ask("what?", shade)
    assert len(room.backend.ran) == 2 * len(shades) > 2 * 8


def test_a_failed_question_leaves_the_conversation_as_it_was(bundle: Bundle) -> None:
    room = room_for(bundle, "yes")
    chat = room.assistant.chat()
    chat.ask("one?")
    with pytest.raises(EdgeVLError):
        chat.ask("w" * 300)
    assert chat.ask("two?").text == "yes"


def test_a_smaller_context_is_taken(bundle: Bundle) -> None:
    room = room_for(bundle, "", is_ended=False, max_context=40)
    assert room.backend.decoders[0].capacity == 40
    usage = room.assistant.ask("what?").usage
    assert usage.prompt_tokens + usage.completion_tokens == 40


@pytest.mark.parametrize("max_context", [0, -1, CONTEXT + 1])
def test_a_context_the_bundle_was_not_made_for_is_refused(bundle: Bundle, max_context: int) -> None:
    with pytest.raises(EdgeVLError) as caught:
        room_for(bundle, "x", max_context=max_context)
    assert caught.value.code == "EVL-CONTEXT-LIMIT"
    assert str(max_context) in caught.value.what
    assert str(CONTEXT) in caught.value.why


@pytest.mark.parametrize("max_tokens", [0, -3])
def test_max_tokens_below_one_are_refused(max_tokens: int) -> None:
    with pytest.raises(EdgeVLError) as caught:
        Request(max_tokens=max_tokens)
    assert caught.value.code == "EVL-MAX-TOKENS"


def test_an_answer_says_what_it_cost_and_who_made_it(bundle: Bundle) -> None:
    answer = room_for(bundle, "a dog").assistant.ask("what?", RED)
    assert set(answer.timings_ms) == {*STAGES, "total"}
    assert 0 < sum(answer.timings_ms[stage] for stage in STAGES) <= answer.timings_ms["total"]
    assert answer.tokens_per_s > 0
    assert answer.engine == "fake"
    assert answer.precision == {"vision_low": "fp32", "adaptor": "fp32", "decoder": "fp32", "embed": "fp16"}
    assert answer.peak_rss_mib > 1


def test_the_same_seed_gives_the_same_answer(bundle: Bundle) -> None:
    request = Request(max_tokens=12, sampling=Sampling(temperature=2.0, seed=5))
    room = room_for(bundle, "a dog", is_ended=False)
    answers = [room.assistant.ask("what?", request=request).token_ids for _ in range(2)]
    other = Request(max_tokens=12, sampling=Sampling(temperature=2.0, seed=6))
    assert answers[0] == answers[1] != room.assistant.ask("what?", request=other).token_ids


def test_image_ids_are_never_fed_as_text(bundle: Bundle) -> None:
    room = room_for(bundle, "x")
    room.assistant.ask("what?", [RED, BLUE])
    assert IMAGE_ID not in np.asarray(room.fed[0][1])


def test_a_closed_assistant_answers_nothing(bundle: Bundle) -> None:
    room = room_for(bundle, "x")
    with room.assistant as assistant:
        assistant.ask("what?")
    assert room.backend.is_closed
    with pytest.raises(EdgeVLError) as caught:
        assistant.ask("what?")
    assert caught.value.code == "EVL-ASSISTANT-CLOSED"


def test_closing_lets_go_of_the_engine_while_the_assistant_is_still_held(bundle: Bundle) -> None:
    room = room_for(bundle, "a dog")
    room.assistant.ask("what?", RED)
    decoder = weakref.ref(room.backend.decoders.pop())
    room.assistant.close()
    gc.collect()
    assert decoder() is None


def test_closing_lets_go_of_the_engine_while_an_unfinished_answer_is_still_held(bundle: Bundle) -> None:
    room = room_for(bundle, "a dog")
    stream = room.assistant.stream("what?", RED)
    assert next(stream)
    decoder = weakref.ref(room.backend.decoders.pop())
    room.assistant.close()
    gc.collect()
    assert decoder() is None
    with pytest.raises(EdgeVLError, match="EVL-ASSISTANT-CLOSED"):
        next(stream)


def test_closing_between_two_looks_at_the_parts_is_told_as_closing(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = room_for(bundle, "a dog")

    def looked_at(assistant: Assistant) -> Parts | None:
        found: Parts | None = assistant.__dict__["_parts"]
        assistant.__dict__["_parts"] = None  # the beginning of `close`, in another thread
        return found

    monkeypatch.setattr(Assistant, "_parts", property(looked_at), raising=False)
    with pytest.raises(EdgeVLError) as caught:
        room.assistant.ask("what?")
    assert caught.value.code == "EVL-ASSISTANT-CLOSED"


def test_a_closed_assistant_looks_at_no_picture(bundle: Bundle) -> None:
    room = room_for(bundle, "a dog")
    room.assistant.close()
    with pytest.raises(EdgeVLError) as caught:
        room.assistant.stream("what?", RED)
    assert caught.value.code == "EVL-ASSISTANT-CLOSED"
    assert room.backend.ran == []


def test_a_second_thread_is_told_that_the_assistant_is_busy(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = room_for(bundle, "a dog")
    step, begun, done = room.backend.decoders[0].step, Event(), Event()

    def slow_step(embeds: Array, write_index: Ints, logit_index: Ints) -> Scores:
        begun.set()
        assert done.wait(10)
        return step(embeds, write_index, logit_index)

    monkeypatch.setattr(room.backend.decoders[0], "step", slow_step)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(room.assistant.ask, "what?")
        assert begun.wait(10)
        with pytest.raises(EdgeVLError) as caught:
            room.assistant.ask("and?")
        done.set()
    assert caught.value.code == "EVL-ASSISTANT-BUSY"
    assert first.result().text == "a dog"


def test_one_token_has_no_speed_and_more_count_the_steps_between_them(bundle: Bundle) -> None:
    assert room_for(bundle, "abc").assistant.ask("what?", request=Request(max_tokens=1)).tokens_per_s == 0.0
    assert room_for(bundle, "abc").assistant.ask("what?", request=Request(max_tokens=2)).tokens_per_s > 0.0


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_file_s_bytes_are_read_in_whatever_they_are_held(bundle: Bundle, kind: type) -> None:
    data = BytesIO()
    RED.save(data, "PNG")
    for image in (kind(data.getvalue()), [kind(data.getvalue())]):
        assert room_for(bundle, "a").assistant.ask("what?", image).usage.image_tokens == IMAGE_TOKENS


@pytest.mark.parametrize("is_listed", [False, True])
def test_an_open_file_is_no_list_of_its_lines(bundle: Bundle, tmp_path: Path, is_listed: bool) -> None:
    RED.save(tmp_path / "red.png")
    with (tmp_path / "red.png").open("rb") as file:
        files: list[Any] = [file, BytesIO(b""), BytesIO(b"a\nb\n")]
        for image in files:
            with pytest.raises(EdgeVLError) as caught:
                room_for(bundle, "a").assistant.ask("what?", [image] if is_listed else image)
            assert caught.value.code == "EVL-IMAGE-SOURCE"
            assert f"got {type(image).__name__}" in caught.value.why
            assert "file.read()" in caught.value.fix


@pytest.mark.parametrize("image", [np.zeros((4, 4, 3), np.uint8), 5, bytearray(b"x")])
def test_what_is_no_picture_is_named(bundle: Bundle, image: object) -> None:
    with pytest.raises(EdgeVLError) as caught:
        room_for(bundle, "a").assistant.ask("what?", image)  # type: ignore[arg-type]
    assert caught.value.code in ("EVL-IMAGE-SOURCE", "EVL-IMAGE-FORMAT")


def test_what_is_no_text_is_named(bundle: Bundle) -> None:
    with pytest.raises(EdgeVLError) as caught:
        room_for(bundle, "a").assistant.ask(5)  # type: ignore[arg-type]
    assert caught.value.code == "EVL-PROMPT-ROLES"


@pytest.mark.parametrize("system", [5, b"be brief"])
def test_a_system_text_that_is_none_is_named(bundle: Bundle, system: Any) -> None:
    with pytest.raises(EdgeVLError) as caught:
        room_for(bundle, "a").assistant.ask("what?", system=system)
    assert (caught.value.code, caught.value.what) == ("EVL-PROMPT-ROLES", "the system text is no text")


def test_a_raw_prompt_that_is_no_text_is_named(bundle: Bundle) -> None:
    prompt: Any = None
    with pytest.raises(EdgeVLError) as caught:
        room_for(bundle, "a").assistant.raw(prompt)
    assert (caught.value.code, caught.value.why) == ("EVL-PROMPT-ROLES", "got NoneType, wanted text")


@pytest.mark.parametrize("sampling", [None, {"temperature": 1}])
def test_a_sampling_that_is_none_is_refused(sampling: Any) -> None:
    with pytest.raises(EdgeVLError) as caught:
        Request(sampling=sampling)
    assert caught.value.code == "EVL-REQUEST-KIND"
    assert caught.value.why == f"got {type(sampling).__name__}, wanted a Sampling"


@pytest.mark.parametrize("constraint", ["a|b", {"type": "object"}, Regex])
def test_a_constraint_that_is_none_is_refused(constraint: Any) -> None:
    with pytest.raises(EdgeVLError) as caught:
        Request(constraint=constraint)
    assert caught.value.code == "EVL-REQUEST-KIND"
    assert "wanted a JsonSchema, a Regex or a Choice" in caught.value.why


@pytest.mark.parametrize("stop", [None, 5, [1], ["a", None], b"a"])
def test_what_is_no_stop_text_is_refused(stop: Any) -> None:
    with pytest.raises(EdgeVLError) as caught:
        Request(stop=stop)
    assert caught.value.code == "EVL-STOP-STRINGS"
    assert "wanted texts" in caught.value.why


@pytest.mark.parametrize("stop", ["", ["a", ""], "x" * 1025, [str(number) for number in range(65)]])
def test_stop_texts_out_of_bounds_are_refused_before_a_model_is_there(stop: str | list[str]) -> None:
    with pytest.raises(EdgeVLError) as caught:
        Request(stop=stop)
    assert caught.value.code == "EVL-STOP-STRINGS"


def test_the_model_s_own_stop_texts_take_no_room_from_those_that_are_asked_for(bundle: Bundle) -> None:
    request = Request(stop=[f"<{number}>" for number in range(64)])
    for text in ("a <63> b", "aUser: b"):
        assert room_for(bundle, text).assistant.ask("what?", request=request).text.strip() == "a"


def test_one_stop_text_is_not_taken_for_its_letters(bundle: Bundle) -> None:
    answer = room_for(bundle, "a big dog").assistant.ask("what?", request=Request(stop=" dog"))
    assert answer.text == "a big"


@pytest.mark.parametrize("mode", ["I", "F"])
def test_an_open_picture_without_an_agreed_range_is_refused(bundle: Bundle, mode: str) -> None:
    with pytest.raises(EdgeVLError) as caught:
        room_for(bundle, "a").assistant.ask("what?", Image.new(mode, (8, 8), 200))
    assert caught.value.code == "EVL-IMAGE-FORMAT"


def test_closing_waits_for_what_another_thread_has_under_way(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = room_for(bundle, "a dog")
    step, begun, done = room.backend.decoders[0].step, Event(), Event()
    order = list[str]()

    def slow_step(embeds: Array, write_index: Ints, logit_index: Ints) -> Scores:
        begun.set()
        assert done.wait(10)
        order.append("worked")
        return step(embeds, write_index, logit_index)

    monkeypatch.setattr(room.backend.decoders[0], "step", slow_step)
    monkeypatch.setattr(room.backend, "close", lambda: order.append("closed"))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(room.assistant.ask, "what?")
        assert begun.wait(10)
        closing = pool.submit(room.assistant.close)
        time.sleep(0.1)
        assert order == []
        done.set()
        closing.result(10)
        with pytest.raises(EdgeVLError, match="EVL-ASSISTANT-CLOSED"):
            first.result(10)
    assert order[-1] == "closed"
