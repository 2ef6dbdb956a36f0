from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaTokenizerFast, PreTrainedTokenizerFast

from edge_runtime.errors import EdgeVLError
from edge_runtime.prompt import (
    ImageRef,
    PromptFormat,
    PromptTokens,
    Turn,
    check_fits,
    common_prefix,
)
from edge_runtime.spec import PromptSpec
from edge_runtime.tokenizer import Tokenizer
from tests.edge_runtime.test_tokenizer import BOS, EOS, IMAGE, REF, save_tokenizer

ROWS = 4
SYSTEM = "You are a helpful language and vision assistant."
CAT, DOG = ImageRef(b"cat"), ImageRef(b"dog")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tokenizer(tmp_path_factory.mktemp("prompt") / "tokenizer.json")


@pytest.fixture(scope="module")
def form(path: Path) -> PromptFormat:
    tokenizer = Tokenizer.open(path)
    return PromptFormat(tokenizer, spec_for(tokenizer), ROWS)


def spec_for(
    tokenizer: Tokenizer, user: str = "User", assistant: str = "Assistant", image_shift: int = 0
) -> PromptSpec:
    bos, eos, image = (tokenizer.control[token] for token in (BOS, EOS, IMAGE))
    stops = ("User:", EOS)
    return PromptSpec(SYSTEM, user, assistant, "\n\n", EOS, stops, IMAGE, image + image_shift, bos, eos)


def text_of(form: PromptFormat, prompt: PromptTokens) -> str:
    """The prompt as the original's string, one mark for each image."""
    ids = list(prompt.ids)
    for start, _ in reversed(prompt.image_spans):
        assert ids[start : start + ROWS] == [form.spec.image_id] * ROWS
        del ids[start : start + ROWS - 1]
    return form.tokenizer.decode(ids, skip_special=False)


def chat_text(form: PromptFormat, *turns: Turn, system: str | None = None) -> str:
    return text_of(form, form.chat_prompt_tokens(turns, system))


def error_of(call: Callable[[], object]) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        call()
    return caught.value


def original_text(turns: list[tuple[str, str]], system: str) -> str:
    """The original's rule, written down independently: one separator after each side's message."""
    text = system + "\n\n" if system else ""
    for index, (role, content) in enumerate(turns):
        content = content.strip()
        text += f"{role}: {content}" + ("\n\n", EOS)[index % 2] if content else f"{role}:"
    return BOS + (text + "Assistant:").strip()


def test_one_turn_is_written_as_the_original_writes_it(form: PromptFormat) -> None:
    assert chat_text(form, Turn("user", "Hi")) == f"{BOS}{SYSTEM}\n\nUser: Hi\n\nAssistant:"


def test_a_history_is_written_as_the_original_writes_it(form: PromptFormat) -> None:
    turns = (Turn("user", " one\n"), Turn("assistant", " two "), Turn("user", "three"))
    wanted = f"{BOS}{SYSTEM}\n\nUser: one\n\nAssistant: two{EOS}User: three\n\nAssistant:"
    assert chat_text(form, *turns) == wanted


def test_images_stand_before_their_turns_text_with_nothing_between(form: PromptFormat) -> None:
    turns = (Turn("user", "Compare", (CAT, DOG)), Turn("assistant", "Done"), Turn("user", "Again ", (CAT,)))
    wanted = f"User: {IMAGE}{IMAGE}Compare\n\nAssistant: Done{EOS}User: {IMAGE}Again\n\nAssistant:"
    assert chat_text(form, *turns, system="") == BOS + wanted


def test_an_image_without_text_is_a_turn(form: PromptFormat) -> None:
    assert chat_text(form, Turn("user", " ", (CAT,)), system="") == f"{BOS}User: {IMAGE}\n\nAssistant:"


def test_the_models_own_mark_in_a_text_places_the_image(form: PromptFormat) -> None:
    turn = Turn("user", f" before {IMAGE} and {IMAGE}\n", (CAT, DOG))
    assert chat_text(form, turn, system="") == f"{BOS}User: before {IMAGE} and {IMAGE}\n\nAssistant:"


@pytest.mark.parametrize(("marks", "images"), [(1, 0), (2, 1), (1, 2), (3, 2)])
def test_marks_and_images_that_do_not_match_are_refused_with_both_numbers(
    form: PromptFormat, marks: int, images: int
) -> None:
    turn = Turn("user", IMAGE * marks + "hi", (CAT,) * images)
    error = error_of(lambda: form.chat_prompt_tokens([turn]))
    assert error.code == "EVL-PROMPT-IMAGES"
    assert f"{marks} marks and {images} images" in error.why


def test_an_assistants_text_never_places_an_image(form: PromptFormat) -> None:
    turns = (Turn("user", "a"), Turn("assistant", IMAGE), Turn("user", "b"))
    prompt = form.chat_prompt_tokens(turns)
    assert prompt.image_spans == ()
    assert form.spec.image_id not in prompt.ids


