"""What the full-size measurement takes from a folder, leaves in it and writes down; the sizes are the slow suite's."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from demo.full_engines import (
    TENSORRT_DIALECTS,
    check_bundle,
    engines_one_by_one,
    full_size_bundle,
    profiles_of,
    record_from_compiled,
    table_from_report,
)
from demo.random_checkpoint import write_random_checkpoint
from demo.sizes import SIZES
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.errors import EdgeVLError
from export.engines.compilation import Compiled
from export.engines.findings import Findings
from export.engines.inspector import PlanReport, ProfileReport
from export.engines.products import Product
from export.engines.request import BuildReport
from export.exporter import export_bundle
from export.options import ExportOptions

CONTEXT = 256
REPORTS = sorted((Path(__file__).parent.parent.parent / "docs" / "engines").glob("*.json"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a run leaves it."""
    found = tmp_path_factory.mktemp("engines")
    write_random_checkpoint(SIZES["tiny-low"], found / "tiny-low", "original")
    export_bundle(found / "tiny-low", found / "tiny-low-engines", ExportOptions(("trt10",), "fp16", CONTEXT))
    return found


def test_what_is_there_and_would_be_made_again_is_taken(folder: Path) -> None:
    bundle = full_size_bundle("tiny-low", folder, ("trt10",), CONTEXT)
    assert bundle.folder == folder / "tiny-low-engines"


@pytest.mark.parametrize(
    ("dialects", "context", "words"),
    [
        (("trt10",), CONTEXT + 1, "max_context 256 instead of 257"),
        (("trt10", "trt"), CONTEXT, "dialects trt10 instead of trt, trt10"),
    ],
)
def test_a_bundle_of_other_options_is_refused(
    folder: Path, dialects: tuple[Dialect, ...], context: int, words: str
) -> None:
    with pytest.raises(EdgeVLError) as caught:
        full_size_bundle("tiny-low", folder, dialects, context)
    assert caught.value.code == "EVL-FULL-SIZE"
    assert words in caught.value.why and "remove it" in caught.value.fix


def test_a_bundle_of_another_checkpoint_is_refused(folder: Path, tmp_path: Path) -> None:
    write_random_checkpoint(SIZES["tiny-low"], tmp_path / "tiny-low", "original", seed=1)
    (tmp_path / "tiny-low-engines").symlink_to(folder / "tiny-low-engines", target_is_directory=True)
    with pytest.raises(EdgeVLError, match=r"checkpoint \w+ instead of"):
        full_size_bundle("tiny-low", tmp_path, ("trt10",), CONTEXT)


def test_a_bundle_of_another_version_or_precision_is_refused(folder: Path) -> None:
    bundle = Bundle.open(folder / "tiny-low-engines")
    provenance = replace(bundle.manifest.provenance, edge_vl_version="0.0.1")
    graphs = tuple(replace(graph, precision="fp32") for graph in bundle.manifest.graphs)
    for manifest, words in (
        (replace(bundle.manifest, provenance=provenance), "edge-vl 0.0.1 instead of"),
        (replace(bundle.manifest, graphs=graphs), "precision fp32 instead of fp16"),
    ):
        with pytest.raises(EdgeVLError, match=words):
            check_bundle(Bundle(bundle.folder, manifest), folder / "tiny-low", ("trt10",), CONTEXT)


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx is not installed")
def test_a_plan_that_a_killed_run_left_stops_nobody_and_none_is_left_behind(folder: Path) -> None:
    (folder / "vision_low.plan").write_bytes(b"half a plan")
    (folder / "plans-killed").mkdir()
    bundle, before = Bundle.open(folder / "tiny-low-engines"), set(folder.iterdir())
    engines = engines_one_by_one(bundle, ("trt10",), folder)
    assert next(engines).name == "vision_low"
    engines.close()
    assert set(folder.iterdir()) == before


