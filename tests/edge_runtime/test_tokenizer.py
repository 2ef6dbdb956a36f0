from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Core
from transformers import LlamaTokenizerFast, PreTrainedTokenizerFast

from edge_runtime.errors import EdgeVLError
from edge_runtime.tokenizer import FILE_LIMIT_BYTES, LONG, Tokenizer
from tests.edge_runtime.tokenizer_samples import ids_with_control, token_count

BOS = "<｜begin▁of▁sentence｜>"
EOS = "<｜end▁of▁sentence｜>"
IMAGE = "<image_placeholder>"
REF = "<|ref|>"  # an added token without the special flag, as in DeepSeek-VL2
UNUSED_BYTES = "øöúÿõ÷ûýÀùÁþü"  # DeepSeek's thirteen added tokens of one letter
CORPUS = [
    "You are a helpful language and vision assistant.\n\nUser: What does the sign say?\n\nAssistant: It says STOP.",
    "Describe the picture in 3 words, please! User: 1 + 1 = 2; User: what's 123,456?\n\n\tDone.",
    "图片里有什么？ 有两只猫。 中文 ou français: déjà vu, naïve café",
]
TEXTS = [
    "",
    " ",
    "plain words",
    "  two  spaces \n\n and\tlines\r\n ",
    "User: hi\n\nAssistant:",
    f"a{EOS}b",
    f"{BOS}{IMAGE} {EOS}",
    f"x <image {IMAGE}{IMAGE}y{REF}z",
    "<｜end▁of▁sentence",
    "naïve ö ÷ ÿ Àx",
    "中文字符 🙂👩‍👩‍👧 e\u0301 \u202e rtl \x00 nul",
    "1234 56,78",
]


