"""From a recipe and samples to a plan: what is measured, on one dialect's graphs, for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from calibration.answers import Answers, DecoderFeeds, float_answers
from calibration.awq import AwqSearch
from calibration.cache import CacheScales, cache_scales
from calibration.desk import Desk
from calibration.migration import pairs_of, scaling_from_factors
from calibration.minmax import WatchedGraph
from calibration.moments import Moments
from calibration.plan import AwqRounding, GptqRounding, Plan
from calibration.ranges import Ranges, layer_names, vision_ranges
from calibration.recipe import HEAD, Recipe
from calibration.samples import SampleSet
from calibration.session import Feeds
from calibration.soundness import called
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.manifest import GraphEntry
from edge_runtime.progress import Progress

REACHES, CACHE = "reaches", "cache"  # on the desk


@dataclass(frozen=True, eq=False)
class Subject:
    """A float bundle, what it is calibrated with, and how."""

    bundle: Bundle
    recipe: Recipe
    samples: SampleSet
    threads: int
    desk: Desk
    progress: Progress

    @property
    def dialect(self) -> Dialect:
        """What is run here, and what integers are made from: so that they are the same in all dialects."""
        dialects = self.bundle.manifest.dialects
        return "ort" if "ort" in dialects else dialects[0]

    @property
    def decoder(self) -> GraphEntry:
        return self.bundle.graph("decoder", self.dialect)

    def answers(self, needs_all: bool) -> Answers:
        """The float model's own; of all samples where more than a comparison needs them."""
        return float_answers(
            self.bundle, self.dialect, self.samples, needs_all, self.threads, self.desk, self.progress
        )


class Planner:
    """Measures what the recipe needs to know, and nothing else."""

    def __init__(self, subject: Subject, answers: Answers) -> None:
        self._subject, self._recipe, self._answers = subject, subject.recipe, answers

    def plan(self) -> Plan:
        ranges = self._vision()
        feeds = DecoderFeeds(self._subject.decoder, self._answers) if self._recipe.needs_answers else []
        reaches = {**ranges.reaches, "decoder": self._decoder(feeds)}
        bundle, dialect = self._subject.bundle, self._subject.dialect
        decisions = {
            entry.role: self._recipe.decisions(
                entry.role, layer_names(bundle, entry), reaches.get(entry.role, {})
            )
            for entry in bundle.manifest.graphs
            if entry.dialect == dialect
        }
        plan = Plan(decisions, scalings=ranges.scalings, cache=self._cache(feeds))
        return self._fitted(plan, feeds) if self._recipe.needs_moments else plan

    def _vision(self) -> Ranges:
        if self._recipe.vision != "int8":
            return Ranges()
        subject = self._subject
        return vision_ranges(
            subject.bundle,
            subject.dialect,
            subject.samples,
            self._recipe.observer,
            self._recipe.smooth,
            subject.threads,
            subject.desk,
            subject.progress,
        )

    def _decoder(self, feeds: Sequence[Feeds]) -> Mapping[str, float]:
        """How far the inputs of its layers reach. Outliers of few tokens decide much there: they are never cut."""
        if self._recipe.decoder != "w8a8":
            return {}
        subject = self._subject
        names = [name for name in layer_names(subject.bundle, subject.decoder) if name != HEAD]
        graph = WatchedGraph(
            subject.bundle.path_of(subject.decoder), names, subject.threads, has_results=False
        )
        watch(graph, feeds, subject.desk, subject.progress, self._answers.places)
        return graph.reaches()

    def _cache(self, feeds: Sequence[Feeds]) -> CacheScales | None:
        if self._recipe.kv != "int8":
            return None
        subject = self._subject
        laid = subject.desk.take(CACHE)
        if laid is not None:
            return CacheScales(laid)
        path = subject.bundle.path_of(subject.decoder)
        found = cache_scales(path, feeds, subject.threads, subject.progress, self._answers.places)
        subject.desk.lay(CACHE, found.steps)
        return found

    def _fitted(self, plan: Plan, feeds: Sequence[Feeds]) -> Plan:
        """To what the decoder's layers read."""
        subject = self._subject
        path, names = (
            subject.bundle.path_of(subject.decoder),
            layer_names(subject.bundle, subject.decoder),
        )
        moments = Moments(path, names, feeds, subject.threads, samples=self._answers.places)
        if self._recipe.method == "gptq":
            return replace(plan, quantise=GptqRounding(moments, subject.desk))
        search = AwqSearch(path, plan.decisions["decoder"], moments, subject.desk)
        found = scaling_from_factors(search.factors(pairs_of(subject.bundle, "decoder"), subject.progress))
        return replace(plan, quantise=AwqRounding(found), scalings={**plan.scalings, "decoder": found})


def watch(
    graph: WatchedGraph, feeds: Sequence[Feeds], desk: Desk, progress: Progress, samples: Sequence[str] = ()
) -> None:
    """Runs all feeds that the graph did not see before it was last laid on the desk; `samples` are names, for errors."""
    laid = desk.take(REACHES)
    if laid is not None:
        graph.restore(laid)
    for done, each in enumerate(feeds):
        progress("measuring what is read", done, len(feeds))
        if done >= graph.done:
            graph.run(each, called(samples, done))
            if desk.is_due or graph.done == len(feeds):
                desk.lay(REACHES, graph.state())
