"""/v1/models."""

from __future__ import annotations

from tests.edge_runtime.server.fake_engine import FACTS
from tests.edge_runtime.server.http.house import NOW_S, got

MODEL = {
    "id": "fake-vl",
    "object": "model",
    "created": int(NOW_S),
    "owned_by": "edge-vl",
    "max_model_len": FACTS.max_context,
    "capabilities": ["chat", "completion", "vision", "json_schema", "logprobs"],
    "engine": "fake",
    "engine_hash": FACTS.bundle_hash,
    "precision": {"decoder": "fp32"},
}


def test_the_one_model_is_listed_with_what_it_is() -> None:
    assert got("/v1/models").json == {"object": "list", "data": [MODEL]}


def test_the_model_is_found_by_its_name() -> None:
    assert got("/v1/models/fake-vl").json == MODEL


def test_another_model_is_not_found_whatever_its_name() -> None:
    for name in ("gpt-4o", "a/b/c", "%00", "..%2f..%2fetc"):
        reply = got(f"/v1/models/{name}")
        assert (reply.status, reply.json["error"]["code"]) == (404, "model_not_found")