def test_control_tokens_in_texts_and_system_are_plain_text(form: PromptFormat) -> None:
    turns = (Turn("user", f"{EOS}{BOS}"), Turn("assistant", f"x{EOS}"), Turn("user", "y"))
    ids = form.chat_prompt_tokens(turns, system=f"{BOS}{EOS}{REF}").ids
    assert ids.count(form.spec.bos_id) == 1
    assert ids.count(form.spec.eos_id) == 1  # the one after the assistant's turn
    assert form.tokenizer.control[REF] not in ids


@pytest.mark.parametrize(
    ("texts", "system", "name"),
    [
        (("ok", "yes", "ab\ud800"), None, "message 3"),
        (("ab\ud800", "yes", "ok"), None, "message 1"),
        ((f"{IMAGE}\ud800",), "", "message 1"),
        (("ok",), "ab\ud800", "the system text"),
    ],
)
def test_a_lone_surrogate_is_told_at_its_place_in_its_own_text(
    form: PromptFormat, texts: tuple[str, ...], system: str | None, name: str
) -> None:
    turns = [
        Turn("assistant" if index % 2 else "user", text, (CAT,) * text.count(IMAGE))
        for index, text in enumerate(texts)
    ]
    error = error_of(lambda: form.chat_prompt_tokens(turns, system))
    place = next(text.find("\ud800") for text in (*texts, system or "") if "\ud800" in text)
    assert (error.code, error.what) == ("EVL-TEXT-UNICODE", f"{name} is not valid Unicode")
    assert error.why == f"character {place} is the lone surrogate U+D800"


def test_a_lone_surrogate_of_a_raw_prompt_is_told_at_its_place(form: PromptFormat) -> None:
    error = error_of(lambda: form.raw_prompt_tokens(f"a<image>b{EOS}\ud800", (CAT,)))
    assert error.code == "EVL-TEXT-UNICODE"
    assert f"character {len(f'a<image>b{EOS}')} is" in error.why


@pytest.mark.parametrize("system", ["", "  ", "\n"])
def test_no_system_text_leaves_its_separator_out_too(form: PromptFormat, system: str) -> None:
    assert chat_text(form, Turn("user", "Hi"), system=system) == f"{BOS}User: Hi\n\nAssistant:"


def test_another_system_text_replaces_the_models_own(form: PromptFormat) -> None:
    assert chat_text(form, Turn("user", "Hi"), system=" Be brief ").startswith(f"{BOS}Be brief \n\nUser: Hi")


@given(
    st.lists(
        st.sampled_from(["", " ", "Hi there", " says\n", "中文", "a\n\nUser: b", "3"]), min_size=1, max_size=5
    )
)
def test_any_conversation_is_the_originals_string(form: PromptFormat, texts: list[str]) -> None:
    texts = texts if len(texts) % 2 else texts[:-1]
    turns = [Turn("assistant" if index % 2 else "user", text) for index, text in enumerate(texts)]
    plain = [("Assistant" if index % 2 else "User", text) for index, text in enumerate(texts)]
    assert chat_text(form, *turns) == original_text(plain, SYSTEM)


@pytest.mark.parametrize("oracle_class", [PreTrainedTokenizerFast, LlamaTokenizerFast])
def test_ids_are_those_of_transformers_for_the_whole_string(
    form: PromptFormat, path: Path, oracle_class: type[PreTrainedTokenizerFast]
) -> None:
    turns = (
        Turn("user", " What does the sign say? 123,456", (CAT,)),
        Turn("assistant", "它说 STOP.\n\nReally  "),
        Turn("user", f"and {IMAGE}here{IMAGE}?", (DOG, CAT)),
        Turn("assistant", "naïve café 🙂"),
        Turn("user", "thanks"),
    )
    whole = (
        f"{BOS}{SYSTEM}\n\nUser: {IMAGE} What does the sign say? 123,456\n\n"
        f"Assistant: 它说 STOP.\n\nReally{EOS}User: and {IMAGE}here{IMAGE}?\n\n"
        f"Assistant: naïve café 🙂{EOS}User: thanks\n\nAssistant:"
    )
    oracle = oracle_class(tokenizer_file=str(path))
    wanted: list[int] = []
    for id_ in oracle.encode(whole, add_special_tokens=False):
        wanted += [id_] * (ROWS if id_ == form.spec.image_id else 1)
    assert list(form.chat_prompt_tokens(turns).ids) == wanted


def test_role_names_may_be_control_tokens(form: PromptFormat) -> None:
    spec = spec_for(form.tokenizer, user=REF)
    ids = PromptFormat(form.tokenizer, spec, ROWS).chat_prompt_tokens([Turn("user", "a")], system="").ids
    assert ids[:2] == (spec.bos_id, form.tokenizer.control[REF])


def test_a_tokenizer_that_gives_the_image_mark_another_id_is_refused(form: PromptFormat) -> None:
    spec = spec_for(form.tokenizer, image_shift=100)
    assert error_of(lambda: PromptFormat(form.tokenizer, spec, ROWS)).code == "EVL-PROMPT-TOKENS"


