"""A key for everything but what says whether the server is up, and the page that a key is typed into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from edge_runtime.server.listener.keys import Keys, KeyScope
from edge_runtime.server.listener.refusal import Refusal, Refuser, header_values

NO_KEY = Refusal(
    401,
    "invalid_api_key",
    "this server wants an API key and got none that it knows: send it as Authorization: Bearer KEY",
    "authentication_error",
    ((b"www-authenticate", b"Bearer"),),
)
OTHER_SCOPE = Refusal(
    403,
    "insufficient_scope",
    "this API key may not do this: use one whose scopes cover it",
    "permission_error",
    ((b"www-authenticate", b'Bearer error="insufficient_scope"'),),
)


@dataclass(frozen=True)
class Access:
    """What is open to all, and which keys open the rest. Open paths are read only, and are compared as they are routed."""

    open_paths: Sequence[str] = ("/health/live", "/health/ready", "/")
    open_folders: Sequence[str] = ("/page/",)  # the page's files: they hold no secret
    # The first that a path starts with decides. Watching a server needs less than using it.
    scopes: Sequence[tuple[str, frozenset[KeyScope]]] = (
        ("/metrics", frozenset({"metrics"})),
        ("/health", frozenset({"infer", "metrics"})),
        ("/admin", frozenset({"admin"})),
    )
    other_scopes: frozenset[KeyScope] = frozenset({"infer"})

    def is_open(self, method: str, path: str) -> bool:
        if method not in ("GET", "HEAD"):
            return False
        steps = path.split("/")[1:]
        is_plain = not any(step in ("", ".", "..") for step in steps)
        in_folder = any(path.startswith(folder) for folder in self.open_folders)
        return path in self.open_paths or (in_folder and is_plain)

    def opened_by(self, path: str) -> frozenset[KeyScope]:
        """Any one of these."""
        for start, scopes in self.scopes:
            if path == start or path.startswith(f"{start}/"):
                return scopes
        return self.other_scopes


def authorised(app: ASGIApp, keys: Keys | None, access: Access, refuse: Refuser) -> ASGIApp:
    """`scope["state"]["client"]` is the key's name, or the peer's address where no key was asked for."""

    async def checking(scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.setdefault("state", {})
        state["client"] = scope["client"][0] if scope.get("client") else "local"
        if keys is None or access.is_open(scope["method"], scope["path"]):
            await app(scope, receive, send)
            return
        given = header_values(scope, b"authorization")
        holder = keys.holder_of(given[0].decode("latin-1")) if len(given) == 1 else None
        if holder is None:
            await refuse(NO_KEY, scope, receive, send)
        elif not holder.scopes & access.opened_by(scope["path"]):
            await refuse(OTHER_SCOPE, scope, receive, send)
        else:
            state["client"] = holder.name
            await app(scope, receive, send)

    return checking
