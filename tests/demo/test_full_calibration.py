"""The bars of calibration at full size are measured as they are meant; the measuring itself is in the slow suite."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from demo.calibrated_engines import engine_row, float_products
from demo.full_calibration import (
    PARTS,
    parser_of_command,
    plan_from_arguments,
    report_from_arguments,
    sizes_record,
    table_from_report,
)
from demo.full_plan import CHOICES, ENGINES, Plan
from demo.full_ranges import Tower, asked, compared_times, measured_ranges
from demo.full_sizes import embedding_bytes, head_weights, size_records, weights_of
from demo.full_towers import OBSERVERS, PEAK_BARS_MIB, command_record
from demo.rivals.pictures import write_pictures
from demo.sizes import SIZES
from edge_runtime.bundle import Bundle
from edge_runtime.spec import Role
from export.engines.compilation import Compiled
from export.engines.inspector import PlanReport, ProfileReport
from export.engines.products import UNLISTED, Product
from tests.proof.subject import bundle_below, session_folder

REPORTS = sorted((Path(__file__).parent.parent.parent / "docs" / "calibration").glob("full-*.json"))
GIB = 1 << 30


def total_gib(size: str, name: str) -> float:
    spec, choices = SIZES[size], CHOICES[name]
    roles = weights_of(spec)
    found = sum(
        weights.nbytes(choices["decoder" if role == "decoder" else "vision"])
        for role, weights in roles.items()
    )
    return (found + head_weights(spec).nbytes(choices["head"]) + embedding_bytes(spec)) / GIB


@pytest.mark.parametrize(
    ("size", "name", "published"),
    [
        ("1.3b", "w4", 1.66),
        ("1.3b", "w8", 2.31),
        ("1.3b", "w8a8", 2.31),
        ("7b", "w4", 4.68),
        ("7b", "w8", 7.61),
    ],
)
def test_the_arithmetic_is_that_of_the_model_sheet(size: str, name: str, published: float) -> None:
    assert round(total_gib(size, name), 2) == published


def test_every_weight_of_the_real_towers_is_counted() -> None:
    counted = {role: weights.products + weights.others for role, weights in weights_of(SIZES["7b"]).items()}
    assert counted["vision_low"] == 303_688_704
    assert counted["vision_high"] == 89_670_912 + 787_456 + 5_898_240 + 1
    assert counted["adaptor"] == 20_979_712


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle and pictures, where the command looks for them."""
    found = tmp_path_factory.mktemp("full")
    bundle = bundle_below(session_folder(tmp_path_factory), "hybrid", "fp16")
    (found / "tiny-ort").symlink_to(bundle, target_is_directory=True)
    write_pictures(found / "pictures", range(2), side=128)
    return found


@pytest.mark.parametrize("observer", ["minmax", "percentile"])
@pytest.mark.parametrize("role", ["vision_low", "vision_high"])
def test_ranges_of_a_tower_see_every_picture(folder: Path, role: Role, observer: Any) -> None:
    tower = Tower(folder / "tiny-ort", role, observer, folder / "pictures", 2)
    said = measured_ranges(tower)
    spec = tower.bundle.spec.low if role == "vision_low" else tower.bundle.spec.high
    assert spec is not None
    assert said["images"] == 2
    assert said["layers"] == 4 * spec.layers


@pytest.mark.parametrize("observer", ["minmax", "percentile"])
def test_ranges_of_all_towers_together_are_those_of_calibration_itself(folder: Path, observer: str) -> None:
    paths = [str(folder / name) for name in ("tiny-ort", "pictures")]
    said = asked("memory", paths[0], "vision", observer, paths[1], "2")
    spec = Bundle.open(folder / "tiny-ort").spec
    assert spec.high is not None
    assert said == {"images": 2, "layers": 4 * (spec.low.layers + spec.high.layers) + 3}


def test_the_whole_command_is_measured_around_the_ranges(folder: Path) -> None:
    record = cast("dict[str, Any]", command_record(plan_of(folder), folder / "tiny-ort"))
    assert record["images"] == 1
    assert 50 < record["peak_held_mib"] <= record["peak_resident_mib"]
    assert not (folder / "tiny-towers-int8").exists()


