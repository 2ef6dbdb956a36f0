"""The guards around an app, in their order."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from edge_runtime.server.listener.authorised import Access, authorised
from edge_runtime.server.listener.body import BoundedBody
from edge_runtime.server.listener.crowd import Crowd, only_with_room
from edge_runtime.server.listener.hosts import only_own_hosts
from edge_runtime.server.listener.keys import Keys
from edge_runtime.server.listener.origins import only_own_origins
from edge_runtime.server.listener.refusal import Refuser
from edge_runtime.server.listener.request_id import named
from edge_runtime.server.listener.rules import GuardRules
from edge_runtime.server.listener.shielded import shielded


def guarded(
    app: ASGIApp,
    rules: GuardRules,
    keys: Keys | None,
    on_rejected: Callable[[str], None],
    access: Access | None = None,
    crowd: Crowd | None = None,
) -> ASGIApp:
    """Outermost first: request id and safe headers, hosts, origins, keys, room, body. `on_rejected` is told the code of every refusal.
    A refusal costs little where it comes early: no body is read for a stranger."""
    refuse = Refuser(on_rejected, rules.linger_s)
    bounded = BoundedBody(app, rules, refuse)
    roomy = bounded if crowd is None else only_with_room(bounded, crowd, refuse)
    known = authorised(roomy, keys, access or Access(), refuse)
    same = only_own_origins(known, rules.cors_origins, refuse)
    inner = named(shielded(only_own_hosts(same, rules.hosts, refuse)))

    async def guarding(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await inner(scope, receive, send)
        elif scope["type"] == "lifespan":
            await app(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    return guarding
