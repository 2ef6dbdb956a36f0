"""The web page: a handful of files from the package, and what the page is set to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from typing import Final

from fastapi import APIRouter, Request, Response

from edge_runtime.server.http.errors import fault_of_status
from edge_runtime.server.kiosk import Kiosk

INDEX: Final = "index.html"
SETTINGS: Final = "settings.json"
SCRIPTS: Final = (
    "api",
    "boxes",
    "camera",
    "conversation",
    "cost",
    "element",
    "health",
    "idle",
    "kiosk",
    "look",
    "main",
    "picture",
    "speaker",
    "sse",
    "talk",
    "turn",
)
KINDS: Final[Mapping[str, str]] = {
    INDEX: "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    **{f"{name}.js": "text/javascript; charset=utf-8" for name in SCRIPTS},
}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    # What a model says can then not become markup even by a mistake of ours: the browser refuses to parse text.
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), display-capture=(), usb=(), payment=()",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def page_router(kiosk: Kiosk | None) -> APIRouter:
    """GET `/` and the files it is made of. They hold nothing secret: a browser cannot bring a key for them."""
    router = APIRouter(include_in_schema=False)
    files = _files(kiosk)

    @router.api_route("/", methods=["GET", "HEAD"])
    async def index(request: Request) -> Response:
        return _answer(request, INDEX, files[INDEX])

    @router.api_route("/page/{name}", methods=["GET", "HEAD"])
    async def file(request: Request, name: str) -> Response:
        if name not in files:
            return Response(fault_of_status(404).data, 404, dict(HEADERS), media_type="application/json")
        return _answer(request, name, files[name])

    return router


def _files(kiosk: Kiosk | None) -> dict[str, bytes]:
    folder = resources.files("edge_runtime.server") / "page"
    files = {name: (folder / name).read_bytes() for name in KINDS}
    settings: dict[str, object] = {"kiosk": False} if kiosk is None else kiosk.settings()
    files[SETTINGS] = json.dumps(settings, ensure_ascii=False).encode()
    return files


def _answer(request: Request, name: str, data: bytes) -> Response:
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = {**HEADERS, "ETag": tag}
    if request.headers.get("If-None-Match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=KINDS.get(name, "application/json"), headers=headers)