def test_float_and_watched_passes_are_timed_over_the_same_pictures(folder: Path) -> None:
    said = cast(
        "dict[str, float]",
        compared_times(Tower(folder / "tiny-ort", "vision_low", "minmax", folder / "pictures", 2)),
    )
    assert said["images"] == 2
    assert min(said[name] for name in ("float_s", "ranges_s", "float_cpu_s", "ranges_cpu_s")) > 0


def test_sizes_are_those_of_the_files_and_add_up(folder: Path) -> None:
    bundle = Bundle.open(folder / "tiny-ort")
    fp16 = {"vision": "fp16", "decoder": "fp16", "head": "fp16"}
    records = cast("list[dict[str, Any]]", size_records(bundle, "ort", fp16))
    by_role = {each["role"]: each for each in records}
    assert by_role.keys() == {"vision_high", "vision_low", "adaptor", "decoder", "embed", "all"}
    assert by_role["embed"]["ratio"] == 1
    assert by_role["all"]["bytes"] == sum(each["bytes"] for each in records[:-1])
    on_disk = sum(path.stat().st_size for path in (bundle.folder / "graphs").rglob("*") if path.is_file())
    assert by_role["all"]["bytes"] - by_role["embed"]["bytes"] <= on_disk


def plan_of(folder: Path) -> Plan:
    return Plan("tiny", folder, images=2, compared=1, context=512)


@pytest.mark.parametrize("name", ["w4", "w8a8", "gptq"])
def test_a_quantised_bundle_is_made_measured_asked_and_removed(folder: Path, name: str) -> None:
    record = cast("dict[str, Any]", sizes_record(plan_of(folder), folder / "tiny-ort", name))
    assert record["answered_tokens"] == 4
    assert record["seconds"] > 0
    assert record["sizes"][-1]["role"] == "all"
    assert ("--method gptq" in record["options"]) == (name == "gptq")
    assert not (folder / f"tiny-{name}").exists()


def test_every_kind_of_decoder_and_head_is_measured_and_compiled() -> None:
    for names in (CHOICES, ENGINES):
        every = [CHOICES[name] for name in names]
        assert {each["decoder"] for each in every} == {"int4", "int8", "w8a8"}
        assert {each["head"] for each in every} == {"int4", "int8"}


def compiled_with(*products: Product, is_every_product_told: bool = True) -> Compiled:
    profile = ProfileReport(0, None, {}, products, None, None, None, None, 0, is_every_product_told)
    return cast(
        "Compiled", SimpleNamespace(found=SimpleNamespace(reports=(PlanReport(1, (profile,), "plan"),)))
    )


def test_a_layer_that_is_multiplied_as_floats_is_noticed_and_what_is_no_layer_is_not() -> None:
    fused = Product("matmul", "half", "int4", ("blocks.0.q/MatMul",), is_compiled_on_device=True)
    patches = Product("convolution", "half", "half", ("patches",), is_compiled_on_device=False)
    places = Product("matmul", "half", "half", ("blocks.0/MatMul.2",), is_compiled_on_device=False)
    left = Product("matmul", "half", "half", ("blocks.0.o/MatMul",), is_compiled_on_device=False)
    names = ["blocks.0.q", "blocks.0.o"]
    assert float_products(compiled_with(fused, patches, places), names) == []
    assert float_products(compiled_with(fused, left), names) == ["blocks.0.o/MatMul"]


def test_where_a_layer_may_be_multiplied_as_floats_it_is_not_said_that_none_is() -> None:
    unknown = Product("matmul", "half", UNLISTED, ("blocks.0.q/MatMul",), is_compiled_on_device=False)
    places = Product("matmul", UNLISTED, UNLISTED, ("blocks.0/MatMul.2",), is_compiled_on_device=False)
    assert float_products(compiled_with(unknown), ["blocks.0.q"]) is None
    assert float_products(compiled_with(is_every_product_told=False), ["blocks.0.q"]) is None
    assert float_products(compiled_with(places), ["blocks.0.q"]) == []


