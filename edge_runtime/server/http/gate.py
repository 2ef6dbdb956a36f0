"""What every question passes before it is one: the server is there, and has the model that is asked for."""

from __future__ import annotations

from edge_runtime.errors import MachineFault
from edge_runtime.server.engine import Engine, EngineFacts
from edge_runtime.server.http.body import Document
from edge_runtime.server.http.errors import RequestError


def facts_of(engine: Engine) -> EngineFacts:
    """Raises MachineFault while no worker was ever ready."""
    if (facts := engine.facts) is None:
        what, why = "the engine is not there", engine.health.why or "it is starting"
        raise MachineFault("EVL-ENGINE-RESTARTING", what, why, "ask again later")
    return facts


def checked_gate(engine: Engine, document: Document) -> EngineFacts:
    """Raises RequestError 404 for another model. While the server is about to end questions are answered as ever: whoever
    looks at /health/ready has time to ask elsewhere."""
    facts = facts_of(engine)
    wanted = document.get("model")
    if isinstance(wanted, str) and wanted != facts.model:
        raise unknown_model(facts)
    return facts


def unknown_model(facts: EngineFacts) -> RequestError:
    what, why = "there is no such model here", f"this server has {facts.model!r} and no other"
    return RequestError(
        "EVL-REQUEST-MODEL",
        what,
        why,
        "send that name as the model",
        param="model",
        status=404,
        word="model_not_found",
    )
