"""Engines that are not as they were built are named and made again, and no half one is ever seen."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

from edge_runtime.bundle import Bundle
from edge_runtime.engines.place import Gpu, Place
from edge_runtime.engines.receipt import RECEIPT_NAME, receipt_in, write_receipt
from edge_runtime.engines.shelf import Shelf
from edge_runtime.errors import EdgeVLError
from edge_runtime.progress import silent
from export.engines import compilation
from export.engines.compiler import build_engine
from export.engines.request import BuildRequest
from export.engines.workshop import Workshop
from tests.export.engines.adders import ENGINES, engines_on, leftovers_in, seen_in
from tests.export.engines.smith import PLACE, PLAN, Smith, made, orders

TENSORRT = Place("tensorrt", "10.16.1", Gpu("Orin", "sm87", "12.6"))
HUNGRY = "import sys, time; sys.stdin.buffer.read(); held = bytearray(300 << 20); time.sleep(60)"

pytestmark = pytest.mark.usefixtures("no_gpu")


# --- what is of no use


def truncated(engine: Path) -> None:
    plan = next(engine.glob("*.plan"))
    plan.write_bytes(plan.read_bytes()[:-1])


def bit_flipped(engine: Path) -> None:
    plan = next(engine.glob("*.plan"))
    data = bytearray(plan.read_bytes())
    data[len(data) // 2] ^= 1
    plan.write_bytes(data)


def without_receipt(engine: Path) -> None:
    (engine / RECEIPT_NAME).unlink()


def without_plan(engine: Path) -> None:
    next(engine.glob("*.plan")).unlink()


def emptied(engine: Path) -> None:
    shutil.rmtree(engine)
    engine.mkdir()


def edited_receipt(engine: Path) -> None:
    """Without its seal."""
    receipt = engine / RECEIPT_NAME
    receipt.write_bytes(receipt.read_bytes().replace(b'"fp32"', b'"fp16"'))


def torn_receipt(engine: Path) -> None:
    receipt = engine / RECEIPT_NAME
    receipt.write_bytes(receipt.read_bytes()[:100])


def of_another_version(engine: Path) -> None:
    """Under the name of ours, with a seal that fits."""
    receipt = receipt_in(engine)
    (engine / RECEIPT_NAME).unlink()
    place = replace(receipt.key.place, version="1.6.0")
    write_receipt(engine, replace(receipt, key=replace(receipt.key, place=place)))


DAMAGES: list[tuple[Callable[[Path], None], str]] = [
    (truncated, f"adaptor.plan has {len(PLAN) - 1} bytes of {len(PLAN)}"),
    (bit_flipped, "its sha256 differs"),
    (without_receipt, "engine.json is missing"),
    (without_plan, "adaptor.plan is missing"),
    (emptied, "engine.json is missing"),
    (edited_receipt, "engine.json is damaged"),
    (torn_receipt, "engine.json"),
    (of_another_version, "it was built by TensorRT-RTX 1.6.0, here is TensorRT-RTX 1.7.1"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGES, ids=lambda each: getattr(each, "__name__", ""))
def test_an_engine_that_is_not_as_it_was_built_is_named_and_made_again_alone(
    bundle: Bundle, shelf: Shelf, damage: Callable[[Path], None], words: str
) -> None:
    made(bundle, shelf, Smith())
    before, smith = engines_on(shelf.folder), Smith()
    damage(shelf.folder / before["adaptor"][0])
    every = {each.receipt.key.name: each for each in made(bundle, shelf, smith)}
    assert smith.plans == ["adaptor"]
    assert every["adaptor"].is_new and words in every["adaptor"].fault
    assert not any(each.fault for name, each in every.items() if name != "adaptor")
    after = engines_on(shelf.folder)
    assert after.pop("adaptor")[0] == before.pop("adaptor")[0] and after == before


def test_engines_of_other_places_lie_side_by_side(bundle: Bundle, shelf: Shelf) -> None:
    made(bundle, shelf, Smith())
    stood, smith = seen_in(shelf.folder), Smith()
    other = replace(PLACE, version="1.6.0", gpu=Gpu("Orin", "sm87", "12.6"))
    assert all(each.is_new for each in made(bundle, shelf, smith, orders(bundle, other)))
    assert len(smith.requests) == len(ENGINES)
    assert len(seen_in(shelf.folder)) == 2 * len(ENGINES) and {*stood} < {*seen_in(shelf.folder)}
    for wanted in (orders(bundle), orders(bundle, other)):
        assert not any(each.is_new for each in made(bundle, shelf, smith, wanted))


# --- what cannot be read


def refuses(monkeypatch: pytest.MonkeyPatch, fault: EdgeVLError) -> None:
    """There is a GPU, and whoever asks it what is in an engine hears no more than this."""

    def report(plan: Path, engine: str, asked: object) -> NoReturn:
        raise fault

    monkeypatch.setattr(compilation, "has_driver", lambda: True)
    monkeypatch.setattr(compilation, "report_from_device", report)


@pytest.mark.parametrize("code", ["EVL-ENGINE-LISTING", "EVL-ENGINE-NAMES", "EVL-INSPECT-CRASH"])
def test_an_engine_of_tensorrt_that_cannot_be_read_is_kept_and_says_so(
    bundle: Bundle, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    fault = EdgeVLError(code, "it cannot be read", "who knows", "go by the trial")
    refuses(monkeypatch, fault)
    receipts = [each.receipt for each in made(bundle, shelf, Smith(), orders(bundle, TENSORRT))]
    assert {each.key.name for each in receipts} == {*ENGINES} == {*engines_on(shelf.folder)}
    for receipt in receipts:
        told = receipt.contents
        assert (told.fused_attention, told.constant_bytes, told.activation_bytes) == ((None,),) * 3
        assert told.least_fused is None
        assert receipt.warnings == ("mind the gap", str(fault))
        assert receipt_in(shelf.path(receipt.key)) == receipt
    assert receipts[0].contents.attention_layers == 2
    smith = Smith()
    made(bundle, shelf, smith, orders(bundle, TENSORRT))
    assert smith.requests == []


def test_an_engine_with_a_listing_is_told_by_that_and_says_what_the_gpu_did_not_tell(
    bundle: Bundle, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = EdgeVLError("EVL-ENGINE-LISTING", "it cannot be read", "who knows", "report these lines")
    refuses(monkeypatch, fault)
    (low, *_) = made(bundle, shelf, Smith())
    assert low.receipt.contents.activation_bytes == (512,)
    assert low.receipt.warnings == ("mind the gap", str(fault))


@pytest.mark.parametrize("code", ["EVL-ENGINE-FOREIGN", "EVL-FILE", "EVL-ENGINE-MISSING"])
def test_a_plan_of_tensorrt_that_is_no_engine_here_is_not_kept(
    bundle: Bundle, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    refuses(monkeypatch, EdgeVLError(code, "what", "why", "fix"))
    with pytest.raises(EdgeVLError, match=code):
        made(bundle, shelf, Smith(), orders(bundle, TENSORRT))
    assert seen_in(shelf.folder) == [] and leftovers_in(shelf.folder) == []


# --- what goes wrong


def test_an_engine_that_cannot_be_built_leaves_the_others_and_nothing_of_itself(
    bundle: Bundle, shelf: Shelf
) -> None:
    def refuse(request: BuildRequest) -> None:
        if request.role == "decoder":
            raise EdgeVLError("EVL-BUILD-FAILED", "what", "why", "fix")

    with pytest.raises(EdgeVLError, match="EVL-BUILD-FAILED"):
        made(bundle, shelf, Smith(before=refuse))
    assert {*engines_on(shelf.folder)} == {"vision_low", "adaptor"}
    assert leftovers_in(shelf.folder) == []
    smith = Smith()
    made(bundle, shelf, smith)
    assert smith.plans == ["decoder.prefill", "decoder.decode"]


def test_a_disk_that_fills_up_in_a_build_is_named(bundle: Bundle, shelf: Shelf) -> None:
    def fill(request: BuildRequest) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), request.plan)

    with pytest.raises(EdgeVLError, match="EVL-DISK-FULL"):
        made(bundle, shelf, Smith(before=fill))
    assert seen_in(shelf.folder) == [] and leftovers_in(shelf.folder) == []


def test_a_disk_without_room_is_named_before_the_build(
    bundle: Bundle, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(shelf.folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1 << 20))
    smith = Smith()
    with pytest.raises(EdgeVLError, match="EVL-DISK-FULL"):
        made(bundle, shelf, smith)
    assert smith.requests == [] and leftovers_in(shelf.folder) == []


def test_a_build_that_holds_more_than_it_may_is_ended(bundle: Bundle, shelf: Shelf) -> None:
    build = partial(build_engine, command=[sys.executable, "-c", HUNGRY])
    with pytest.raises(EdgeVLError) as caught:
        list(Workshop(bundle, shelf, 100, silent, build).made(orders(bundle)))
    assert caught.value.code == "EVL-BUILD-MEMORY" and "may hold 100 MiB" in caught.value.why
    assert seen_in(shelf.folder) == [] and leftovers_in(shelf.folder) == []


def test_what_a_kill_left_beside_a_whole_engine_is_swept(bundle: Bundle, shelf: Shelf) -> None:
    """As where it came between the engine's appearing and the end of its stage."""
    (first, *_) = made(bundle, shelf, Smith())
    (shelf.folder / f".{first.receipt.key.folder}.{'0' * 16}.partial").mkdir()
    smith = Smith()
    made(bundle, shelf, smith)
    assert smith.requests == [] and leftovers_in(shelf.folder) == []
