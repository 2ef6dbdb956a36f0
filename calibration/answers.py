"""What the float model says to samples: asked once, for whoever rounds by it and whoever compares with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from calibration.desk import Desk
from calibration.minmax import Feeds
from calibration.samples import Sample, SampleSet
from calibration.speaker import Ids, Logits, Speaker
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.manifest import GraphEntry
from edge_runtime.progress import Progress

CACHE = "past_key_values."
COMPARED = 16  # samples whose logits are kept: at 100,000 tokens an answer's take 13 MB


@dataclass(frozen=True, eq=False)
class Answer:
    sample: Sample
    ids: Ids
    rows: npt.NDArray[Any]  # (1, S, D): what the decoder read of the prompt and of all but the last token
    logits: Logits | None


@dataclass(frozen=True, eq=False)
class Answers:
    every: tuple[Answer, ...]

    @property
    def compared(self) -> list[tuple[Sample, Ids, Logits]]:
        return [(each.sample, each.ids, each.logits) for each in self.every if each.logits is not None]


def float_answers(
    bundle: Bundle,
    dialect: Dialect,
    samples: SampleSet,
    needs_all: bool,
    threads: int,
    desk: Desk,
    progress: Progress,
) -> Answers:
    """Of all samples, or of those alone that are compared."""
    asked = samples.samples if needs_all else samples.samples[:COMPARED]
    if not asked:
        return Answers(())
    found = list[Answer]()
    with Speaker(bundle, dialect, threads) as speaker:
        for done, sample in enumerate(asked):
            progress("answering in float", done, len(asked))
            found.append(kept_answer(speaker, sample, done < COMPARED, desk))
    return Answers(tuple(found))


def kept_answer(speaker: Speaker, sample: Sample, has_logits: bool, desk: Desk) -> Answer:
    name = f"answer-{sample.sha256}"
    laid = desk.take(name)
    if laid is not None:
        return Answer(sample, laid["ids"].tolist(), laid["rows"], laid["logits"] if has_logits else None)
    ids, logits = speaker.answer(sample)
    answer = Answer(sample, ids, speaker.rows(sample, ids[:-1]), logits if has_logits else None)
    kept = {"ids": np.array(ids), "rows": answer.rows}
    desk.lay(name, kept | ({"logits": logits} if has_logits else {}))
    return answer


def decoder_feeds(entry: GraphEntry, answers: Answers) -> list[Feeds]:
    """What the decoder reads while it answers: as feeds of its graph, whole answers, all from an empty cache."""
    rows = [each.rows for each in answers.every]
    caches = empty_caches(entry, max(each.shape[1] for each in rows))
    dtype = next(port.dtype for port in entry.inputs if port.name == "inputs_embeds")
    return [
        {
            "inputs_embeds": np.ascontiguousarray(each, dtype),
            "write_index": np.zeros(1, np.int64),
            "logit_index": np.array([[each.shape[1] - 1]], np.int64),
            **caches,
        }
        for each in rows
    ]


def empty_caches(entry: GraphEntry, capacity: int) -> dict[str, npt.NDArray[Any]]:
    """Shared by all samples: zeros that nobody writes to take no memory."""
    sizes = {"batch": 1, "capacity": capacity}
    return {
        port.name: np.zeros([sizes[dim] if isinstance(dim, str) else dim for dim in port.shape], port.dtype)
        for port in entry.inputs
        if port.name.startswith(CACHE)
    }