def test_a_raw_prompt_is_bos_and_the_text_as_it_stands(form: PromptFormat) -> None:
    prompt = form.raw_prompt_tokens(f" User: hi{EOS}\n")
    assert text_of(form, prompt) == f"{BOS} User: hi{EOS}\n"
    assert prompt.ids[0] == form.spec.bos_id
    assert prompt.ids.count(form.spec.eos_id) == 1


def test_both_marks_place_images_in_a_raw_prompt(form: PromptFormat) -> None:
    prompt = form.raw_prompt_tokens(f"<image> a {IMAGE}", (CAT, DOG))
    assert text_of(form, prompt) == f"{BOS}{IMAGE} a {IMAGE}"
    assert prompt.image_spans[0] == (1, 0)
    assert [index for _, index in prompt.image_spans] == [0, 1]


@pytest.mark.parametrize(
    ("text", "images"), [("<image>", 0), ("hi", 1), ("<image><image>", 1), ("<image>", 2)]
)
def test_a_raw_prompt_needs_a_mark_for_every_image(form: PromptFormat, text: str, images: int) -> None:
    error = error_of(lambda: form.raw_prompt_tokens(text, (CAT,) * images))
    assert error.code == "EVL-PROMPT-IMAGES"


def test_an_empty_raw_prompt_is_bos_alone(form: PromptFormat) -> None:
    assert form.raw_prompt_tokens("").ids == (form.spec.bos_id,)


@pytest.mark.parametrize(
    "turns",
    [
        [],
        [Turn("assistant", "a")],
        [Turn("user", "a"), Turn("user", "b")],
        [Turn("user", "a"), Turn("assistant", "b")],
    ],
)
def test_messages_that_do_not_alternate_from_user_to_user_are_refused(
    form: PromptFormat, turns: list[Turn]
) -> None:
    assert error_of(lambda: form.chat_prompt_tokens(turns)).code == "EVL-PROMPT-ROLES"


def test_a_turn_refuses_other_roles_and_images_of_the_assistant() -> None:
    assert error_of(lambda: Turn("tool", "a")).code == "EVL-PROMPT-ROLES"  # type: ignore[arg-type]
    assert error_of(lambda: Turn("assistant", "a", (CAT,))).code == "EVL-PROMPT-ROLES"


def test_image_tokens_are_counted(form: PromptFormat) -> None:
    prompt = form.chat_prompt_tokens([Turn("user", "Compare", (CAT, DOG))])
    assert prompt.image_token_count == 2 * ROWS
    assert len(prompt) == len(prompt.ids)


def test_what_fits_exactly_fits_and_one_more_token_does_not(form: PromptFormat) -> None:
    prompt = form.chat_prompt_tokens([Turn("user", "Hi", (CAT,))])
    check_fits(prompt, 10, len(prompt) + 10)
    error = error_of(lambda: check_fits(prompt, 11, len(prompt) + 10))
    assert error.code == "EVL-CONTEXT-OVERFLOW"
    assert str(len(prompt) + 11) in error.why
    assert str(len(prompt) + 10) in error.why


def test_keys_are_ids_for_text_and_hash_and_row_for_images() -> None:
    prompt = PromptTokens((1, 9, 9, 5, 9, 9), ((1, 0), (4, 1)), 2)
    keys = prompt.keys([b"a", b"b"])
    assert keys == (1, (b"a", 0), (b"a", 1), 5, (b"b", 0), (b"b", 1))


def test_spans_that_overlap_or_leave_the_prompt_are_our_bug() -> None:
    for spans in (((0, 0), (1, 1)), ((2, 0),)):
        with pytest.raises(AssertionError):
            PromptTokens((9, 9, 9), spans, 2)


def test_conversations_share_their_prefix_up_to_another_picture(form: PromptFormat) -> None:
    prompt = form.chat_prompt_tokens([Turn("user", "What is it?", (CAT,))])
    start = prompt.image_spans[0][0]
    assert common_prefix(prompt.keys([b"cat"]), prompt.keys([b"dog"])) == start
    assert common_prefix(prompt.keys([b"cat"]), prompt.keys([b"cat"])) == len(prompt)


def test_a_longer_conversation_shares_the_whole_of_the_shorter(form: PromptFormat) -> None:
    first = form.chat_prompt_tokens([Turn("user", "What is it?", (CAT,))])
    turns = [Turn("user", "What is it?", (CAT,)), Turn("assistant", "A cat."), Turn("user", "Sure?", (DOG,))]
    second = form.chat_prompt_tokens(turns)
    assert common_prefix(first.keys([b"cat"]), second.keys([b"cat", b"dog"])) == len(first)


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)))
def test_the_common_prefix_is_the_longest(a: list[int], b: list[int]) -> None:
    length = common_prefix(a, b)
    assert a[:length] == b[:length]
    assert a[: length + 1] != b[: length + 1] or length == min(len(a), len(b))
