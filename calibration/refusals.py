"""What a calibration refuses before it begins."""

from __future__ import annotations

import os
from pathlib import Path

from calibration.aim import Aim, least_bytes
from calibration.budget import MIB, Budget, check_least
from calibration.cache import DIALECTS, carriers_in
from calibration.decision import BLOCKS
from calibration.evaluation import check_exam
from calibration.recipe import Recipe
from calibration.samples import SampleSet
from edge_runtime.backends.ort_library import check_byte_caches
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EdgeVLError
from edge_runtime.manifest import Manifest, bytes_from_manifest
from edge_runtime.publish import check_parent, exists_error, place_of, unwritable_error

RECIPE = "EVL-CALIBRATE-RECIPE"
MANIFEST_SPARE_BYTES = 4096  # two reports and a seal


def check_place(bundle: Path, out: Path) -> None:
    """`out` is a new name outside the bundle, which is only read. Asked before minutes go by; who writes asks again."""
    target = place_of(out)
    check_parent(target)
    if os.path.lexists(target):
        raise exists_error(target)
    if target.parent.resolve().is_relative_to(bundle.resolve()):
        raise unwritable_error(target, f"it lies in the bundle {bundle}, which is only read")


def check_recipe(recipe: Recipe) -> None:
    """Options that would change nothing are mistakes: whoever gives them expects something else of them."""
    if {recipe.vision, recipe.decoder, recipe.head, recipe.embedding, recipe.kv} == {"fp16"}:
        why = "towers, decoder, head, embedding and cache are all to stay as they are"
        fix = "leave one of --vision, --decoder and --head out, or give it bits"
        raise EdgeVLError(RECIPE, "nothing is to be quantised", why, fix)
    if "int4" not in (recipe.decoder, recipe.head):
        why = "it is about 4-bit weights, and neither --decoder nor --head asks for them"
        fix = "leave it out, or ask for --decoder int4 or --head int4"
        check_idle(f"--method {recipe.method}", recipe.method != "rtn", why, fix)
        check_idle(f"--block {recipe.block}", recipe.block != BLOCKS[0], why, fix)
    if recipe.vision != "int8":
        why = "it is about what 8-bit products of towers and adaptor read, and --vision fp16 has none"
        fix = "leave it out, or ask for --vision int8"
        check_idle(f"--observer {recipe.observer}", recipe.observer != "minmax", why, fix)
        check_idle(f"--smooth {recipe.smooth:g}", recipe.smooth != 0, why, fix)


def check_idle(option: str, is_given: bool, why: str, fix: str) -> None:
    if is_given:
        raise EdgeVLError(RECIPE, f"{option} has nothing to do", why, fix)


def check_float(bundle: Bundle) -> None:
    if bundle.manifest.calibration is not None:
        what, why = "this bundle is quantised already", "integers are made of floats, not of other integers"
        raise EdgeVLError("EVL-CALIBRATE-FLOAT", what, why, "give the float bundle that it was made from")


def check_samples(recipe: Recipe, samples: SampleSet, budget: Budget) -> None:
    if samples.samples or not (recipe.needs_samples or budget.is_given):
        return
    what, fix = "there are no samples", "give --images DIR or --samples FILE.jsonl"
    if budget.is_given:
        why = "budgets are kept by asking what each layer costs"
        raise EdgeVLError("EVL-CALIBRATE-SAMPLES", what, why, fix)
    why = "8-bit products, 8-bit caches, GPTQ and AWQ need to know what layers read"
    fix += ", or ask for --vision fp16 and --method rtn"
    raise EdgeVLError("EVL-CALIBRATE-SAMPLES", what, why, fix)


def check_ranking(recipe: Recipe, has_samples: bool, budget: Budget) -> None:
    """That layers which are asked to be ranked are there, and would not be ranked anyway."""
    why, fix = "a budget is kept by ranking layers: they will be in the report", "leave it out"
    check_idle("--rank", budget.is_given, why, fix)
    why, fix = "no layer is to be quantised", "leave it out, or give --vision, --decoder or --head bits"
    check_idle("--rank", {recipe.vision, recipe.decoder, recipe.head} == {"fp16"}, why, fix)
    if not has_samples:
        what, why = "there are no samples", "layers are ranked by asking what each of them costs"
        fix = "give --images DIR or --samples FILE.jsonl, or leave --rank out"
        raise EdgeVLError("EVL-CALIBRATE-SAMPLES", what, why, fix)


def check_cache(bundle: Bundle, recipe: Recipe) -> None:
    carriers = carriers_in(bundle) if recipe.kv == "int8" else []
    if any(each.dialect == "ort" for each in carriers):  # what is written is asked here, and would be there
        check_byte_caches("this bundle's cache would be 8-bit", "calibrate without --kv int8")
    if recipe.kv == "int8" and not carriers:
        what = "the cache cannot hold bytes"
        why = f"only {' and '.join(DIALECTS)} graphs can carry that; trt's update in place takes floats alone"
        fix = f"export the bundle with --dialect {' or '.join(DIALECTS)}, or leave --kv as it is"
        raise EdgeVLError("EVL-CALIBRATE-CACHE", what, why, fix)


def check_aim(bundle: Bundle, recipe: Recipe, aim: Aim) -> None:
    """What can be known of budgets and exams without running anything."""
    if aim.exam is not None:
        check_exam(aim.exam, bundle)
    if aim.budget.mib is not None:
        check_least(least_bytes(bundle, recipe), aim.budget.mib)


def has_room(folder: Path, draft: Manifest, aim: Aim) -> bool:
    """Whether what is written keeps its budget of bytes once it has a manifest."""
    manifest_bytes = len(bytes_from_manifest(draft)) + MANIFEST_SPARE_BYTES
    return aim.budget.mib is None or size_of(folder) + manifest_bytes <= aim.budget.mib * MIB


def check_room(folder: Path, aim: Aim) -> None:
    """The estimate that the mix was chosen by is above what is written; an assertion that it was."""
    assert aim.budget.mib is None or size_of(folder) <= aim.budget.mib * MIB, "the bundle outgrew its budget"


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
