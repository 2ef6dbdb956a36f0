"""From a conversation to the token sequence the model was trained on, with places for images."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

from edge_runtime.errors import EdgeVLError
from edge_runtime.spec import PromptSpec
from edge_runtime.tokenizer import Tokenizer, check_unicode

RAW_IMAGE_MARK = "<image>"  # the public mark of raw prompts, whatever the model calls its own
COLON = ":"  # after a role; one space follows where the turn has content


@dataclass(frozen=True)
class ImageRef:
    """A picture by the hash of its content; pixels and embeddings live elsewhere."""

    digest: bytes


@dataclass(frozen=True)
class Turn:
    """One message. Only users show images. The model's own image mark in a user's text says where they stand, unless the
    text is a stranger's (`has_marks` False)."""

    role: Literal["user", "assistant"]
    text: str
    images: tuple[ImageRef, ...] = ()
    has_marks: bool = True

    def __post_init__(self) -> None:
        if self.role not in ("user", "assistant"):
            raise roles_error(f"got the role {self.role!r}, wanted user or assistant")
        if not isinstance(self.text, str):
            raise roles_error(f"got {type(self.text).__name__} as a message, wanted text")
        if self.role == "assistant" and self.images:
            raise roles_error("an assistant message has images, only user messages may")


@dataclass(frozen=True)
class Place:
    """A piece of a prompt that one image's rows take."""


Piece = str | int | Place  # plain text, control id, image


@dataclass(frozen=True)
class PromptTokens:
    """The whole prompt: text ids, and for each image a run of `image_tokens` image ids."""

    ids: tuple[int, ...]
    image_spans: tuple[tuple[int, int], ...]  # (first position, image index), in order
    image_tokens: int

    def __post_init__(self) -> None:
        end = 0
        for start, _ in self.image_spans:
            assert start >= end, "image spans overlap"
            end = start + self.image_tokens
        assert end <= len(self.ids), "an image span leaves the prompt"

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def image_token_count(self) -> int:
        return len(self.image_spans) * self.image_tokens

    def keys(self, image_hashes: Sequence[bytes]) -> tuple[Hashable, ...]:
        """What decides each position's KV: the id of text, (hash, row) of an image's rows.

        `image_hashes` are those of all the prompt's images, in order.
        """
        assert len(image_hashes) == len(self.image_spans), "one hash per image"
        keys: list[Hashable] = list(self.ids)
        for start, image in self.image_spans:
            rows = [(image_hashes[image], row) for row in range(self.image_tokens)]
            keys[start : start + self.image_tokens] = rows
        return tuple(keys)


