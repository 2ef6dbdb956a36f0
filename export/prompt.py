"""DeepSeek-VL's conversation format, with the token ids of the checkpoint's own tokenizer."""

from __future__ import annotations

from typing import Literal

from tokenizers import Tokenizer

from edge_runtime.errors import EdgeVLError
from edge_runtime.spec import PromptSpec
from export.checkpoint import Checkpoint
from export.layouts.layout import refusing_bad_values
from export.section import Section

SYSTEM = (
    "You are a helpful language and vision assistant. You are able to understand the visual content that "
    "the user provides, and assist the user with a variety of tasks using natural language."
)
BEGIN = "<｜begin▁of▁sentence｜>"
END = "<｜end▁of▁sentence｜>"
IMAGE = "<image_placeholder>"


def prompt_from_checkpoint(checkpoint: Checkpoint, image_id: int | None, vocab: int) -> PromptSpec:
    """`image_id` is what config.json claims; `vocab` is how many rows the embedding table has."""
    tokenizer = tokenizer_from_text(checkpoint.tokenizer_text())
    check_fits(tokenizer, vocab)
    settings = checkpoint.document("tokenizer_config.json")
    processor = checkpoint.document("processor_config.json")
    check_settings(settings, processor)
    mark = processor.text("image_tag", IMAGE)
    bos_id = special_id(tokenizer, checkpoint, settings, "bos", BEGIN)
    eos_id = special_id(tokenizer, checkpoint, settings, "eos", END)
    end = tokenizer.id_to_token(eos_id)
    assert end is not None, "special_id gives ids that the tokenizer has"
    with refusing_bad_values():
        return PromptSpec(
            system=SYSTEM,
            user="User",
            assistant="Assistant",
            separator="\n\n",
            end=end,
            stop_strings=("User:", end),
            image_mark=mark,
            image_id=image_token_id(tokenizer, mark, image_id, vocab),
            bos_id=bos_id,
            eos_id=eos_id,
        )


def tokenizer_from_text(text: str) -> Tokenizer:
    try:
        return Tokenizer.from_str(text)
    except Exception as error:  # the library raises plain Exception for whatever it cannot read
        raise unfit("tokenizer.json is not a tokenizer", str(error)) from error


def check_settings(settings: Section, processor: Section) -> None:
    """What the files may say about the prompt's form must be what edge-vl writes."""
    settings.choice("add_bos_token", (True,), True)
    processor.choice("add_special_token", (False,), False)
    processor.choice("sft_format", ("deepseek",), "deepseek")


def check_fits(tokenizer: Tokenizer, vocab: int) -> None:
    highest = highest_id(tokenizer)
    if highest >= vocab:
        why = f"it makes ids up to {highest}, the embedding table has {vocab} rows"
        raise unfit("the tokenizer does not fit the model", why)


def highest_id(tokenizer: Tokenizer) -> int:
    return max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)


def special_id(
    tokenizer: Tokenizer, checkpoint: Checkpoint, settings: Section, kind: Literal["bos", "eos"], usual: str
) -> int:
    """The token that tokenizer_config.json names, or the published one, or the id that the configs give."""
    named = token_text(settings, f"{kind}_token")
    token_id = tokenizer.token_to_id(named or usual)
    if token_id is None and named is not None:
        why = f"tokenizer_config.json names {named!r:.60}, tokenizer.json lacks it"
        raise unfit(f"the tokenizer has no {kind} token", why)
    if token_id is None:
        token_id = configured_id(checkpoint, f"{kind}_token_id")
    if token_id is None or tokenizer.id_to_token(token_id) is None:
        why = f"no file names one that tokenizer.json has, and {usual} is not there"
        raise unfit(f"the tokenizer has no {kind} token", why)
    check_generation(checkpoint, f"{kind}_token_id", token_id)
    return token_id


def configured_id(checkpoint: Checkpoint, key: str) -> int | None:
    """The first id that any config states; text_config's is last, since it often holds LLaMA's default."""
    config = checkpoint.config
    sections = (
        checkpoint.document("generation_config.json"),
        config,
        config.section("language_config"),
        config.section("text_config"),
    )
    return next((section.integer(key, lowest=0) for section in sections if section.has(key)), None)


def check_generation(checkpoint: Checkpoint, key: str, token_id: int) -> None:
    """What generation_config.json states must agree, unless transformers copied class defaults into it."""
    generation = checkpoint.document("generation_config.json")
    stated = generation.values.get(key)
    if stated is None or generation.values.get("_from_model_config") is True:
        return
    if token_id not in (stated if isinstance(stated, list) else [stated]):
        why = f"{key} is {stated!r:.60} there and {token_id} in the tokenizer"
        raise unfit("tokenizer and generation_config.json disagree", why)


def token_text(settings: Section, key: str) -> str | None:
    """A token is written as a text or as an object with its `content`."""
    if not settings.has(key):
        return None
    if isinstance(settings.values[key], dict):
        return settings.section(key).text("content")
    return settings.text(key)


def image_token_id(tokenizer: Tokenizer, mark: str, configured: int | None, vocab: int) -> int:
    token_id = tokenizer.token_to_id(mark)
    if token_id is None:
        return added_image_id(tokenizer, mark, configured, vocab)
    if configured is not None and configured != token_id:
        why = f"config.json says {configured}, tokenizer.json has {mark:.60} as {token_id}"
        raise unfit("the image token is ambiguous", why)
    return token_id


def added_image_id(tokenizer: Tokenizer, mark: str, configured: int | None, vocab: int) -> int:
    """The id of a mark that is not in tokenizer.json: the original's processor adds it after the last token."""
    token_id = highest_id(tokenizer) + 1 if configured is None else configured
    holder = tokenizer.id_to_token(token_id)
    lack = f"tokenizer.json lacks {mark:.60}, and its id {token_id}"
    if holder is not None:
        raise unfit("the tokenizer has no image token", f"{lack} is taken by {holder!r:.60}")
    if token_id >= vocab:
        raise unfit(
            "the tokenizer has no image token", f"{lack} is beyond the embedding table's {vocab} rows"
        )
    return token_id


def unfit(what: str, why: str) -> EdgeVLError:
    fix = "use the tokenizer files that were published with these weights"
    return EdgeVLError("EVL-CHECKPOINT-TOKENIZER", what, why, fix)
