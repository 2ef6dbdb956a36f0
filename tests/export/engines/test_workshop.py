"""Engines onto a shelf: those that are whole are kept, and all others are made."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime.bundle import Bundle
from edge_runtime.engines.place import Gpu
from edge_runtime.engines.receipt import receipt_in
from edge_runtime.engines.shelf import Shelf
from edge_runtime.errors import EdgeVLError
from edge_runtime.progress import is_in_bytes, silent
from export.engines.compiler import build_engine
from export.engines.request import BuildRequest
from export.engines.serving import Serving
from export.engines.workshop import Made, Workshop, orders_of
from tests.export.engines.adders import ENGINES, engines_on, leftovers_in
from tests.export.engines.smith import CONTEXT, LIMIT_MIB, PLACE, PLAN, Smith, made, orders

WAIT_S = 30.0

pytestmark = pytest.mark.usefixtures("no_gpu")


# --- what is made


def test_every_engine_that_the_bundle_asks_for_is_made_with_a_receipt(bundle: Bundle, shelf: Shelf) -> None:
    smith = Smith()
    every = made(bundle, shelf, smith)
    assert [each.receipt.key.name for each in every] == smith.plans == [*ENGINES]
    assert all(each.is_new and each.fault == "" for each in every)
    assert {*engines_on(shelf.folder)} == {*ENGINES}
    assert leftovers_in(shelf.folder) == []
    assert smith.limits == [LIMIT_MIB] * len(ENGINES)


def test_a_receipt_tells_what_building_took_and_what_came_of_it(bundle: Bundle, shelf: Shelf) -> None:
    low, adaptor, prefill, _ = (each.receipt for each in made(bundle, shelf, Smith()))
    assert (low.cost.seconds, low.cost.peak_held_mib, low.cost.peak_resident_mib) == (1.75, 100.0, 200.1)
    assert (low.plan, low.plan_bytes, low.precision) == ("vision_low.plan", len(PLAN), "fp32")
    assert low.warnings == ("mind the gap",)
    assert [each.contents.attention_layers for each in (low, adaptor, prefill)] == [2, 0, 2]
    assert low.contents.constant_bytes == ({"float": 64},)
    assert low.contents.activation_bytes == (512,)
    assert low.contents.fused_attention == (0,)
    assert receipt_in(shelf.path(low.key)) == low


def test_what_is_there_is_not_built_again(bundle: Bundle, shelf: Shelf) -> None:
    before, smith = [each.receipt for each in made(bundle, shelf, Smith())], Smith()
    stood = engines_on(shelf.folder)
    again = made(bundle, shelf, smith)
    assert smith.requests == [] and not any(each.is_new for each in again)
    assert [each.receipt for each in again] == before and engines_on(shelf.folder) == stood


def test_a_bundle_is_only_read(bundle: Bundle, shelf: Shelf) -> None:
    def state() -> dict[Path, tuple[int, bytes]]:
        files = [path for path in bundle.folder.rglob("*") if path.is_file()]
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = state()
    made(bundle, shelf, Smith())
    assert state() == before


def test_the_real_compiler_makes_what_the_double_makes(rtx: None, bundle: Bundle, shelf: Shelf) -> None:
    wanted = [order for order in orders(bundle) if order.shape.name == "adaptor"]
    (real,) = made(bundle, shelf, build_engine, wanted)
    assert real.is_new and real.receipt.cost.seconds > 0 and real.receipt.cost.peak_held_mib > 20
    assert engines_on(shelf.folder).keys() == {"adaptor"}
    assert made(bundle, shelf, Smith(), wanted) == [replace(real, is_new=False)]


# --- keys


def test_one_key_for_one_engine_and_another_for_whatever_may_matter(bundle: Bundle, tmp_path: Path) -> None:
    usual = orders(bundle)
    gpu = Gpu("RTX 4090", "sm89", "13.0")
    others = [
        orders(bundle, replace(PLACE, version="1.7.2")),
        orders(bundle, replace(PLACE, gpu=gpu)),
        orders(bundle, replace(PLACE, gpu=replace(gpu, driver="12.9"))),
        orders(bundle, replace(PLACE, gpu=replace(gpu, architecture="sm120"))),
    ]
    folders = [order.key.folder for each in (usual, *others) for order in each]
    assert len({*folders}) == 5 * len(ENGINES)
    assert [order.key for order in orders(bundle)] == [order.key for order in usual]
    moved = Bundle.open(shutil.copytree(bundle.folder, tmp_path / "elsewhere"))
    assert [order.key for order in orders(moved)] == [order.key for order in usual]


def test_other_weights_are_other_engines(bundle: Bundle, tmp_path: Path) -> None:
    """The graph's own file is the same."""
    usual = orders(bundle)
    manifest = bundle.manifest
    files = tuple(
        replace(each, sha256="ab" * 32) if each.path == "ort/adaptor.data" else each
        for each in manifest.files
    )
    other = orders(Bundle(bundle.folder, replace(manifest, files=files)))
    differ = [old.shape.name for old, new in zip(usual, other, strict=True) if old.key != new.key]
    assert differ == ["adaptor"]


