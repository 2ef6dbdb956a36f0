"""From a shelf of engines to an answer: tried beside ONNX Runtime, chosen, and right, on a board that is not there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import pytest
from onnx import helper

from edge_runtime.answer import Answer
from edge_runtime.assistant import Assistant
from edge_runtime.backends.backend import Backend
from edge_runtime.backends.native.backend import NativeBackend
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.choice import Choice, Ground, Wish, chosen
from edge_runtime.digest import sha256_by_path
from edge_runtime.engines.collection import Collection, Search
from edge_runtime.engines.exam import Answers, examination_of
from edge_runtime.engines.exam_child import Question
from edge_runtime.engines.jury import Jury, Side
from edge_runtime.engines.library import Library
from edge_runtime.engines.place import Gpu
from edge_runtime.engines.receipt import Contents, Cost, Receipt, write_receipt
from edge_runtime.engines.selection import place_of
from edge_runtime.engines.shelf import Shelf
from edge_runtime.engines.trial import Trial, subject_of, write_trial
from edge_runtime.errors import EdgeVLError
from edge_runtime.loading import load
from edge_runtime.request import Request
from edge_runtime.spec import Role
from export.engines.serving import Serving
from export.engines.workshop import Order, orders_of
from tests.edge_runtime.native.board import Board
from tests.edge_runtime.native.fake_tensorrt import write_plan
from tests.proof.subject import bundle_below, session_folder

GPU = Gpu("a board that is not there", "sm87", "12.6")
CONTEXT = 512
REQUEST = Request(max_tokens=8)


@pytest.fixture(scope="session")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_folder(tmp_path_factory)


@pytest.fixture(scope="session")
def bundle(subjects: Path) -> Bundle:
    return Bundle.open(bundle_below(subjects, "windowed", dialect="trt"), is_trusted=True)


@dataclass
class Bench:
    """A board, a shelf on it, and how long each side is said to take; `fallback` is the same of the bundle whose engines
    stand in."""

    bundle: Bundle
    shelf: Shelf
    board: Board
    engine_ms: Mapping[Role, float]
    fallback: Bench | None = None

    def orders(self) -> list[Order]:
        return orders_of(self.bundle, "trt", place_of(self.board.library, GPU), Serving(CONTEXT))

    def build(self) -> None:
        for order in self.orders():
            self.put(order, self.bundle.path_of(order.entry))

    def put(self, order: Order, graph: Path) -> None:
        folder = self.shelf.path(order.key)
        folder.mkdir(parents=True)
        plan = folder / f"{order.shape.name}.plan"
        write_plan(graph, order.shape.profiles, plan, built_for=self.board.title)
        size = plan.stat().st_size
        (digest,) = sha256_by_path(folder, {plan.name: size}).values()
        contents, cost = Contents(0, (None,), (None,), (None,)), Cost(1.0, 1.0, 1.0)
        precision = order.entry.precision
        receipt = Receipt(order.key, precision, plan.name, size, digest, contents, cost, "0", ())
        write_receipt(folder, receipt)

    def build_over(self, name: str, graph: Path) -> None:
        """The engine of this name, of another graph than it says."""
        (order,) = (each for each in self.orders() if each.shape.name == name)
        shutil.rmtree(self.shelf.path(order.key))
        self.put(order, graph)

    def found(self) -> Collection:
        place = place_of(self.board.library, GPU)
        return Search(self.bundle, "trt", place, CONTEXT).found([self.shelf])

    def asked(self, question: Question) -> Answers:
        """As a child process would answer, but here: it has no board either."""
        if self.fallback is not None and question.bundle == str(self.fallback.bundle.folder):
            return self.fallback.asked(question)
        found = examination_of(self.bundle, question.role, question.context)(self.backend(question))
        ms = 10.0 if question.engine is None else self.engine_ms.get(question.role, 1.0)
        return replace(found, ms=ms)

    def backend(self, question: Question) -> Backend:
        if question.engine is None:
            return OrtBackend(self.bundle, threads=1, dialect=question.dialect)
        plans = {name: Path(path) for name, path in question.plans.items()}
        return NativeBackend(self.board.library, question.dialect, plans, self.board.device)

    def tried(self) -> Trial:
        found = self.found()
        subject = subject_of(self.bundle, "trt", found.context, found.place)
        sides = [Side(self.bundle, found)]
        if self.fallback is not None:
            sides.append(Side(self.fallback.bundle, self.fallback.found(), is_fallback=True))
        trial = Jury(subject, tuple(sides), self.asked).trial("2026-11-22")
        write_trial(self.shelf.folder, trial)
        return trial

    @property
    def ground(self) -> Ground:
        return Ground(gpu=lambda: GPU, library=self.library, device=self.board.device)

    def choice(self, engine: str = "auto") -> Choice:
        return chosen(self.bundle, Wish(engine, engines=self.shelf.folder), self.ground)

    def answer(self, choice: Choice) -> Answer:
        with Assistant(self.bundle, choice.backend, choice.max_context, engine_reason=choice.why) as found:
            return found.ask("what is it?", request=REQUEST)

    def library(self, name: str) -> Library:
        if name == self.board.library.name:
            return self.board.library
        raise missing(name)


def negated(bundle: Bundle, role: Role, path: Path) -> Path:
    """Its graph, but for the sign of what it says."""
    model = onnx.load(bundle.path_of(bundle.graph(role, "trt")))
    (output,) = model.graph.output
    for node in model.graph.node:
        node.output[:] = ["said" if name == output.name else name for name in node.output]
    model.graph.node.append(helper.make_node("Neg", ["said"], [output.name]))
    onnx.save(model, path)
    return path


def missing(name: str) -> EdgeVLError:
    return EdgeVLError(
        "EVL-ENGINE-MISSING", f"{name} is not installed", "there is no such module", "install it"
    )


@pytest.fixture
def bench(bundle: Bundle, tmp_path: Path) -> Bench:
    made = Bench(bundle, Shelf(tmp_path / "shelf"), Board("tensorrt-10.16.1.11"), {})
    made.shelf.make()
    made.build()
    return made


@pytest.fixture(scope="session")
def wanted(bundle: Bundle) -> Answer:
    with Assistant(bundle, OrtBackend(bundle, threads=1, dialect="trt")) as assistant:
        return assistant.ask("what is it?", request=REQUEST)


def test_engines_that_are_right_and_fast_answer(bench: Bench, wanted: Answer) -> None:
    trial = bench.tried()
    assert all(each.winner is not None for each in trial.roles)
    assert all((each.candidates[0].sqnr_db or 0) > 80 for each in trial.roles)
    found = bench.answer(bench.choice())
    assert (found.engine, found.token_ids) == ("tensorrt", wanted.token_ids)
    assert found.engine_reason.endswith("every engine agrees and is faster")


def test_a_slow_engine_leaves_its_role_to_onnx_runtime(bench: Bench, wanted: Answer) -> None:
    bench.engine_ms = {"vision_high": 99.0}
    bench.tried()
    found = bench.answer(bench.choice())
    assert (found.engine, found.token_ids) == ("tensorrt and onnxruntime", wanted.token_ids)
    assert "vision_high is left to ONNX Runtime: it is not faster" in found.engine_reason


def test_an_engine_that_says_something_else_leaves_its_role_to_onnx_runtime(
    bench: Bench, wanted: Answer, tmp_path: Path
) -> None:
    bench.build_over("adaptor", negated(bench.bundle, "adaptor", tmp_path / "wrong.onnx"))
    trial = bench.tried()
    (adaptor,) = (each for each in trial.roles if each.role == "adaptor")
    assert "dB like the reference" in adaptor.candidates[0].fault
    found = bench.answer(bench.choice())
    assert found.engine == "tensorrt and onnxruntime" and found.token_ids == wanted.token_ids


@pytest.mark.parametrize("slow", [None, "vision_high"])
def test_the_precision_that_is_told_is_of_the_engine_that_answers(
    bench: Bench, subjects: Path, tmp_path: Path, slow: Role | None
) -> None:
    """A bundle in half precision, whose adaptor is wrong: that of the bundle in floats stands in."""
    half = Bundle.open(bundle_below(subjects, "windowed", "fp16", dialect="trt"), is_trusted=True)
    first = replace(bench, bundle=half, fallback=bench, engine_ms={} if slow is None else {slow: 99.0})
    bench.engine_ms = first.engine_ms
    first.build()
    own = first.answer(first.choice("tensorrt"))
    first.build_over("adaptor", negated(half, "adaptor", tmp_path / "wrong.onnx"))
    first.tried()
    found = first.answer(first.choice())
    assert "adaptor is answered by the fp32 engine instead" in found.engine_reason
    assert found.engine == ("tensorrt" if slow is None else "tensorrt and onnxruntime")
    assert own.precision == dict.fromkeys(own.precision, "fp16")
    assert found.precision == own.precision | {"adaptor": "fp32"}


def test_a_context_of_nothing_is_refused_as_without_engines(bench: Bench) -> None:
    bench.tried()
    shelf, held = bench.shelf.folder, bench.board.driver.leaks()  # what the trial's own engines hold
    for engine in ("tensorrt", "auto"):
        with pytest.raises(EdgeVLError) as caught:
            load(bench.bundle.folder, engine, 0, is_trusted=True, engines=shelf, ground=bench.ground)
        error = caught.value
        assert (error.code, error.exit_status) == ("EVL-CONTEXT-LIMIT", 2)
        assert error.what == "a context of 0 tokens is not possible with this bundle"
    assert bench.board.driver.leaks() == held


def test_engines_that_were_never_tried_are_not_taken_unasked(bench: Bench) -> None:
    with pytest.raises(EdgeVLError) as caught:  # this bundle has no graphs for ONNX Runtime to go back to
        bench.choice()
    assert caught.value.code == "EVL-BUNDLE-DIALECT"
    found = bench.answer(bench.choice("tensorrt"))
    assert found.engine == "tensorrt"
    assert found.engine_reason == "it was asked for; whether it is right was never tried on this GPU"


def test_engines_of_another_gpu_are_told_apart(bench: Bench) -> None:
    bench.tried()
    ground = Ground(
        gpu=lambda: replace(GPU, name="another"), library=bench.library, device=bench.board.device
    )
    with pytest.raises(EdgeVLError) as caught:
        chosen(bench.bundle, Wish("tensorrt", engines=bench.shelf.folder), ground)
    assert caught.value.code == "EVL-ENGINE-ABSENT"
    assert "a board that is not there" in caught.value.why and "another" in caught.value.why


def test_a_flipped_bit_is_found_before_the_engine_is_opened(bench: Bench) -> None:
    plan = next(bench.shelf.folder.glob("adaptor-*/adaptor.plan"))
    data = bytearray(plan.read_bytes())
    data[40] ^= 1
    plan.write_bytes(data)
    with pytest.raises(EdgeVLError) as caught:
        bench.choice("tensorrt")
    assert (caught.value.code, caught.value.what) == (
        "EVL-ENGINE-DAMAGED",
        "the engine adaptor cannot be used",
    )