def core_like_deepseek(vocab_size: int = 420, alphabet: list[str] | None = None) -> Core:
    core = Core(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[\r\n]"), "isolated"),
            pre_tokenizers.Split(Regex(r"\s?[A-Za-zµÀ-ÖØ-öø-ƺ]+"), "isolated"),
            pre_tokenizers.Split(Regex(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"), "isolated"),
            pre_tokenizers.Split(Regex(r"\s+$"), "isolated"),
            pre_tokenizers.Split(Regex(r"[一-龥ࠀ-一가-퟿]+"), "isolated"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    if alphabet is None:
        alphabet = sorted(set(pre_tokenizers.ByteLevel.alphabet()) - set(UNUSED_BYTES))
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator(CORPUS * 20, trainer)
    return core


def save_tokenizer(
    path: Path, is_image_special: bool = True, edit: Callable[[dict[str, Any]], None] | None = None
) -> Path:
    core = core_like_deepseek()
    core.add_special_tokens([BOS, EOS])
    core.add_tokens([AddedToken(letter, special=False) for letter in UNUSED_BYTES])
    core.add_tokens([AddedToken(IMAGE, special=is_image_special, normalized=False)])
    core.add_tokens([AddedToken(REF, special=False, normalized=False)])
    content = json.loads(core.to_str())
    if edit is not None:
        edit(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


class FailingCore:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def from_str(self, _: str) -> None:
        raise self.error


def error_of(call: Callable[[], object]) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        call()
    return caught.value


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer") / "tokenizer.json")


@pytest.fixture(scope="module")
def tokenizer(path: Path) -> Tokenizer:
    return Tokenizer.open(path)


def test_a_long_text_has_the_ids_that_it_would_have_as_a_short_one(tokenizer: Tokenizer) -> None:
    text = "Überall 12 Straßen 街道 🚦\n" * (LONG // 10)
    assert len(text) > LONG
    assert tokenizer.encode(text) == tokenizer.core.encode(text, add_special_tokens=False).ids


def test_control_tokens_in_untrusted_text_come_out_as_their_characters(tokenizer: Tokenizer) -> None:
    text = f"a{BOS}b {EOS}{IMAGE}{REF}c"
    ids = tokenizer.encode(text)
    assert not {tokenizer.id_of(token) for token in (BOS, EOS, IMAGE, REF)} & set(ids)
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("is_image_special", [True, False])
def test_an_image_mark_is_kept_out_of_text_whether_flagged_special_or_not(
    tmp_path: Path, is_image_special: bool
) -> None:
    tokenizer = Tokenizer.open(save_tokenizer(tmp_path / "tokenizer.json", is_image_special))
    assert tokenizer.id_of(IMAGE) not in tokenizer.encode(f"look: {IMAGE}")
    assert ids_with_control(tokenizer, IMAGE) == [tokenizer.id_of(IMAGE)]


@given(st.lists(st.sampled_from([BOS, EOS, IMAGE, REF, "<", ">", "｜", "a", " ", "ö", "\n"]), max_size=12))
def test_no_mixture_of_fragments_reaches_a_control_id(tokenizer: Tokenizer, parts: list[str]) -> None:
    text = "".join(parts)
    ids = tokenizer.encode(text)
    assert tokenizer.control_ids.isdisjoint(ids)
    assert ids == tokenizer.core.encode(text, add_special_tokens=False).ids


def test_unflagged_one_letter_tokens_stay_vocabulary(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("ö") == [tokenizer.id_of("ö")]
    assert set(tokenizer.control) == {BOS, EOS, IMAGE, REF}


@pytest.mark.parametrize("oracle_class", [PreTrainedTokenizerFast, LlamaTokenizerFast])
@pytest.mark.parametrize("text", TEXTS)
def test_control_aware_ids_are_those_of_transformers(
    path: Path, tokenizer: Tokenizer, text: str, oracle_class: type[Any]
) -> None:
    oracle = oracle_class(tokenizer_file=str(path))
    assert ids_with_control(tokenizer, text) == oracle.encode(text, add_special_tokens=False)


@pytest.mark.parametrize(
    "text", [text for text in TEXTS if not any(mark in text for mark in (BOS, EOS, IMAGE, REF))]
)
def test_plain_text_has_the_same_ids_with_and_without_control(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.encode(text) == ids_with_control(tokenizer, text)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_text_without_the_odd_letters_survives_a_round_trip(tokenizer: Tokenizer, text: str) -> None:
    text = "".join(letter for letter in text if letter not in UNUSED_BYTES)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_splitting_gives_control_ids_and_the_text_between(tokenizer: Tokenizer) -> None:
    eos, image = tokenizer.id_of(EOS), tokenizer.id_of(IMAGE)
    assert tokenizer.split_control(f"a {EOS}{IMAGE} b") == ["a ", eos, image, " b"]


def test_control_tokens_that_swallow_spaces_do_so_as_in_transformers(tmp_path: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        flags = {EOS: "lstrip", IMAGE: "rstrip", REF: "single_word"}
        for token in content["added_tokens"]:
            if token["content"] in flags:
                token[flags[token["content"]]] = True

    path = save_tokenizer(tmp_path / "tokenizer.json", edit=edit)
    oracle = PreTrainedTokenizerFast(tokenizer_file=str(path))
    text = f"a  {EOS} b {IMAGE}  c{REF} {REF} d"
    assert ids_with_control(Tokenizer.open(path), text) == oracle.encode(text, add_special_tokens=False)


def test_of_control_tokens_that_begin_alike_the_longest_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    core = core_like_deepseek()
    core.add_special_tokens(["<a>", "<a><b>"])
    core.save(str(path))
    tokenizer = Tokenizer.open(path)
    assert tokenizer.split_control("<a><b><a>") == [tokenizer.id_of("<a><b>"), tokenizer.id_of("<a>")]


def test_decode_skips_flagged_tokens_only(tokenizer: Tokenizer) -> None:
    ids = ids_with_control(tokenizer, f"{BOS}a{REF}b{EOS}")
    assert tokenizer.decode(ids) == f"a{REF}b"
    assert tokenizer.decode(ids, skip_special=False) == f"{BOS}a{REF}b{EOS}"


@given(st.lists(st.integers(0, 460), max_size=30), st.booleans())
def test_decode_is_the_bytes_of_all_ids_as_utf8(tokenizer: Tokenizer, ids: list[int], skip: bool) -> None:
    joined = b"".join(tokenizer.bytes_of(id_, skip) for id_ in ids)
    assert tokenizer.decode(ids, skip) == joined.decode("utf-8", errors="replace")


@given(st.lists(st.integers(0, 460), max_size=30), st.booleans())
def test_decode_is_that_of_transformers(path: Path, tokenizer: Tokenizer, ids: list[int], skip: bool) -> None:
    oracle = Core.from_file(str(path))
    assert tokenizer.decode(ids, skip) == oracle.decode(ids, skip_special_tokens=skip)


@pytest.mark.parametrize("bad_id", [-1, 1 << 32])
def test_ids_that_cannot_be_ids_are_refused(tokenizer: Tokenizer, bad_id: int) -> None:
    assert error_of(lambda: tokenizer.decode([5, bad_id])).code == "EVL-TOKEN-IDS"


def test_ids_beyond_the_vocabulary_decode_to_nothing(tokenizer: Tokenizer) -> None:
    ids = [*tokenizer.encode("a"), token_count(tokenizer), *tokenizer.encode("b")]
    assert tokenizer.decode(ids) == "ab"


def test_a_text_that_is_no_token_has_no_id(tokenizer: Tokenizer) -> None:
    assert tokenizer.id_of("no such token") is None


@pytest.mark.parametrize("text", ["\ud800", "ok \udfff", "\udc80\ud83d"])
def test_lone_surrogates_are_refused(tokenizer: Tokenizer, text: str) -> None:
    assert error_of(lambda: tokenizer.encode(text)).code == "EVL-TEXT-UNICODE"
    assert error_of(lambda: ids_with_control(tokenizer, text)).code == "EVL-TEXT-UNICODE"


@pytest.mark.parametrize(
    "text",
    [
        "\u0301" * 10**6,
        "\x00" * 10**6,
        " " * 10**6 + "x",
        "\n" * 10**6,
        "a" * 10**6,
        EOS[:-1] * 50_000,
        EOS * 50_000,
    ],
    ids=["combining", "nul", "spaces", "lines", "letters", "nearly-control", "control"],
)
def test_a_million_odd_characters_take_bounded_time(tokenizer: Tokenizer, text: str) -> None:
    start = time.process_time()
    ids = tokenizer.encode(text)
    tokenizer.split_control(text)
    assert time.process_time() - start < 20  # about 3 s here; quadratic work would take hours
    assert tokenizer.decode(ids) == text


def test_truncation_and_padding_of_the_file_are_ignored(tmp_path: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["truncation"] = {
            "direction": "Right",
            "max_length": 4,
            "strategy": "LongestFirst",
            "stride": 0,
        }
        content["padding"] = {
            "strategy": {"Fixed": 32},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "!",
        }

    tokenizer = Tokenizer.open(save_tokenizer(tmp_path / "tokenizer.json", edit=edit))
    assert tokenizer.decode(tokenizer.encode("What does the sign say?")) == "What does the sign say?"


def test_a_post_processor_that_adds_bos_is_not_used(tmp_path: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        special = {"SpecialToken": {"id": BOS, "type_id": 0}}
        tokens = {BOS: {"id": BOS, "ids": [content["added_tokens"][0]["id"]], "tokens": [BOS]}}
        single = [special, {"Sequence": {"id": "A", "type_id": 0}}]
        content["post_processor"] = {
            "type": "TemplateProcessing",
            "single": single,
            "pair": [*single, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": tokens,
        }

    tokenizer = Tokenizer.open(save_tokenizer(tmp_path / "tokenizer.json", edit=edit))
    assert tokenizer.id_of(BOS) not in ids_with_control(tokenizer, "hi")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    error = error_of(lambda: Tokenizer.open(tmp_path / "tokenizer.json"))
    assert (error.code, error.exit_status) == ("EVL-TOKENIZER-MISSING", 2)


def test_a_folder_in_the_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    assert error_of(lambda: Tokenizer.open(tmp_path)).code == "EVL-TOKENIZER-MISSING"


def test_an_oversized_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with path.open("wb") as file:
        file.truncate(FILE_LIMIT_BYTES + 1)
    assert error_of(lambda: Tokenizer.open(path)).code == "EVL-TOKENIZER-SIZE"


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b"\xff\xfe", b'{"a":' * 50_000, b"\x00" * 10], ids=repr
)
def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    assert error_of(lambda: Tokenizer.open(path)).code == "EVL-TOKENIZER-INVALID"


def test_a_panic_inside_the_library_is_an_unusable_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        pass

    monkeypatch.setattr(tokenizers, "Tokenizer", FailingCore(PanicException("index out of bounds")))
    assert error_of(lambda: Tokenizer.open(path)).code == "EVL-TOKENIZER-INVALID"


def test_an_interrupt_while_reading_is_not_taken_for_a_bad_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizers, "Tokenizer", FailingCore(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        Tokenizer.open(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_file_cut_short_is_refused(tmp_path: Path, path: Path, share: float) -> None:
    data = path.read_bytes()
    cut = tmp_path / "tokenizer.json"
    cut.write_bytes(data[: int(len(data) * share)])
    assert error_of(lambda: Tokenizer.open(cut)).code == "EVL-TOKENIZER-INVALID"


def test_a_tokenizer_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    Core(models.WordLevel({"a": 0, "b": 1}, unk_token="a")).save(str(path))
    error = error_of(lambda: Tokenizer.open(path))
    assert error.code == "EVL-TOKENIZER-KIND"
    assert "WordLevel" in error.why


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("decoder", None),
        ("pre_tokenizer", None),
        ("normalizer", {"type": "Lowercase"}),
    ],
)
def test_a_tokenizer_that_does_not_give_text_back_is_refused(tmp_path: Path, key: str, value: object) -> None:
    def edit(content: dict[str, Any]) -> None:
        content[key] = value

    path = save_tokenizer(tmp_path / "tokenizer.json", edit=edit)
    assert error_of(lambda: Tokenizer.open(path)).code == "EVL-TOKENIZER-KIND"


def test_a_tokenizer_with_dropout_is_refused(tmp_path: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["model"]["dropout"] = 0.1

    path = save_tokenizer(tmp_path / "tokenizer.json", edit=edit)
    assert error_of(lambda: Tokenizer.open(path)).code == "EVL-TOKENIZER-KIND"


def test_a_control_token_that_ordinary_merges_spell_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    core = core_like_deepseek()
    core.add_special_tokens(["User"])  # also a merge of the vocabulary
    core.save(str(path))
    assert error_of(lambda: Tokenizer.open(path)).code == "EVL-TOKENIZER-CONTROL"


def test_text_that_the_vocabulary_cannot_spell_is_refused_rather_than_lost(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core_like_deepseek(alphabet=sorted(symbol for symbol in alphabet if symbol not in "ðŁ")).save(str(path))
    tokenizer = Tokenizer.open(path)
    assert tokenizer.decode(tokenizer.encode("中文 plain")) == "中文 plain"
    assert error_of(lambda: tokenizer.encode("🙂")).code == "EVL-TEXT-UNSPELLABLE"
