"""Which engine answers on which machine, and what is said of those that do not."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.backends.ort import OrtBackend, OrtGraph
from edge_runtime.backends.provider import CPU, CUDA, Provider
from edge_runtime.backends.shared import SharedBackend
from edge_runtime.bundle import Bundle
from edge_runtime.choice import Wish, chosen
from edge_runtime.engines.shelf import Shelf
from edge_runtime.engines.trial import Candidate
from edge_runtime.errors import MachineFault
from edge_runtime.facts import facts_of, precision_of
from edge_runtime.manifest import Port
from tests.edge_runtime.choice_samples import (
    RIGHT,
    RTX,
    SLOW,
    THOR,
    WRONG,
    Machine,
    choice_on,
    found_on,
    native,
    on_cpu,
    put_fallback,
    put_tried,
    refusal,
    without_tensorrt,
)
from tests.edge_runtime.cuda.fake_driver import FakeDriver
from tests.edge_runtime.engines.engine_samples import CONTEXT, bundle_with, put_all
from tests.edge_runtime.engines.test_shelf import PLAN, put


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return bundle_with(tmp_path / "bundle", ("ort", "trt10", "trt"))


@pytest.fixture
def shelf(bundle: Bundle) -> Shelf:
    """Beside the bundle, where engines are looked for without being told."""
    made = Shelf(bundle.folder / "engines")
    made.make()
    return made


def test_without_a_gpu_the_cpu_answers_and_nothing_else_is_looked_for(bundle: Bundle) -> None:
    machine = Machine(gpu=None)
    choice = choice_on(machine, bundle, max_context=40)
    assert (on_cpu(choice), choice.max_context) == ("no GPU answers here", 40)
    assert machine.asked == ["gpu"]


def test_where_the_driver_gives_no_answer_the_cpu_answers_and_says_so(bundle: Bundle) -> None:
    fault = MachineFault("EVL-ENGINE-DRIVER", "the driver does not answer", "it said nothing", "install it")
    machine = Machine(gpu=fault)
    assert on_cpu(choice_on(machine, bundle)) == "the driver does not answer (it said nothing)"
    assert machine.asked == ["gpu"]
    assert refusal(machine, bundle, "tensorrt").code == "EVL-ENGINE-DRIVER"


def test_without_a_library_the_reasons_of_each_are_told(bundle: Bundle) -> None:
    why = on_cpu(choice_on(Machine(libraries=()), bundle))
    assert why == without_tensorrt("tensorrt is not installed (no module)")


def test_where_nothing_is_left_it_is_told_why_it_came_to_that(bundle: Bundle) -> None:
    fault = refusal(Machine(libraries=(), usable=()), bundle, "auto")
    assert (fault.code, fault.what) == ("EVL-ENGINE-MISSING", "ONNX Runtime is not installed")
    assert fault.why.startswith("no module; ")
    assert "tensorrt is not installed" in fault.why


def test_without_engines_it_is_told_that_none_was_built(bundle: Bundle) -> None:
    why = on_cpu(choice_on(Machine(), bundle))
    none = "there is no engine for vision_low (none was built of this bundle's graph)"
    assert why == without_tensorrt(none)


def test_engines_of_another_gpu_are_told_as_such(bundle: Bundle, shelf: Shelf) -> None:
    put_tried(bundle, shelf, place=THOR)
    assert "for Thor (sm110, CUDA 13.0); here is TensorRT 10.3.0, Orin" in on_cpu(
        choice_on(Machine(), bundle)
    )


def test_a_damaged_engine_is_told_as_such(bundle: Bundle, shelf: Shelf) -> None:
    put_tried(bundle, shelf)
    plan = found_on(shelf, bundle).plans["adaptor"]
    plan.write_bytes(bytes(len(PLAN)))
    damage = "the engine adaptor cannot be used (decoder.plan is not what was built: its sha256 differs)"
    assert on_cpu(choice_on(Machine(), bundle)) == without_tensorrt(damage)
    assert refusal(Machine(), bundle, "tensorrt").code == "EVL-ENGINE-DAMAGED"
    assert native(choice_on(Machine(), bundle, is_trusted=True)).name == "tensorrt"


def test_an_engine_that_was_built_again_was_not_tried(bundle: Bundle, shelf: Shelf) -> None:
    put_tried(bundle, shelf)
    key = found_on(shelf, bundle).receipts["adaptor"].key
    shutil.rmtree(shelf.folder / key.folder)
    put(shelf, key, PLAN + b"another")
    assert "the engine adaptor was never tried as it is (it was built again since" in on_cpu(
        choice_on(Machine(), bundle)
    )
    choice = choice_on(Machine(), bundle, engine="tensorrt")
    assert native(choice).name == "tensorrt" and "never tried" in choice.why


def test_untried_engines_answer_only_where_they_are_asked_for(bundle: Bundle, shelf: Shelf) -> None:
    put_all(bundle, shelf)
    why = on_cpu(choice_on(Machine(), bundle))
    assert why.startswith("TensorRT: the engines were never tried on this GPU (")
    choice = choice_on(Machine(), bundle, engine="tensorrt")
    assert choice.why == "it was asked for; whether it is right was never tried on this GPU"
    assert native(choice)._plans == found_on(shelf, bundle).plans
    assert choice.max_context == CONTEXT


@pytest.mark.parametrize("engine", ["auto", "tensorrt"])
def test_engines_that_were_found_right_and_fast_answer(bundle: Bundle, shelf: Shelf, engine: str) -> None:
    trial = put_tried(bundle, shelf)
    machine = Machine()
    choice = choice_on(machine, bundle, engine=engine)
    backend = native(choice)
    assert (backend.name, backend.dialect) == ("tensorrt", "trt10")
    assert backend._plans == found_on(shelf, bundle).plans
    assert choice.why == (trial.words if engine == "auto" else f"it was asked for; {trial.words}")
    assert "every engine agrees and is faster" in choice.why
    assert "providers" not in machine.asked


def test_the_second_library_answers_where_the_first_has_nothing(bundle: Bundle, shelf: Shelf) -> None:
    put_tried(bundle, shelf, place=RTX)
    machine = Machine(libraries=("tensorrt", "tensorrt-rtx"))
    backend = native(choice_on(machine, bundle))
    assert (backend.name, backend.dialect) == ("tensorrt-rtx", "trt")
    assert machine.asked == ["gpu", "tensorrt", "tensorrt-rtx"]


@pytest.mark.parametrize(
    ("engine", "found", "words"),
    [("auto", WRONG, WRONG.fault), ("auto", SLOW, "it is not faster"), ("tensorrt", WRONG, WRONG.fault)],
)
def test_a_role_whose_engine_is_of_no_use_is_left_to_onnx_runtime(
    bundle: Bundle, shelf: Shelf, found: Candidate, words: str, engine: str
) -> None:
    put_tried(bundle, shelf, {"adaptor": (found,)})
    choice = choice_on(Machine(), bundle, engine=engine)
    assert isinstance(choice.backend, SharedBackend)
    assert choice.backend.name == "tensorrt and onnxruntime"
    assert isinstance(choice.backend.graph("adaptor"), OrtGraph)
    assert choice.why.endswith(f": adaptor is left to ONNX Runtime: {words}")


def test_a_role_is_left_to_onnx_runtime_in_the_dialect_that_it_was_tried_in(tmp_path: Path) -> None:
    bundle = bundle_with(tmp_path / "bundle", ("trt10",))
    shelf = Shelf(bundle.folder / "engines")
    shelf.make()
    put_tried(bundle, shelf, {"adaptor": (WRONG,)})
    backend = choice_on(Machine(), bundle).backend
    assert isinstance(backend.graph("adaptor"), OrtGraph)


def test_an_engine_that_stands_in_answers_where_the_first_is_wrong(
    bundle: Bundle, shelf: Shelf, tmp_path: Path
) -> None:
    other = put_fallback(shelf, tmp_path / "other")
    put_tried(bundle, shelf, {"decoder": (WRONG, other)})
    choice = choice_on(Machine(), bundle)
    plans = native(choice)._plans
    assert sorted(plans) == ["adaptor", "decoder", "vision_low"]
    assert plans["decoder"] == shelf.folder / other.engines[0] / "decoder.plan"
    assert "decoder is answered by the fp16 engine instead" in choice.why


def test_precisions_are_those_of_the_engines_that_answer(
    bundle: Bundle, shelf: Shelf, tmp_path: Path
) -> None:
    """Wherever they are told: with answers, by the server, by the bench."""
    other = dataclasses.replace(put_fallback(shelf, tmp_path / "other"), precision="int8")
    put_tried(bundle, shelf, {"adaptor": (WRONG,), "decoder": (WRONG, other)})
    choice = choice_on(Machine(), bundle)
    assert choice.backend.name == "tensorrt and onnxruntime"
    told = facts_of(bundle, choice.backend, choice.why).precision
    assert told == {"vision_low": "fp16", "adaptor": "fp16", "decoder": "int8", "embed": "fp16"}


def test_what_is_left_to_onnx_runtime_has_the_precision_of_its_own_dialect(
    bundle: Bundle, shelf: Shelf
) -> None:
    graphs = tuple(
        dataclasses.replace(entry, precision="fp32") if entry.dialect == "ort" else entry
        for entry in bundle.manifest.graphs
    )
    bundle = Bundle(bundle.folder, dataclasses.replace(bundle.manifest, graphs=graphs))
    put_tried(bundle, shelf, {"adaptor": (WRONG,)})
    choice = choice_on(Machine(), bundle)
    told = precision_of(bundle, choice.backend)
    assert told == {"vision_low": "fp16", "adaptor": "fp32", "decoder": "fp16", "embed": "fp16"}


@pytest.mark.parametrize("harm", [os.unlink, lambda plan: os.truncate(plan, 1)])
def test_an_engine_that_stands_in_and_is_not_whole_is_not_used(
    bundle: Bundle, shelf: Shelf, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    other = put_fallback(shelf, tmp_path / "other")
    put_tried(bundle, shelf, {"decoder": (WRONG, other)})
    harm(shelf.folder / other.engines[0] / "decoder.plan")
    assert "the engine decoder cannot be used (decoder.plan " in on_cpu(choice_on(Machine(), bundle))
    assert refusal(Machine(), bundle, "tensorrt").code == "EVL-ENGINE-DAMAGED"


def test_an_engine_that_was_tried_and_is_gone_is_named(bundle: Bundle, shelf: Shelf, tmp_path: Path) -> None:
    other = dataclasses.replace(RIGHT, engines=("decoder-0123456789abcdef",))
    put_tried(bundle, shelf, {"decoder": (WRONG, other)})
    error = refusal(Machine(), bundle, "tensorrt")
    assert (error.code, error.what) == (
        "EVL-ENGINE-DAMAGED",
        "the engine decoder-0123456789abcdef is gone",
    )


def test_where_no_engine_is_faster_onnx_runtime_answers_and_says_why(bundle: Bundle, shelf: Shelf) -> None:
    trial = put_tried(bundle, shelf, {"vision_low": (SLOW,), "adaptor": (WRONG,), "decoder": (SLOW,)})
    slow = f"no engine answers better than ONNX Runtime ({trial.words})"
    assert on_cpu(choice_on(Machine(), bundle)) == without_tensorrt(slow)
    assert WRONG.fault in trial.words
    backend = choice_on(Machine(), bundle, engine="tensorrt").backend
    assert isinstance(backend, SharedBackend), "slow ones were asked for, a wrong one never is"
    assert isinstance(backend.graph("adaptor"), OrtGraph)


def test_where_every_engine_is_wrong_none_answers(bundle: Bundle, shelf: Shelf) -> None:
    put_tried(bundle, shelf, {"vision_low": (WRONG,), "adaptor": (WRONG,), "decoder": (WRONG,)})
    assert refusal(Machine(), bundle, "tensorrt").code == "EVL-ENGINE-SLOW"


def test_a_slow_engine_answers_where_it_was_asked_for(bundle: Bundle, shelf: Shelf) -> None:
    put_tried(bundle, shelf, {"vision_low": (SLOW,), "adaptor": (SLOW,), "decoder": (SLOW,)})
    choice = choice_on(Machine(), bundle, engine="tensorrt")
    assert native(choice).name == "tensorrt"
    assert choice.why.endswith("on the CPU: every engine agrees")


def test_a_damaged_trial_is_none(bundle: Bundle, shelf: Shelf) -> None:
    path = shelf.folder / put_tried(bundle, shelf).subject.file_name
    path.write_text("{")
    assert f"TensorRT: {path.name} is not valid" in on_cpu(choice_on(Machine(), bundle))
    assert refusal(Machine(), bundle, "tensorrt").code == "EVL-ENGINE-TRIAL"


def test_a_gpu_that_cannot_be_had_leaves_onnx_runtime(bundle: Bundle, shelf: Shelf) -> None:
    put_tried(bundle, shelf)
    broken = Machine(driver=FakeDriver(fails={"cuInit": (1, 999)}))
    assert "the GPU stopped working for us (cuInit answered 999" in on_cpu(choice_on(broken, bundle))
    broken = Machine(driver=FakeDriver(fails={"cuInit": (1, 999)}))
    assert refusal(broken, bundle, "tensorrt").code == "EVL-GPU-FAULT"


@pytest.mark.parametrize(
    ("machine", "engine", "code"),
    [
        (Machine(libraries=()), "tensorrt", "EVL-ENGINE-MISSING"),
        (Machine(), "tensorrt-rtx", "EVL-ENGINE-MISSING"),
        (Machine(), "tensorrt", "EVL-ENGINE-ABSENT"),
        (Machine(gpu=None), "tensorrt", "EVL-GPU-DRIVER"),
        (Machine(), "cuda", "EVL-ENGINE-UNKNOWN"),
    ],
)
def test_what_was_asked_for_and_cannot_be_had_is_an_error(
    bundle: Bundle, machine: Machine, engine: str, code: str
) -> None:
    assert refusal(machine, bundle, engine).code == code


def test_engines_that_were_asked_for_need_graphs_that_they_can_be_of(tmp_path: Path) -> None:
    bundle = bundle_with(tmp_path / "bundle", ("ort",))
    assert refusal(Machine(), bundle, "tensorrt").code == "EVL-BUNDLE-DIALECT"
    assert "TensorRT: the bundle has no graphs for TensorRT 10.3.0" in on_cpu(choice_on(Machine(), bundle))


@pytest.mark.parametrize("provider", [CPU, CUDA])
def test_onnx_runtime_is_taken_where_it_was_asked_for(bundle: Bundle, provider: Provider) -> None:
    machine = Machine()
    choice = choice_on(machine, bundle, engine=provider.engine, max_context=40)
    assert isinstance(choice.backend, OrtBackend)
    assert (choice.backend.provider, choice.max_context, choice.why) == (provider, 40, "it was asked for")
    assert machine.asked == [provider.engine]


def test_a_gpu_without_engines_is_used_by_onnx_runtime_if_it_can(bundle: Bundle) -> None:
    choice = choice_on(Machine(libraries=(), usable=(CUDA, CPU)), bundle)
    assert isinstance(choice.backend, OrtBackend)
    assert choice.backend.provider == CUDA
    assert choice.why.startswith("TensorRT: tensorrt is not installed")


def test_a_decoder_that_onnx_runtime_does_not_run_on_the_gpu_is_run_on_the_cpu(tmp_path: Path) -> None:
    cache = Port("past_key_values.0.key", "float32", ("batch", 2, "capacity", 4))
    bundle = bundle_with(tmp_path / "bundle", precision="fp32", cache=cache)
    why = on_cpu(choice_on(Machine(libraries=(), usable=(CUDA, CPU)), bundle))
    assert "onnxruntime-cuda: the bundle's decoder does not run on onnxruntime-cuda" in why


@pytest.mark.parametrize(("wanted", "context"), [(None, CONTEXT), (40, 40), (0, 0)])
def test_as_much_is_held_as_was_asked_for_or_as_the_engines_hold(
    bundle: Bundle, shelf: Shelf, wanted: int | None, context: int
) -> None:
    put_tried(bundle, shelf)
    assert choice_on(Machine(), bundle, max_context=wanted).max_context == context


def test_more_than_the_engines_hold_is_not_theirs_to_answer(bundle: Bundle, shelf: Shelf) -> None:
    put_tried(bundle, shelf)
    choice = choice_on(Machine(), bundle, max_context=CONTEXT + 1)
    assert "those that there are hold 64 tokens, 65 are asked for" in on_cpu(choice)
    assert choice.max_context == CONTEXT + 1


def test_a_decoder_on_onnx_runtime_holds_what_the_bundle_does(bundle: Bundle, shelf: Shelf) -> None:
    put_tried(bundle, shelf, {"decoder": (SLOW,)})
    assert choice_on(Machine(), bundle).max_context == bundle.manifest.max_context > CONTEXT


def test_engines_are_looked_for_in_the_folder_that_was_given_and_no_other(
    bundle: Bundle, shelf: Shelf, tmp_path: Path
) -> None:
    put_tried(bundle, shelf)
    other = Shelf(tmp_path / "elsewhere")
    other.make()
    assert "none was built" in on_cpu(choice_on(Machine(), bundle, engines=other.folder))
    put_tried(bundle, other)
    plans = native(choice_on(Machine(), bundle, engines=other.folder))._plans
    assert {plan.parents[1] for plan in plans.values()} == {other.folder}


def test_every_engine_is_looked_at_once(bundle: Bundle, shelf: Shelf, tmp_path: Path) -> None:
    other = put_fallback(shelf, tmp_path / "other")
    put_tried(bundle, shelf, {"decoder": (WRONG, other)})
    alone: list[object] = []
    for key in (receipt.key for receipt in shelf.receipts()):
        shelf.look(key, lambda *step: alone.append(step))
    heard: list[object] = []
    chosen(bundle, Wish(), Machine().ground, lambda *step: heard.append(step)).backend.close()
    assert heard == alone
