"""What the decoder reads while it answers samples: as feeds of its graph, all from an empty cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from calibration.agreement import Speaker
from calibration.minmax import Feeds
from calibration.samples import SampleSet
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.manifest import GraphEntry
from edge_runtime.progress import Progress

CACHE = "past_key_values."


def decoder_feeds(
    bundle: Bundle, dialect: Dialect, samples: SampleSet, threads: int, progress: Progress
) -> list[Feeds]:
    """Each prompt and the float model's own greedy answer to it, whole."""
    entry = bundle.graph("decoder", dialect)
    rows = list[npt.NDArray[Any]]()
    with Speaker(bundle, dialect, threads) as speaker:
        for done, sample in enumerate(samples.samples):
            progress("answering samples", done, len(samples.samples))
            ids, _ = speaker.answer(sample)
            rows.append(speaker.rows(sample, ids[:-1]))
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
