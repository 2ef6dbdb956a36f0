"""A model with a few layers quantised in memory, asked what the float model answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from calibration.agreement import Agreement, Likeness, likeness_of
from calibration.answers import COMPARED, Answer, Answers, empty_caches, feeds_of
from calibration.cache import CacheScales, carriers_in, narrow_caches, narrowed
from calibration.graft import quantise_in_memory
from calibration.plan import Decisions, Plan
from calibration.quantgraph import UNSCALED
from calibration.session import Feeds, Session
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.manifest import GraphEntry
from edge_runtime.preprocess import pixels_from_picture
from edge_runtime.prompt import ImageRef, PromptFormat, Turn
from edge_runtime.spec import Role
from edge_runtime.tokenizer import Tokenizer

ASKED = (
    COMPARED  # samples; ranked by half of them, the demo model's budgets took a quarter more lifts or worse
)
FEATURES: Mapping[Role, str] = {"vision_high": "high", "vision_low": "low"}  # what the adaptor calls them
ADAPTOR: Role = "adaptor"
DECODER: Role = "decoder"
Array = npt.NDArray[Any]


class Trial:
    """Runs the first `limit` answers whose logits were kept, teacher-forced, with one role changed and the rest float.

    Integers and scales are those that the plan makes for the bundle, behind the same nodes; the weights that stay are
    mapped from the bundle, and the plan's own decisions do not matter. What the float roles make of the samples is computed once. One changed role is open at a time.
    """

    def __init__(
        self,
        bundle: Bundle,
        dialect: Dialect,
        answers: Answers,
        plan: Plan,
        threads: int,
        limit: int = ASKED,
    ) -> None:
        self.asked = tuple(each for each in answers.every if each.logits is not None)[:limit]
        assert self.asked, "the caller checks that there are samples"
        self._bundle, self._dialect, self._plan, self._threads = bundle, dialect, plan, threads
        self._places = image_places(bundle, self.asked)
        self._read = [each.rows() for each in self.asked]  # of so few that they may stay in memory
        self._features: dict[Role, list[Array]] = {}  # what float towers see in each sample
        self._float: dict[Role, Graph] = {}

    def kl(self, role: Role, decisions: Decisions) -> float:
        """What the decisions for this role alone cost, in nats a token; inf where the model says no finite number."""
        if role == DECODER:
            self._float.clear()  # only towers and adaptor need it: never two decoders in memory
            return self._divergence(self._changed(role, decisions), self._read)
        return self._divergence(self._unchanged(DECODER), self._rows(role, decisions))

    def kl_of_cache(self, scales: CacheScales) -> float:
        """What 8-bit keys and values alone cost, in nats a token."""
        entry = carriers_in(self._bundle)[0]
        path = self._bundle.path_of(entry)
        model = ir.load(path)
        del model.graph.outputs[1:]
        narrow_caches(model.graph, scales)
        graph = Graph(narrowed(entry), Session(model, path.parent, self._threads, entry.role))
        return self._divergence(graph, self._read)

    def _divergence(self, decoder: Graph, rows: Sequence[Array]) -> float:
        found = list[Likeness]()
        for answer, feeds in zip(self.asked, self._feeds(rows), strict=True):
            assert answer.logits is not None
            logits = decoder.run(feeds)["logits"][0].astype(np.float32)  # (N, V)
            found.append(likeness_of(answer.sample.name, answer.ids, answer.logits, logits))
        return max(0.0, Agreement(tuple(found)).kl)

    def _feeds(self, rows: Sequence[Array]) -> list[Feeds]:
        """The whole answer at once: the last rows are those whose logits chose its tokens."""
        entry = self._bundle.graph(DECODER, self._dialect)
        caches = empty_caches(entry, max(each.length for each in self.asked))
        return [
            feeds_of(entry, read, range(each.length - len(each.ids), each.length), caches)
            for each, read in zip(self.asked, rows, strict=True)
        ]

    def _rows(self, role: Role, decisions: Decisions) -> list[Array]:
        """What the decoder reads when this tower, or the adaptor, is changed."""
        towers = [each for each in self._bundle.spec.roles if each in FEATURES]
        seen = {tower: self._seen(tower) for tower in towers if tower != role}
        if role in FEATURES:
            seen[role] = self._looked(role, self._changed(role, decisions))
            adaptor = self._unchanged(ADAPTOR)
        else:
            adaptor = self._changed(ADAPTOR, decisions)
        rows = []
        for number, (before, place) in enumerate(zip(self._read, self._places, strict=True)):
            features = {FEATURES[tower]: seen[tower][number] for tower in towers}
            embeds = adaptor.run(features)["embeds"][0]  # (tokens, D)
            read = before.astype(np.result_type(before, embeds))
            read[0, place : place + len(embeds)] = embeds
            rows.append(read)
        return rows

    def _seen(self, tower: Role) -> list[Array]:
        if tower not in self._features:
            self._features[tower] = self._looked(tower, self._changed(tower, {}))
        return self._features[tower]

    def _looked(self, tower: Role, graph: Graph) -> list[Array]:
        found = []
        for answer in self.asked:
            pixels = pixels_from_picture(answer.sample.picture(), self._bundle.spec.preprocess)
            chosen = pixels.high if tower == "vision_high" else pixels.low
            assert chosen is not None, "a tower without pixels"
            found.append(graph.run({"pixels": chosen[None]})["features"])
        return found

    def _unchanged(self, role: Role) -> Graph:
        if role not in self._float:
            self._float[role] = self._changed(role, {})
        return self._float[role]

    def _changed(self, role: Role, decisions: Decisions) -> Graph:
        entry = self._bundle.graph(role, self._dialect)
        path = self._bundle.path_of(entry)
        model = ir.load(path)
        del model.graph.outputs[1:]  # caches that nobody goes on with
        scaling = self._plan.scalings.get(role, UNSCALED)
        quantise_in_memory(model, entry.path, self._dialect, decisions, self._plan.quantise, scaling)
        return Graph(entry, Session(model, path.parent, self._threads, entry.role))


class Graph:
    """A session of one role; it gives what the role's first output is called."""

    def __init__(self, entry: GraphEntry, session: Session) -> None:
        self._name = entry.outputs[0].name
        self._dtypes = {port.name: port.dtype for port in entry.inputs}
        self._session = session

    def run(self, feeds: Feeds) -> dict[str, Array]:
        cast = {name: np.ascontiguousarray(each, self._dtypes[name]) for name, each in feeds.items()}
        return {self._name: self._session.run([self._name], cast)[0]}


def image_places(bundle: Bundle, answers: Sequence[Answer]) -> list[int]:
    """Where each answer's picture begins among the rows that the decoder reads."""
    spec = bundle.spec
    prompts = PromptFormat(Tokenizer.open(bundle.tokenizer_path), spec.prompt, spec.image_tokens)
    turns = [[Turn("user", each.sample.prompt, (ImageRef(b""),))] for each in answers]
    return [prompts.chat_prompt_tokens(turn).image_spans[0][0] for turn in turns]
