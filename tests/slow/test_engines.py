"""NVIDIA's compiler on the real sizes: what it fuses, what it stores, and what building takes."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from calibration.calibrate import calibrate_bundle
from calibration.decision import Decision, Int8
from calibration.minmax import scale_from_absmax
from calibration.quantgraph import write_quantised_graph
from calibration.recipe import Recipe
from calibration.samples import SampleSet
from demo.full_engines import TENSORRT_DIALECTS, engines_one_by_one, full_size_bundle
from demo.random_checkpoint import write_random_checkpoint
from demo.sizes import SIZES
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.progress import silent
from export.engines.compilation import Compiled
from export.engines.compiler import build_engine
from export.engines.inspector import ProfileReport, report_from_plan
from export.engines.request import BuildRequest
from export.engines.serving import Serving, engines_from_graph
from export.exporter import export_bundle
from export.options import ExportOptions
from tests.calibration.reaches import absmax_from_samples
from tests.slow.test_full_size import cut

pytestmark = pytest.mark.slow

CONTEXT = 2048
ALL_BUILDS_S = 360
SAM_ACTIVATIONS = 200_000_000
FLOAT_DECODER_MIB, OTHER_MIB = 9.5 * 1024, 4 * 1024
INT4_DECODER_BYTES = 900_000_000


def test_every_role_of_the_hybrid_compiles_fused_in_both_dialects(room: Path) -> None:
    bundle = full_size_bundle("1.3b-hybrid", room, TENSORRT_DIALECTS, CONTEXT)
    start, names = time.monotonic(), []
    for compiled in engines_one_by_one(bundle, TENSORRT_DIALECTS, room):
        names.append((compiled.dialect, compiled.name))
        assert compiled.has_fused_attention(bundle.spec), compiled
        (profile,) = profiles_of_plan(compiled)
        assert profile.layers_left_in("float") == (), compiled
        peak_mib = FLOAT_DECODER_MIB if compiled.role == "decoder" else OTHER_MIB
        assert compiled.build.peak_resident_mib < peak_mib, compiled
        if compiled.role == "decoder":
            in_place = 2 * bundle.spec.decoder.layers if compiled.dialect == "trt" else 0
            assert profile.in_place is not None and len(profile.in_place) == in_place, compiled
        if compiled.role == "vision_high":
            activations = profile.activation_bytes
            assert activations is not None and activations < SAM_ACTIVATIONS, compiled
    assert len(names) == 2 * 5, names
    assert time.monotonic() - start < ALL_BUILDS_S


def profiles_of_plan(compiled: Compiled) -> tuple[ProfileReport, ...]:
    assert compiled.plan is not None, compiled.found
    return compiled.plan.profiles


@pytest.mark.parametrize("dialect", TENSORRT_DIALECTS)
def test_a_4_bit_decoder_is_one_small_engine_with_both_profiles(room: Path, dialect: Dialect) -> None:
    source = full_size_bundle("1.3b", room, (dialect,), CONTEXT)
    recipe = Recipe(vision="fp16", decoder="int4", head="int8")
    calibrate_bundle(source, room / "int4", recipe, SampleSet(()), threads=1, progress=silent)
    bundle = Bundle.open(room / "int4", is_trusted=True)
    every = {each.name: each for each in engines_one_by_one(bundle, (dialect,), room)}
    assert list(every) == ["vision_low", "adaptor", "decoder"]
    decoder = every["decoder"]
    assert decoder.build.plan_bytes < INT4_DECODER_BYTES, decoder.build
    assert decoder.build.peak_resident_mib < OTHER_MIB, decoder.build
    assert decoder.has_fused_attention(bundle.spec), decoder
    profiles = profiles_of_plan(decoder)
    assert len(profiles) == 2
    for profile in profiles:
        products = profile.products_by_types()
        # q, k and v are one product, gate and up are one; so are the head's four parts.
        assert products is not None and products["half x int4"] >= 4 * bundle.spec.decoder.layers, products
        assert products["half x int8"] == 1 and "half x half" not in products, products
        unpacked_head = 2 * bundle.spec.decoder.vocab * bundle.spec.decoder.width
        assert profile.activation_bytes is not None and profile.activation_bytes < unpacked_head / 2, profile


@pytest.mark.parametrize("dialect", TENSORRT_DIALECTS)
def test_an_8_bit_tower_multiplies_8_bit_numbers_and_keeps_its_attention_fused(
    room: Path, dialect: Dialect
) -> None:
    bundle = full_size_bundle("1.3b", room, (dialect,), CONTEXT)
    source, low = bundle.graph("vision_low", dialect), bundle.spec.low
    names = [
        f"blocks.{index}.{name}" for index in range(low.layers) for name in ("qkv", "proj", "fc1", "fc2")
    ]
    pixels = np.random.default_rng(1).standard_normal((1, 3, low.image_size, low.image_size))
    peaks = absmax_from_samples(bundle.path_of(source), names, [{"pixels": pixels.astype(np.float16)}], 2)
    decisions: dict[str, Decision] = {name: Int8(scale_from_absmax(peak)) for name, peak in peaks.items()}
    target, plan = room / "int8" / "vision_low.onnx", room / "vision_low.plan"
    target.parent.mkdir()
    write_quantised_graph(bundle.path_of(source), target, dialect, decisions)
    (shape,) = engines_from_graph(source, Serving(CONTEXT))
    report = build_engine(BuildRequest("vision_low", "tensorrt-rtx", str(target), str(plan), shape.profiles))
    assert report.peak_resident_mib < OTHER_MIB, report
    (profile,) = report_from_plan(plan, report.products).profiles
    assert profile.fused_attention() == low.layers, profile
    products = profile.products_by_types()
    assert products is not None and products["int8 x int8"] == len(names), products
    assert products.keys() - {"int8 x int8"} <= {"half x half"}, products  # the patches' convolution


def test_profiles_of_a_float_decoder_hold_the_weights_of_its_layers_once_each(room: Path) -> None:
    """Why a float decoder becomes two engines: measured on four layers at full width. The head is shared."""
    bundle = four_layers(room)
    entry = bundle.graph("decoder", "trt")
    profiles = tuple(shape.profiles[0] for shape in engines_from_graph(entry, Serving(CONTEXT)))
    sizes = []
    for name, chosen in (("one", profiles[:1]), ("both", profiles)):
        plan = str(room / f"{name}.plan")
        request = BuildRequest("decoder", "tensorrt-rtx", str(bundle.path_of(entry)), plan, chosen)
        sizes.append(build_engine(request).plan_bytes)
    tensors = bundle.onnx_file(entry).tensors
    layers = sum(tensor.nbytes for tensor in tensors if tensor.name.startswith("blocks."))
    assert 0.95 * layers < sizes[1] - sizes[0] < 1.1 * layers, (sizes, layers)


def four_layers(room: Path) -> Bundle:
    write_random_checkpoint(cut(SIZES["1.3b"], 4), room / "checkpoint")
    export_bundle(room / "checkpoint", room / "bundle", ExportOptions(("trt",), "fp16", CONTEXT))
    return Bundle.open(room / "bundle", is_trusted=True)