def test_an_engine_has_a_row_with_all_its_profiles_and_what_is_not_told() -> None:
    profiles = [{"products": {"half x int4": count}, "fused_attention_layers": count} for count in (5, 4)]
    record = {"engine": "decoder", "dialect": "trt", "plan_bytes": 3_000_000, "attention_layers": 5}
    row = engine_row(record | {"profiles": profiles, "float_products": ["a"]})
    assert row == "| decoder | trt | 5 half x int4; 4 half x int4 | 1 | 4/5 | 3 MB |"
    untold = [{"products": None, "fused_attention_layers": None}]
    row = engine_row(record | {"profiles": untold, "float_products": None})
    assert row == "| decoder | trt |  | not told | not told/5 | 3 MB |"


def test_the_command_takes_its_parts_one_by_one() -> None:
    arguments = parser_of_command().parse_args(["tiny", "somewhere", "--part", "sizes", "--part", "ranges"])
    assert arguments.part == ["sizes", "ranges"]
    assert list(PARTS) == ["ranges", "sizes", "engines"]
    assert plan_from_arguments(arguments).choices == tuple(CHOICES)


def test_the_command_takes_its_choices_one_by_one() -> None:
    arguments = parser_of_command().parse_args(["tiny", "somewhere", "--choice", "w8a8", "--choice", "gptq"])
    assert plan_from_arguments(arguments).choices == ("w8a8", "gptq")


def test_a_record_without_a_ratio_and_one_of_another_choice_are_told_as_such() -> None:
    peak = {"role": "command", "observer": "minmax", "images": 8, "peak_resident_mib": 2048.0}
    engine = {"name": "w8a8", "engine": "decoder", "dialect": "trt", "plan_bytes": 3_000_000}
    profiles = [{"products": {"int8 x int8": 5}, "fused_attention_layers": 5}]
    found = {"attention_layers": 5, "profiles": profiles, "float_products": []}
    report = {"ranges": [peak], "engines": [engine | found], "quiet": True}
    table = table_from_report(report, "full.json")
    assert "| command | minmax | 8 | – | 2.0 GiB |" in table
    assert "| decoder, --decoder w8a8 --head int8 | trt |" in table


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: str(path.name))
def test_a_committed_report_has_a_row_for_every_figure(path: Path) -> None:
    report = json.loads(path.read_text(encoding="utf-8"))
    table = table_from_report(report, path.name)
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    parts = [part for part in PARTS if part in report]
    assert len(rows) == sum(1 + len(report[part]) for part in parts)
    assert ("busy" in table) == (not report["quiet"])


@pytest.mark.slow
def test_full_size_stays_within_every_bar(tmp_path: Path) -> None:
    arguments = parser_of_command().parse_args(
        ["1.3b-hybrid", str(tmp_path), "--images", "8", "--compared", "4"]
        + [word for name in ENGINES for word in ("--choice", name)]  # GPTQ would take as long as all of them
    )
    try:
        report = cast("dict[str, Any]", report_from_arguments(arguments))
    finally:
        shutil.rmtree(tmp_path)  # pytest would keep it for three sessions
    towers = [record for record in report["ranges"] if record["role"] in PEAK_BARS_MIB]
    assert len(towers) == len(PEAK_BARS_MIB) * len(OBSERVERS), report["ranges"]
    for record in towers:
        assert record["peak_resident_mib"] < record["peak_bar_mib"], record
        assert record["ratio"] < record["ratio_bar"], record
    for record in report["sizes"]:
        assert record["answered_tokens"] == 4, record
        assert abs(record["sizes"][-1]["ratio"] - 1) < record["size_bar"], record
        assert record["seconds"] < record.get("seconds_bar", float("inf")), record
        assert record["peak_resident_mib"] < record.get("peak_bar_mib", float("inf")), record
    for record in report["engines"]:
        assert record["is_attention_fused"], record
        assert record["float_products"] == [], record
