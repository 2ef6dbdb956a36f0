"""What is told with every answer, whoever gave it: the engine, why it is that one, the precisions, what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_runtime.answer import Answer, Usage
from edge_runtime.backends.backend import Backend
from edge_runtime.backends.shared import MixedBackend
from edge_runtime.bundle import Bundle
from edge_runtime.memory import peak_resident_mib
from edge_runtime.prompt import PromptTokens
from edge_runtime.saying import Saying
from edge_runtime.stopwatch import Stopwatch


@dataclass(frozen=True)
class Facts:
    """`precision` is of every role, as it runs."""

    engine: str
    engine_reason: str
    precision: Mapping[str, str]

    def answer(
        self, saying: Saying, prompt: PromptTokens, cached: int, held: int, watch: Stopwatch
    ) -> Answer:
        """Of what was said to its end. Of the prompt `cached` tokens were in the cache; in the end it held `held`, so that
        many after the prompt were fed."""
        assert saying.reason is not None, "the answer is over"
        steps, timings = held - len(prompt), watch.timings_ms()
        seconds = timings["decode"] / 1000
        return Answer(
            text=saying.text,
            token_ids=tuple(saying.ids),
            finish_reason=saying.reason,
            usage=Usage(len(prompt), prompt.image_token_count, cached, len(saying.ids)),
            timings_ms=timings,
            tokens_per_s=round(steps / seconds, 2) if steps > 0 and seconds > 0 else 0.0,
            engine=self.engine,
            engine_reason=self.engine_reason,
            precision=dict(self.precision),
            peak_rss_mib=round(peak_resident_mib(), 1),
            logprobs=saying.logprobs,
        )


def facts_of(bundle: Bundle, backend: Backend, engine_reason: str) -> Facts:
    return Facts(backend.name, engine_reason, precision_of(bundle, backend))


def precision_of(bundle: Bundle, backend: Backend) -> dict[str, str]:
    """Of every role, as it runs there: as the bundle has it, but where the engine of another stands in."""
    mixed = backend.precision if isinstance(backend, MixedBackend) else {}
    roles = [role for role in bundle.spec.roles if role != "embed"]
    ran: dict[str, str] = {
        role: mixed[role] if role in mixed else bundle.graph(role, backend.dialect).precision
        for role in roles
    }
    return ran | {"embed": bundle.manifest.embedding.precision}
