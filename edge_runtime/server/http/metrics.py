"""GET /metrics, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from fastapi import APIRouter, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edge_runtime.server.engine import Engine
from edge_runtime.server.engine_metrics import EngineMetrics
from edge_runtime.server.meter import Meter
from edge_runtime.server.process_metrics import ProcessMetrics
from edge_runtime.server.vllm_names import vllm_families

Compat = Literal["none", "vllm"]


class Scrape(Collector):
    """Everything there is to tell, each time anew. Another's names need the model's, known from the first worker on. Keeps
    nothing: one made later for the same meter goes on where this one was."""

    def __init__(self, meter: Meter, engine: Engine, compat: Compat) -> None:
        self._engine = engine
        self._compat = compat
        self._counted = meter.registry
        self._looked = (EngineMetrics(engine, meter.totals), ProcessMetrics())

    def collect(self) -> Iterator[Metric]:
        families = [without_birth(family) for family in self._counted.collect()]
        families += [family for collector in self._looked for family in collector.collect()]
        yield from families
        facts = self._engine.facts
        if self._compat == "vllm" and facts is not None:
            yield from vllm_families(families, facts.model)


def without_birth(family: Metric) -> Metric:
    """When a counter was made is of no use to anybody and doubles what is read."""
    family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
    return family


def metrics_router(meter: Meter, engine: Engine, compat: Compat = "none") -> APIRouter:
    """`compat` tells the same values once more under another server's names."""
    router = APIRouter(tags=["operation"])
    scrape = Scrape(meter, engine, compat)

    @router.head("/metrics", include_in_schema=False)
    @router.get(
        "/metrics",
        summary="What was counted and measured",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        return Response(
            generate_latest(scrape),
            media_type=CONTENT_TYPE_PLAIN_0_0_4,
            headers={"Cache-Control": "no-store"},
        )

    return router