@dataclass(frozen=True)
class PromptFormat:
    """A model's way of writing prompts. `image_tokens` is how many rows one image takes."""

    tokenizer: Tokenizer
    spec: PromptSpec
    image_tokens: int

    def __post_init__(self) -> None:
        assert self.image_tokens > 0
        found = self.tokenizer.id_of(self.spec.image_mark)
        if found not in (None, self.spec.image_id):
            raise EdgeVLError(
                "EVL-PROMPT-TOKENS",
                "the tokenizer and the model disagree about the image token",
                f"{self.spec.image_mark} is {found} in the tokenizer and {self.spec.image_id} in the model",
                "use the tokenizer.json that belongs to this model",
            )

    def chat_prompt_tokens(self, turns: Sequence[Turn], system: str | None = None) -> PromptTokens:
        """The conversation up to and including the cue for the assistant's next answer.

        `system` None takes the model's own text; an empty one leaves system text and its separator
        out. Texts are stripped. A user turn's images stand before its text with nothing between,
        or where the text has the model's own image mark. Control tokens in texts are plain text.
        """
        check_roles(turns)
        system = self.spec.system if system is None else system
        check_text("the system text", system)
        for number, turn in enumerate(turns, start=1):  # a place in all of them joined would help nobody
            check_text(f"message {number}", turn.text)
        opening = (system + self.spec.separator).lstrip() if system else ""
        pieces: list[Piece] = [self.spec.bos_id, opening]
        for turn in turns:
            pieces += self.pieces_of(turn)
        pieces += self.trusted(self.spec.assistant + COLON)
        return self.assembled(pieces)

    def raw_prompt_tokens(self, text: str, images: Sequence[ImageRef] = ()) -> PromptTokens:
        """BOS, then the text as it stands: control tokens in it count, and `<image>` or the model's
        own mark stands for each image in turn.
        """
        check_text("the prompt", text)
        marks = sorted({RAW_IMAGE_MARK, self.spec.image_mark}, key=len, reverse=True)
        parts = re.split("|".join(map(re.escape, marks)), text)
        check_image_count(len(parts) - 1, len(images))
        pieces: list[Piece] = [self.spec.bos_id]
        for index, part in enumerate(parts):
            pieces += [*([Place()] if index else []), *self.trusted(part)]
        return self.assembled(pieces)

    def pieces_of(self, turn: Turn) -> list[Piece]:
        is_user = turn.role == "user"
        role, ending = (
            (self.spec.user, self.spec.separator) if is_user else (self.spec.assistant, self.spec.end)
        )
        content = self.user_content(turn) if is_user else [turn.text.strip()]
        if content in ([], [""]):  # the original writes an empty turn without space and separator
            return self.trusted(role + COLON)
        return [*self.trusted(role + COLON + " "), *content, *self.trusted(ending)]

    def user_content(self, turn: Turn) -> list[Piece]:
        parts = turn.text.split(self.spec.image_mark) if turn.has_marks else [turn.text]
        marks = len(parts) - 1
        if marks:
            check_image_count(marks, len(turn.images))
        else:
            parts = [*[""] * len(turn.images), turn.text]
        # The marks belong to the content: only what lies outside of them is stripped.
        parts[0] = parts[0].lstrip()
        parts[-1] = parts[-1].rstrip()
        pieces: list[Piece] = [parts[0]]
        for part in parts[1:]:
            pieces += [Place(), part]
        return pieces

    def trusted(self, text: str) -> list[Piece]:
        """Text from the model's files, or raw: its control tokens are meant."""
        return list(self.tokenizer.split_control(text))

    def assembled(self, pieces: Sequence[Piece]) -> PromptTokens:
        """Ids of the pieces; neighbouring texts become one, for merges cross the seams."""
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        for piece in merged(pieces):
            if isinstance(piece, str):
                ids += self.tokenizer.encode(piece)
            elif isinstance(piece, int):
                ids.append(piece)
            else:
                spans.append((len(ids), len(spans)))
                ids += [self.spec.image_id] * self.image_tokens
        return PromptTokens(tuple(ids), tuple(spans), self.image_tokens)


def merged(pieces: Sequence[Piece]) -> list[Piece]:
    """The same pieces without empty texts, and with every run of texts joined to one."""
    result: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and result and isinstance(result[-1], str):
            result[-1] += piece
        elif piece != "":
            result.append(piece)
    return result


def check_roles(turns: Sequence[Turn]) -> None:
    if not turns:
        raise roles_error("there are no messages")
    for index, turn in enumerate(turns):
        wanted = "assistant" if index % 2 else "user"
        if turn.role != wanted:
            raise roles_error(f"message {index + 1} is from the {turn.role}, wanted the {wanted}")
    if turns[-1].role != "user":
        raise roles_error("the last message is from the assistant, wanted the user")


def check_text(name: str, text: object) -> None:
    if not isinstance(text, str):
        fix = "give it as a text"
        raise EdgeVLError(
            "EVL-PROMPT-ROLES", f"{name} is no text", f"got {type(text).__name__}, wanted text", fix
        )
    check_unicode(text, name)


def check_image_count(marks: int, images: int) -> None:
    if marks != images:
        raise EdgeVLError(
            "EVL-PROMPT-IMAGES",
            "image marks and images do not match",
            f"got {marks} marks and {images} images",
            "give one image for every mark, in the order of the marks",
        )


def check_fits(prompt: PromptTokens, max_new: int, max_context: int) -> None:
    """Raise EVL-CONTEXT-OVERFLOW unless the prompt and `max_new` more tokens fit the context."""
    needed = len(prompt) + max_new
    if needed > max_context:
        raise EdgeVLError(
            "EVL-CONTEXT-OVERFLOW",
            "the conversation does not fit the context",
            f"it needs {needed} tokens ({len(prompt)} of the prompt, {prompt.image_token_count} of these"
            f" for images, and {max_new} for the answer), the context holds {max_context}",
            "shorten the conversation, show fewer images, ask for fewer tokens or raise --max-context",
        )


def common_prefix(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """How many leading keys are the same."""
    for index, (left, right) in enumerate(zip(a, b, strict=False)):
        if left != right:
            return index
    return min(len(a), len(b))


def roles_error(why: str) -> EdgeVLError:
    return EdgeVLError(
        "EVL-PROMPT-ROLES",
        "the messages are not a conversation this model knows",
        why,
        "start with a user message, alternate user and assistant, and end with a user message",
    )