def test_more_context_than_the_bundle_has_is_refused(bundle: Bundle) -> None:
    with pytest.raises(EdgeVLError) as caught:
        orders(bundle, context=CONTEXT + 1)
    assert caught.value.code == "EVL-CONTEXT-LIMIT"


def test_a_dialect_that_the_bundle_lacks_is_refused(bundle: Bundle) -> None:
    with pytest.raises(EdgeVLError) as caught:
        orders_of(bundle, "trt10", PLACE, Serving(CONTEXT))
    assert caught.value.code == "EVL-BUNDLE-DIALECT"


# --- who watches, and who else builds


def test_progress_counts_bytes_up_to_all_of_them(bundle: Bundle, shelf: Shelf) -> None:
    told: list[tuple[str, int, int]] = []
    workshop = Workshop(bundle, shelf, LIMIT_MIB, lambda *step: told.append(step), Smith())
    list(workshop.made(orders(bundle)))
    assert [label for label, _, _ in told] == [*(f"building {name}" for name in ENGINES), "building"]
    assert all(is_in_bytes(label) for label, _, _ in told)
    counts = [done for _, done, _ in told]
    assert counts == sorted(counts) and counts[0] == 0
    assert {total for _, _, total in told} == {counts[-1]}


def test_an_engine_is_told_as_soon_as_it_is_there(bundle: Bundle, shelf: Shelf) -> None:
    smith = Smith()
    first = next(Workshop(bundle, shelf, LIMIT_MIB, silent, smith).made(orders(bundle)))
    assert first.receipt.key.name == ENGINES[0] and smith.plans == [ENGINES[0]]


def test_of_two_at_once_one_builds_and_the_other_waits_and_finds_it(bundle: Bundle, shelf: Shelf) -> None:
    is_at_work, may_end = threading.Event(), threading.Event()

    def hold(request: BuildRequest) -> None:
        is_at_work.set()
        assert may_end.wait(WAIT_S)

    def watch(label: str, done: int, total: int) -> None:
        if "another process" in label:
            assert is_in_bytes(label)
            may_end.set()

    found: list[Made] = []
    slow, idle = Smith(before=hold), Smith()
    builder = threading.Thread(target=lambda: found.extend(made(bundle, shelf, slow)))
    builder.start()
    assert is_at_work.wait(WAIT_S)
    waited = list(Workshop(bundle, shelf, LIMIT_MIB, watch, idle).made(orders(bundle)))
    builder.join(WAIT_S)
    assert may_end.is_set() and not waited[0].is_new and found[0].is_new
    assert sorted(slow.plans + idle.plans) == sorted(ENGINES)
    pairs = zip(waited, found, strict=True)
    assert all(one.is_new != other.is_new and one.receipt == other.receipt for one, other in pairs)