def profile(
    in_place: tuple[str, ...] | None, left: str = "float", attention: int | None = 24
) -> ProfileReport:
    products = (
        Product("matmul", left, left, ("blocks.0.q/MatMul",), is_compiled_on_device=False),
        Product("matmul", "half", "int4", ("blocks.0.o/MatMul",), is_compiled_on_device=True),
    )
    kernels = None if attention is None else {"_gemm_mha_v2": attention}
    return ProfileReport(0, (), kernels, products, {}, 1_000_000, 9, in_place, attention, True)


def told(**changes: object) -> dict[str, Any]:
    (found,) = profiles_of(PlanReport(1, (replace(profile(("k", "v")), **cast("Any", changes)),), "plan"))
    return found


def test_layers_left_in_float_are_named() -> None:
    assert told()["left_in_float"] == ("blocks.0.q/MatMul",)
    assert told(products=profile(None, left="half").products)["left_in_float"] == ()


def test_what_a_source_does_not_tell_is_null_and_no_number() -> None:
    assert told()["in_place"] == 2 and told(in_place=())["in_place"] == 0
    silent = told(in_place=None, is_every_product_told=False, attention_layers=None)
    assert silent["in_place"] is silent["left_in_float"] is silent["fused_attention_layers"] is None


def build_report() -> BuildReport:
    return BuildReport(
        role="decoder",
        engine="tensorrt-rtx",
        engine_version="1.7.1.116",
        plan="decoder.plan",
        plan_bytes=875_000_000,
        parse_seconds=0.5,
        build_seconds=99.5,
        peak_held_mib=2048.0,
        peak_resident_mib=3072.0,
        activation_bytes=None,
        weight_bytes=None,
        layers={},
        products=(),
        warnings=(),
    )


def record(folder: Path, found: Findings) -> dict[str, Any]:
    bundle = Bundle.open(folder / "tiny-low-engines")
    made = record_from_compiled(Compiled("decoder", "trt10", "decoder", build_report(), found), bundle)
    assert json.loads(json.dumps(made)).keys() == made.keys()
    return made


def test_a_record_says_who_told_and_who_refused(folder: Path) -> None:
    plan, engine = (PlanReport(1, (profile(None),), source) for source in ("plan", "engine"))
    both = record(folder, Findings(plan, engine))
    assert (both["source"], len(both["on_gpu"]), both["refusals"]) == ("plan", 1, [])
    refused = record(folder, Findings(None, engine, ("no listing [EVL-PLAN-LISTING]",)))
    assert refused["source"] == "engine" and "on_gpu" not in refused
    assert refused["refusals"] == ["no listing [EVL-PLAN-LISTING]"]


def row(folder: Path, *profiles: ProfileReport) -> list[str]:
    report: Mapping[str, Any] = {
        "seconds": 100.0,
        "engines": [record(folder, Findings(PlanReport(1, profiles, "plan"), None))],
    }
    line = next(line for line in table_from_report(report, "a.json").splitlines() if "decoder" in line)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_of_two_profiles_shows_the_worse(folder: Path) -> None:
    larger = replace(profile(("k",), attention=23), activation_bytes=3_000_000)
    found = row(folder, profile(("k", "v")), larger)
    layers = SIZES["tiny-low"].decoder.layers
    assert found == ["decoder", "trt10", f"23/{layers}", "875 MB", "3 MB", "1", "100 s", "3.0 GiB"]


def test_a_row_says_what_was_not_told(folder: Path) -> None:
    silent = replace(profile(None, attention=None), activation_bytes=None)
    found = row(folder, profile(("k", "v")), silent)
    assert found[2] == f"not told/{SIZES['tiny-low'].decoder.layers}" and found[4:6] == ["not told"] * 2


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: str(path.name))
def test_a_committed_report_has_a_row_for_every_engine_and_none_of_another_dialect(path: Path) -> None:
    report = json.loads(path.read_text(encoding="utf-8"))
    rows = [line for line in table_from_report(report, path.name).splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + len(report["engines"])
    assert {each["dialect"] for each in report["engines"]} == set(TENSORRT_DIALECTS)
