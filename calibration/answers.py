"""What the float model says to samples: asked once, for whoever rounds by it and whoever compares with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from calibration.desk import Desk
from calibration.samples import Sample, SampleSet
from calibration.session import Feeds
from calibration.soundness import error_in_bundle
from calibration.speaker import Ids, Logits, Speaker
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.manifest import PAST, GraphEntry
from edge_runtime.progress import Progress

COMPARED = 16  # samples whose logits are kept: at 100,000 tokens an answer's take 13 MB


Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Answer:
    """What was read lies on the desk: in memory are a few answers' rows, however many answers there are."""

    sample: Sample
    ids: Ids
    length: int  # S: rows that the decoder read of the prompt and of all but the last token
    logits: Logits | None
    desk: Desk

    def rows(self) -> Array:
        """(1, S, D), read from the desk anew."""
        return self.desk.found(piece_of(self.sample))["rows"]


@dataclass(frozen=True, eq=False)
class Answers:
    every: tuple[Answer, ...]

    @property
    def compared(self) -> list[tuple[Sample, Ids, Logits]]:
        return [(each.sample, each.ids, each.logits) for each in self.every if each.logits is not None]

    @property
    def places(self) -> list[str]:
        """What errors call the samples."""
        return [each.sample.where for each in self.every]


def float_answers(
    bundle: Bundle,
    dialect: Dialect,
    samples: SampleSet,
    needs_all: bool,
    threads: int,
    desk: Desk,
    progress: Progress,
) -> Answers:
    """Of all samples, or of those alone that are compared. An EdgeVLError where the float model says no finite number."""
    asked = samples.samples if needs_all else samples.samples[:COMPARED]
    if not asked:
        return Answers(())
    found = list[Answer]()
    with Speaker(bundle, dialect, threads) as speaker:
        for done, sample in enumerate(asked):
            progress("answering in float", done, len(asked))
            answer = kept_answer(speaker, sample, done < COMPARED, desk)
            if answer is None:
                raise error_in_bundle(bundle, dialect, sample.where, "what the float model says")
            found.append(answer)
    return Answers(tuple(found))


def kept_answer(speaker: Speaker, sample: Sample, has_logits: bool, desk: Desk) -> Answer | None:
    """None for one that is no finite number: nothing could be compared with it."""
    laid = desk.take(piece_of(sample))
    if laid is None:
        ids, logits = speaker.answer(sample)
        if not np.isfinite(logits).all():
            return None
        laid = {"ids": np.array(ids), "rows": speaker.rows(sample, ids[:-1])}
        laid |= {"logits": logits} if has_logits else {}
        desk.lay(piece_of(sample), laid)
    length = laid["rows"].shape[1]
    return Answer(sample, laid["ids"].tolist(), length, laid["logits"] if has_logits else None, desk)


def piece_of(sample: Sample) -> str:
    return f"answer-{sample.sha256}"


class DecoderFeeds(Sequence[Feeds]):
    """What the decoder reads while it answers: as feeds of its graph, whole answers, all from an empty cache.

    Each is made when it is asked for.
    """

    def __init__(self, entry: GraphEntry, answers: Answers) -> None:
        self._entry, self._answers = entry, answers.every
        self._caches = empty_caches(entry, max((each.length for each in self._answers), default=0))

    def __len__(self) -> int:
        return len(self._answers)

    @overload
    def __getitem__(self, place: int) -> Feeds: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Feeds]: ...

    def __getitem__(self, place: int | slice) -> Feeds | Sequence[Feeds]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        answer = self._answers[place]
        chose = range(answer.length - len(answer.ids), answer.length)  # all that the head reads
        return feeds_of(self._entry, answer.rows(), chose, self._caches)


def feeds_of(entry: GraphEntry, rows: Array, asked: Iterable[int], caches: Mapping[str, Array]) -> Feeds:
    """Of (1, S, D) with the places whose logits are asked for."""
    dtype = next(port.dtype for port in entry.inputs if port.name == "inputs_embeds")
    return {
        "inputs_embeds": np.ascontiguousarray(rows, dtype),
        "write_index": np.zeros(1, np.int64),
        "logit_index": np.array([list(asked)], np.int64),
        **caches,
    }


def empty_caches(entry: GraphEntry, capacity: int) -> dict[str, npt.NDArray[Any]]:
    """Shared by all samples: zeros that nobody writes to take no memory."""
    sizes = {"batch": 1, "capacity": capacity}
    return {
        port.name: np.zeros([sizes[dim] if isinstance(dim, str) else dim for dim in port.shape], port.dtype)
        for port in entry.inputs
        if port.name.startswith(PAST)
    }
