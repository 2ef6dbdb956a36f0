"""What every answer says of itself."""

from __future__ import annotations

import uuid

from starlette.requests import Request

from edge_runtime.server.engine import EngineFacts
from edge_runtime.server.http.telling import Told


def head_of(request: Request, prefix: str, facts: EngineFacts, now_s: float) -> Told:
    """Its id is the request's own, where it has one."""
    return {
        "id": f"{prefix}-{state_of(request, 'request_id') or uuid.uuid4().hex}",
        "created": int(now_s),
        "model": facts.model,
        "system_fingerprint": f"evl-{facts.bundle_hash[:12]}",
    }


def client_of(request: Request) -> str:
    """Who is given a fair share."""
    return state_of(request, "client")


def state_of(request: Request, name: str) -> str:
    """What the listener noted of the request."""
    return str(request.scope.get("state", {}).get(name) or "")
