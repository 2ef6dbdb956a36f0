"""Of what lies on shelves: one engine of every role, or why there is none."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.engines.collection import Collection, Search, check_whole, plans_of_role
from edge_runtime.engines.key import FLAGS, EngineKey
from edge_runtime.engines.place import Gpu, Place
from edge_runtime.engines.receipt import RECEIPT_NAME, Receipt
from edge_runtime.engines.sealed import SEAL, sealed
from edge_runtime.engines.shelf import Shelf
from edge_runtime.errors import EdgeVLError
from edge_runtime.progress import silent
from edge_runtime.record import bytes_from_json
from tests.edge_runtime.engines.engine_samples import (
    CONTEXT,
    bundle_with,
    key_for,
    put_all,
    put_pair,
    put_towers,
)
from tests.edge_runtime.engines.test_key import ORIN, PLACE
from tests.edge_runtime.engines.test_shelf import PLAN, put

THOR = dataclasses.replace(PLACE, gpu=Gpu("Thor", "sm110", "13.0"))
NANO = dataclasses.replace(PLACE, gpu=Gpu("Orin", "sm87", "12.6", 8, 8))
AGX = dataclasses.replace(PLACE, gpu=Gpu("Orin", "sm87", "12.6", 16, 64))
RTX = Place("tensorrt-rtx", "1.7.1", ORIN)
ANYWHERE = dataclasses.replace(RTX, gpu=None)
NAMES = ["adaptor", "decoder.decode", "decoder.prefill", "vision_low"]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return bundle_with(tmp_path / "bundle", ("ort", "trt10", "trt"))


def found(
    bundle: Bundle,
    *shelves: Shelf,
    place: Place = PLACE,
    max_context: int | None = None,
    is_trusted: bool = False,
) -> Collection:
    dialect: Dialect = "trt" if place.engine == "tensorrt-rtx" else "trt10"
    return Search(bundle, dialect, place, max_context, is_trusted).found(shelves)


def refusal(
    bundle: Bundle, *shelves: Shelf, place: Place = PLACE, max_context: int | None = None
) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        found(bundle, *shelves, place=place, max_context=max_context)
    return caught.value


def absence(
    bundle: Bundle, *shelves: Shelf, place: Place = PLACE, max_context: int | None = None
) -> tuple[str, str]:
    error = refusal(bundle, *shelves, place=place, max_context=max_context)
    assert (error.code, error.exit_status) == ("EVL-ENGINE-ABSENT", 2)
    where = f" --engines {shelves[0].folder}" if shelves else ""
    assert error.fix == f"run `edge-vl build {bundle.folder}{where}`, or use --engine onnxruntime"
    return error.what, error.why


def keys(engines: Collection) -> set[EngineKey]:
    return {receipt.key for receipt in engines.receipts.values()}


def remove(shelf: Shelf, names: Iterable[str]) -> None:
    for receipt in list(shelf.receipts()):
        if receipt.key.name in names:
            shelf.remove(receipt.key)


def test_there_is_one_of_every_role_and_its_plan(bundle: Bundle, shelf: Shelf) -> None:
    put_all(bundle, shelf)
    engines = found(bundle, shelf)
    assert sorted(engines.receipts) == sorted(engines.plans) == NAMES
    assert (engines.place, engines.dialect, engines.context) == (PLACE, "trt10", CONTEXT)
    for name, plan in engines.plans.items():
        assert plan == shelf.path(engines.receipts[name].key) / "decoder.plan"
        assert plan.read_bytes() == PLAN


@pytest.mark.parametrize("missing", ["vision_low", "adaptor"])
def test_a_role_without_an_engine_is_named(bundle: Bundle, shelf: Shelf, missing: str) -> None:
    put_all(bundle, shelf)
    remove(shelf, [missing])
    what, why = absence(bundle, shelf)
    assert what == f"there is no engine for {missing}"
    assert why == "none was built of this bundle's graph"


def test_where_no_shelf_is_there_is_no_engine(bundle: Bundle, tmp_path: Path) -> None:
    assert absence(bundle, Shelf(tmp_path / "nowhere"))[1] == "none was built of this bundle's graph"
    assert absence(bundle)[1] == "none was built of this bundle's graph"


def test_where_the_usual_folder_was_looked_in_no_other_is_advised(bundle: Bundle) -> None:
    fix = refusal(bundle, Shelf(bundle.folder / "engines")).fix
    assert fix == f"run `edge-vl build {bundle.folder}`, or use --engine onnxruntime"


def test_engines_of_a_bundle_with_other_weights_are_not_this_ones(
    bundle: Bundle, shelf: Shelf, tmp_path: Path
) -> None:
    put_all(bundle_with(tmp_path / "other", ("ort", "trt10"), changed=("adaptor",)), shelf)
    assert absence(bundle, shelf) == (
        "there is no engine for adaptor",
        "none was built of this bundle's graph",
    )


@pytest.mark.parametrize(
    ("built", "words"),
    [
        (THOR, "one was built by TensorRT 10.3.0 for Thor (sm110, CUDA 13.0)"),
        (
            dataclasses.replace(PLACE, version="10.7.0"),
            "one was built by TensorRT 10.7.0 for Orin (sm87, CUDA 12.6)",
        ),
    ],
)
def test_engines_for_another_place_are_told_with_both_places(
    bundle: Bundle, shelf: Shelf, built: Place, words: str
) -> None:
    put_all(bundle, shelf, built)
    assert absence(bundle, shelf)[1] == f"{words}; here is TensorRT 10.3.0, Orin (sm87, CUDA 12.6)"


def test_engines_that_a_larger_board_built_are_not_for_this_one(bundle: Bundle, shelf: Shelf) -> None:
    put_all(bundle, shelf, AGX)
    assert absence(bundle, shelf, place=NANO)[1] == (
        "one was built by TensorRT 10.3.0 for Orin (sm87, 16 multiprocessors, 64 GiB shared, CUDA 12.6); "
        "here is TensorRT 10.3.0, Orin (sm87, 8 multiprocessors, 8 GiB shared, CUDA 12.6)"
    )
    assert {key.place for key in keys(found(bundle, shelf, place=AGX))} == {AGX}


def test_engines_from_before_boards_were_told_apart_can_be_read_and_are_for_another_gpu(
    bundle: Bundle, shelf: Shelf
) -> None:
    put_all(bundle, shelf)
    for path in shelf.folder.glob(f"*/{RECEIPT_NAME}"):
        told = json.loads(path.read_bytes())
        gpu = told["key"]["place"]["gpu"]
        del told[SEAL], gpu["multiprocessors"], gpu["shared_gib"]
        path.write_bytes(bytes_from_json(sealed(told)))
    assert sorted(found(bundle, shelf).plans) == NAMES
    assert absence(bundle, shelf, place=NANO)[1] == (
        "one was built by TensorRT 10.3.0 for Orin (sm87, CUDA 12.6); "
        "here is TensorRT 10.3.0, Orin (sm87, 8 multiprocessors, 8 GiB shared, CUDA 12.6)"
    )


def test_engines_for_any_gpu_run_on_this_one(bundle: Bundle, shelf: Shelf) -> None:
    put_all(bundle, shelf, ANYWHERE)
    assert {key.place for key in keys(found(bundle, shelf, place=RTX))} == {ANYWHERE}


def test_engines_for_this_very_gpu_come_before_those_for_any(bundle: Bundle, shelf: Shelf) -> None:
    for place in (RTX, ANYWHERE):
        put_all(bundle, shelf, place)
    assert {key.place for key in keys(found(bundle, shelf, place=RTX))} == {RTX}


def test_they_do_so_on_whichever_shelf_they_lie(bundle: Bundle, shelf: Shelf, tmp_path: Path) -> None:
    other = Shelf(tmp_path / "other-engines")
    other.make()
    put_all(bundle, shelf, ANYWHERE)
    put_all(bundle, other, RTX)
    assert {key.place for key in keys(found(bundle, shelf, other, place=RTX))} == {RTX}


def test_a_longer_prefill_for_any_gpu_does_not_come_before_one_for_this(bundle: Bundle, shelf: Shelf) -> None:
    put_all(bundle, shelf, RTX)
    put(shelf, key_for(bundle, "decoder.prefill", CONTEXT, 48, ANYWHERE))
    assert found(bundle, shelf, place=RTX).receipts["decoder.prefill"].key.place == RTX


def test_of_two_that_prefill_the_one_that_takes_more_at_once_is_taken(bundle: Bundle, shelf: Shelf) -> None:
    put_all(bundle, shelf)
    for longest in (8, 48, 16):
        put(shelf, key_for(bundle, "decoder.prefill", CONTEXT, longest))
    assert found(bundle, shelf).receipts["decoder.prefill"].key.longest == 48


def test_a_decoder_may_be_one_engine(bundle: Bundle, shelf: Shelf) -> None:
    put_towers(bundle, shelf)
    put(shelf, key_for(bundle, "decoder", CONTEXT, 32))
    engines = found(bundle, shelf)
    assert sorted(engines.plans) == ["adaptor", "decoder", "vision_low"]
    assert engines.context == CONTEXT


@pytest.mark.parametrize("max_context", [None, CONTEXT])
@pytest.mark.parametrize("name", ["decoder.prefill", "decoder.decode"])
def test_half_a_decoder_is_none(bundle: Bundle, shelf: Shelf, name: str, max_context: int | None) -> None:
    put_all(bundle, shelf)
    remove(shelf, {"decoder.prefill", "decoder.decode"} - {name})
    what, why = absence(bundle, shelf, max_context=max_context)
    assert what == "there is no engine for decoder"
    assert why == f"there is only {name}, a part of one"


def test_halves_for_other_contexts_or_on_other_shelves_are_no_decoder(
    bundle: Bundle, shelf: Shelf, tmp_path: Path
) -> None:
    other = Shelf(tmp_path / "other-engines")
    other.make()
    put_towers(bundle, shelf)
    put(shelf, key_for(bundle, "decoder.prefill", 64, 32))
    put(shelf, key_for(bundle, "decoder.decode", 32, 1))
    put(other, key_for(bundle, "decoder.decode", 64, 1))
    what, why = absence(bundle, shelf, other)
    assert what == "there is no engine for decoder"
    assert why == "there is only decoder.decode, decoder.decode, decoder.prefill, a part of one"


@pytest.mark.parametrize(("wanted", "context"), [(None, 128), (128, 128), (65, 128), (64, 64), (1, 32)])
def test_the_shortest_cache_that_holds_what_is_wanted_is_taken_or_the_longest_of_all(
    bundle: Bundle, shelf: Shelf, wanted: int | None, context: int
) -> None:
    put_towers(bundle, shelf)
    for each in (64, 128, 32):
        put_pair(bundle, shelf, each)
    engines = found(bundle, shelf, max_context=wanted)
    assert engines.context == context
    assert {key.context for key in keys(engines)} == {0, context}


def test_caches_that_are_too_short_are_told(bundle: Bundle, shelf: Shelf) -> None:
    put_towers(bundle, shelf)
    for each in (64, 32):
        put_pair(bundle, shelf, each)
    assert absence(bundle, shelf, max_context=65) == (
        "there is no engine for decoder",
        "those that there are hold 32, 64 tokens, 65 are asked for",
    )


def put_old(bundle: Bundle, shelf: Shelf, names: Iterable[str] = NAMES) -> list[Receipt]:
    """Engines that were built in a way of before."""
    for name in names:
        context, longest = (CONTEXT, 48) if "decoder" in name else (0, 0)
        put(shelf, dataclasses.replace(key_for(bundle, name, context, longest), flags="weakly typed"))
    return [each for each in shelf.receipts() if each.key.flags != FLAGS]


def test_engines_that_were_built_in_another_way_are_none_and_it_is_said(bundle: Bundle, shelf: Shelf) -> None:
    put_old(bundle, shelf)
    what, why = absence(bundle, shelf)
    assert what == "there is no engine for vision_low"
    assert why == f"one was built with 'weakly typed', this edge-vl builds with '{FLAGS}'"


@pytest.mark.parametrize("max_context", [None, CONTEXT])
def test_a_decoder_that_was_built_in_another_way_is_none(
    bundle: Bundle, shelf: Shelf, max_context: int | None
) -> None:
    put_towers(bundle, shelf)
    put_old(bundle, shelf, ["decoder.prefill", "decoder.decode"])
    what, why = absence(bundle, shelf, max_context=max_context)
    assert what == "there is no engine for decoder"
    assert why.startswith("one was built with 'weakly typed', ")
    put(shelf, key_for(bundle, "decoder.prefill", CONTEXT, 32))
    assert absence(bundle, shelf)[1] == "there is only decoder.prefill, a part of one"


def test_beside_those_of_before_the_present_ones_are_taken(bundle: Bundle, shelf: Shelf) -> None:
    put_all(bundle, shelf)
    put_old(bundle, shelf)
    assert {key.flags for key in keys(found(bundle, shelf))} == {FLAGS}


def test_an_engine_of_before_is_refused_by_whoever_names_it(bundle: Bundle, shelf: Shelf) -> None:
    (receipt,) = put_old(bundle, shelf, ["adaptor"])
    with pytest.raises(EdgeVLError) as caught:
        check_whole(shelf, receipt, silent, is_trusted=True)
    assert (caught.value.code, caught.value.what) == (
        "EVL-ENGINE-ABSENT",
        "the engine adaptor cannot be used",
    )
    assert caught.value.why.startswith("it was built with 'weakly typed', ")


def test_an_engine_that_is_not_whole_is_a_fault_of_the_machine(bundle: Bundle, shelf: Shelf) -> None:
    put_all(bundle, shelf)
    plan = found(bundle, shelf).plans["decoder.decode"]
    plan.write_bytes(PLAN[:-1] + b"\0")
    error = refusal(bundle, shelf)
    assert (error.code, error.exit_status) == ("EVL-ENGINE-DAMAGED", 3)
    assert error.what == "the engine decoder.decode cannot be used"
    assert error.why == "decoder.plan is not what was built: its sha256 differs"


def test_of_trusted_engines_the_size_alone_is_looked_at(bundle: Bundle, shelf: Shelf) -> None:
    put_all(bundle, shelf)
    plan = found(bundle, shelf).plans["adaptor"]
    plan.write_bytes(bytes(len(PLAN)))
    assert found(bundle, shelf, is_trusted=True).plans["adaptor"] == plan
    os.truncate(plan, 1)
    with pytest.raises(EdgeVLError) as caught:
        found(bundle, shelf, is_trusted=True)
    assert caught.value.code == "EVL-ENGINE-DAMAGED"


def test_what_is_no_engine_is_passed_over(bundle: Bundle, shelf: Shelf, tmp_path: Path) -> None:
    put_all(bundle, shelf)
    (shelf.folder / "trial-00.json").write_text("{}")
    (shelf.folder / "some-folder").mkdir()
    put(shelf, key_for(bundle, "adaptor", place=THOR)).rename(shelf.folder / "adaptor-copy")
    (put(shelf, key_for(bundle, "vision_low", place=THOR)) / RECEIPT_NAME).write_text("{")
    assert sorted(found(bundle, shelf).plans) == NAMES


def test_an_engine_under_another_name_than_its_keys_is_none(bundle: Bundle, shelf: Shelf) -> None:
    put_all(bundle, shelf)
    found(bundle, shelf).plans["adaptor"].parent.rename(shelf.folder / "adaptor-copy")
    assert absence(bundle, shelf)[0] == "there is no engine for adaptor"


def test_engines_of_several_shelves_answer_together(bundle: Bundle, shelf: Shelf, tmp_path: Path) -> None:
    other = Shelf(tmp_path / "other-engines")
    other.make()
    put_towers(bundle, shelf)
    put_pair(bundle, other)
    homes = {name: plan.parents[1] for name, plan in found(bundle, shelf, other).plans.items()}
    assert homes == {name: (other if "decoder" in name else shelf).folder for name in NAMES}


def test_whoever_waits_hears_how_far_each_is_looked_at(bundle: Bundle, shelf: Shelf) -> None:
    put_all(bundle, shelf)
    heard: list[tuple[str, int, int]] = []
    Search(bundle, "trt10", PLACE).found([shelf], lambda *step: heard.append(step))
    assert set(heard) == {("hash", len(PLAN), len(PLAN))}
    assert len(heard) >= len(NAMES)


def test_plans_of_a_role_are_told_for_a_process_that_works_elsewhere(
    bundle: Bundle, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_all(bundle, shelf)
    monkeypatch.chdir(shelf.folder.parent)
    engines = found(bundle, Shelf(Path("engines")))
    assert not engines.plans["adaptor"].is_absolute()
    assert sorted(plans_of_role(engines, "decoder")) == ["decoder.decode", "decoder.prefill"]
    adaptor = engines.receipts["adaptor"]
    assert plans_of_role(engines, "adaptor") == {"adaptor": str(shelf.plan(adaptor))}


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda receipt: receipt.write_text("{}"), f"{RECEIPT_NAME} "),
        (lambda receipt: receipt.unlink(), f"{RECEIPT_NAME} cannot be read (No such file or directory)"),
    ],
    ids=["damaged", "gone"],
)
def test_an_engine_that_no_longer_says_what_it_is_is_named(
    bundle: Bundle, shelf: Shelf, harm: Callable[[Path], None], words: str
) -> None:
    put_all(bundle, shelf)
    (folder,) = shelf.folder.glob("adaptor-*")
    harm(folder / RECEIPT_NAME)
    what, why = absence(bundle, shelf)
    assert what == "there is no engine for adaptor"
    assert why.startswith(f"none was built of this bundle's graph, unless it is {folder.name}: {words}")
