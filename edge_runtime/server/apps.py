"""Applications made of applications."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from edge_runtime.server.listener.refusal import SAFE_HEADERS, Refusal

HEALTH_PATHS = ("/health", "/health/live", "/health/ready")
NOTHING_ELSE = Refusal(404, "not_found", "only health is told here: ask the server's own address")


class Changing:
    """Each request goes to what `app` is when it comes."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def only_health(app: ASGIApp) -> ASGIApp:
    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in HEALTH_PATHS:
            await app(scope, receive, send)
            return
        headers = [*NOTHING_ELSE.all_headers, *SAFE_HEADERS]
        await send({"type": "http.response.start", "status": NOTHING_ELSE.status, "headers": headers})
        await send({"type": "http.response.body", "body": NOTHING_ELSE.body})

    return answering
