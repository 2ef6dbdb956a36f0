"""uvicorn, set up as a listener of ours."""

from __future__ import annotations

import math
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from edge_runtime.server.listener.crowd import Crowd
from edge_runtime.server.listener.deadlines import protocol_class
from edge_runtime.server.listener.rules import GuardRules


def config_of(
    app: ASGIApp, rules: GuardRules, on_rejected: Callable[[str], None], crowd: Crowd | None = None
) -> uvicorn.Config:
    """For `uvicorn.Server(config).serve(sockets=[...])`. Logging is left as it is. Nobody is believed about another's address:
    a header that says so can be written by anyone."""
    return uvicorn.Config(
        app,
        http=protocol_class(rules, on_rejected, crowd),
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=math.ceil(rules.idle_s),
        h11_max_incomplete_event_size=rules.max_header_bytes,
    )
