"""Headers that keep a browser from guessing, framing or keeping what it was sent."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_runtime.server.listener.refusal import SAFE_HEADERS


def shielded(app: ASGIApp) -> ASGIApp:
    """The app's own headers win: the page has its own content security policy, its files may be kept."""

    async def shielding(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", ()))
                names = {name.lower() for name, _ in own}
                added = [each for each in SAFE_HEADERS if each[0] not in names]
                message = {**message, "headers": [*own, *added]}
            await send(message)

        await app(scope, receive, sending)

    return shielding
