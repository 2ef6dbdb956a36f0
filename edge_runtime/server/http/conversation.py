"""Messages as the engine knows them: a system text, turns that alternate, and the images they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NoReturn

from edge_runtime.server.asked import AskedTurn, Prompt
from edge_runtime.server.http.chat_form import (
    AssistantMessage,
    ImagePart,
    RefusalPart,
    SystemMessage,
    TextPart,
    UserMessage,
)
from edge_runtime.server.http.errors import RequestError

Said = SystemMessage | UserMessage | AssistantMessage
Part = TextPart | RefusalPart | ImagePart


@dataclass(frozen=True)
class Conversation:
    """`urls` are those of the images, in the order of their places."""

    prompt: Prompt
    urls: tuple[str, ...]


def conversation_of(messages: Sequence[Said]) -> Conversation:
    """Raises RequestError where the model was never trained on such a conversation."""
    first, rest = messages[0], messages[1:]
    system = text_of(first.content) if isinstance(first, SystemMessage) else None
    spoken = rest if isinstance(first, SystemMessage) else messages
    turns: list[AskedTurn] = []
    for message in spoken:
        if isinstance(message, SystemMessage):
            refuse("a system message stands behind others", "put one system message first")
        turn = turn_of(message)
        if turns and turns[-1].role == turn.role:
            turns[-1] = joined(turns[-1], turn)
        else:
            turns.append(turn)
    check_order(turns)
    urls = [url for message in spoken for url in urls_of(message)]
    return Conversation(Prompt(turns=tuple(turns), system=system), tuple(urls))


def turn_of(message: UserMessage | AssistantMessage) -> AskedTurn:
    role: Literal["user", "assistant"] = message.role
    text = text_of(message.content)
    if isinstance(message, AssistantMessage) and message.content is None:
        text = message.refusal or ""
    return AskedTurn(role, text, len(urls_of(message)))


def joined(before: AskedTurn, turn: AskedTurn) -> AskedTurn:
    texts = [text for text in (before.text, turn.text) if text]
    return replace(before, text="\n".join(texts), images=before.images + turn.images)


def text_of(content: str | Sequence[Part] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    texts = [
        part.text if isinstance(part, TextPart) else part.refusal
        for part in content
        if not isinstance(part, ImagePart)
    ]
    return "\n".join(texts)


def urls_of(message: Said) -> list[str]:
    if not isinstance(message, UserMessage) or isinstance(message.content, str):
        return []
    return [part.image_url.url for part in message.content if isinstance(part, ImagePart)]


def check_order(turns: Sequence[AskedTurn]) -> None:
    if not turns:
        refuse("there is only a system message", "add a user message")
    if turns[0].role != "user":
        refuse("the first message is the assistant's", "let the user begin")
    if turns[-1].role != "user":
        refuse(
            "the last message is the assistant's, and an answer cannot be taken up in its middle",
            "end with a user message",
        )


def refuse(why: str, fix: str) -> NoReturn:
    what = "the messages are not a conversation this model knows"
    raise RequestError("EVL-PROMPT-ROLES", what, why, fix, param="messages")
