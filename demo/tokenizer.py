"""The demo model's tokenizer: codes, numbers and boxes symbol by symbol, ordinary words whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from tokenizers import Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.trainers import BpeTrainer

from export.prompt import BEGIN, END, IMAGE, SYSTEM

# What no merge may cross. Spelling symbol by symbol is what lets a small model copy what it reads.
PIECES = "|".join(
    (
        r" ?(?:You|User|Assistant)(?![a-z])",  # the prompt's own capitalised words
        r"[A-Z0-9.,:$/\-\[\]()]",
        r" ?[a-z]+",
        r"\p{Han}",  # one token a character, whatever stands beside it
        r"\n+",  # between turns, so that no mark of a question merges with it
        r"\s",
    )
)
PROMPT = f"{SYSTEM}\n\nUser: what\n\nAssistant: yes"
PROMPT_SHARE = 4  # one prompt for so many lines of the corpus: every word of it becomes whole
SPECIAL_TOKENS = (BEGIN, END, IMAGE)  # the last ids, in this order
PROPERTIES = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
MODEL_MAX_LENGTH = 4096

# As edge_runtime.prompt writes a conversation: no space and no separator for an empty turn; an image
# where its item stands, texts stripped as a whole.
CHAT_TEMPLATE = (
    "{%- set turns = messages -%}"
    "{%- set system = SYSTEM_TEXT -%}"
    "{%- if messages[0]['role'] == 'system' -%}"
    "{%- set turns = messages[1:] -%}"
    "{%- set content = messages[0]['content'] -%}"
    "{%- set system = content if content is string else content | map(attribute='text') | join -%}"
    "{%- endif -%}"
    "{{- bos_token -}}"
    "{%- if system -%}{{- (system + '\n\n').lstrip() -}}{%- endif -%}"
    "{%- for turn in turns -%}"
    "{%- set parts = [turn['content']] if turn['content'] is string else turn['content'] -%}"
    "{%- set said = namespace(text='') -%}"
    "{%- for part in parts -%}"
    "{%- if part is string -%}{%- set said.text = said.text + part -%}"
    "{%- elif part['type'] == 'image' -%}{%- set said.text = said.text + IMAGE_MARK -%}"
    "{%- else -%}{%- set said.text = said.text + part['text'] -%}{%- endif -%}"
    "{%- endfor -%}"
    "{%- set text = said.text | trim -%}"
    "{%- if turn['role'] == 'user' -%}"
    "{{- 'User:' -}}{%- if text -%}{{- ' ' + text + '\n\n' -}}{%- endif -%}"
    "{%- elif turn['role'] == 'assistant' -%}"
    "{{- 'Assistant:' -}}{%- if text -%}{{- ' ' + text + eos_token -}}{%- endif -%}"
    "{%- else -%}"
    "{{- raise_exception('a message is from neither the user nor the assistant') -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- 'Assistant:' -}}{%- endif -%}"
)


def tokenizer_json_from_corpus(lines: Iterable[str], size: int) -> str:
    """The text of a tokenizer.json whose ids end at `size`, the special ones last.

    The same lines give the same text. Ids between the last merge and the special ones stay empty
    where the lines have too little to merge.
    """
    assert size >= 256 + len(SPECIAL_TOKENS), "no room for the 256 bytes"
    spelling = ByteLevel(add_prefix_space=False, use_regex=False)
    core = Tokenizer(BPE())
    core.pre_tokenizer = Sequence([Split(Regex(PIECES), "isolated"), spelling])
    trainer = BpeTrainer(
        vocab_size=size - len(SPECIAL_TOKENS),
        min_frequency=2,
        show_progress=False,
        initial_alphabet=ByteLevel.alphabet(),
    )
    core.train_from_iterator(with_prompts(lines), trainer)
    return document_from_trained(json.loads(core.to_str()), size)


def with_prompts(lines: Iterable[str]) -> Iterator[str]:
    """Each line as a turn's beginning, after an image and after a role's colon, and the prompt in between."""
    for index, line in enumerate(lines):
        yield line
        yield " " + line
        if index % PROMPT_SHARE == 0:
            yield PROMPT


def document_from_trained(trained: Mapping[str, dict[str, object]], size: int) -> str:
    special = {content: size - len(SPECIAL_TOKENS) + index for index, content in enumerate(SPECIAL_TOKENS)}
    vocab = trained["model"]["vocab"]
    assert isinstance(vocab, dict)
    document = {
        "version": "1.0",
        "added_tokens": [{"id": id_, "content": content, **PROPERTIES} for content, id_ in special.items()],
        "normalizer": None,
        "pre_tokenizer": trained["pre_tokenizer"],
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        "model": {"type": "BPE", "vocab": vocab | special, "merges": trained["model"]["merges"]},
    }
    return json.dumps(document, ensure_ascii=False, indent=1)


def tokenizer_files(tokenizer_json: str, image_tokens: int) -> dict[str, str]:
    """Every text file of a checkpoint folder but config.json and preprocessor_config.json, by name.

    `image_tokens` is how many rows of the decoder's input one picture takes.
    """
    assert image_tokens > 0
    processor = {"processor_class": "DeepseekVLHybridProcessor", "num_image_tokens": image_tokens}
    return {
        "tokenizer.json": tokenizer_json,
        "tokenizer_config.json": json.dumps(tokenizer_config(), ensure_ascii=False, indent=2),
        "processor_config.json": json.dumps(processor, indent=2),
        "chat_template.jinja": chat_template(),
    }


def tokenizer_config() -> dict[str, object]:
    """With `extra_special_tokens`, transformers' processor knows which token is the image's."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BEGIN,
        "eos_token": END,
        "pad_token": END,
        "extra_special_tokens": {"image_token": IMAGE},
        "clean_up_tokenization_spaces": False,
        "model_max_length": MODEL_MAX_LENGTH,
    }


def chat_template() -> str:
    """The conversation format as a Jinja template; nothing in it is specific to one tokenizer."""
    return CHAT_TEMPLATE.replace("SYSTEM_TEXT", json.dumps(SYSTEM)).replace("IMAGE_MARK", json.dumps(IMAGE))
