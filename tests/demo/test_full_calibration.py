"""The bars of calibration at full size are measured as they are meant; the measuring itself is in the slow suite."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from demo.full_calibration import (
    CHOICES,
    PARTS,
    Plan,
    float_products,
    parser_of_command,
    report_from_arguments,
    sizes_record,
    table_from_report,
)
from demo.full_ranges import Tower, compared_times, measured_ranges
from demo.full_sizes import embedding_bytes, head_weights, size_records, weights_of
from demo.rivals.pictures import write_pictures
from demo.sizes import SIZES
from edge_runtime.bundle import Bundle
from edge_runtime.spec import Role
from export.engines.compilation import Compiled
from export.engines.inspector import Product
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
    [("1.3b", "w4", 1.66), ("1.3b", "w8", 2.31), ("7b", "w4", 4.68), ("7b", "w8", 7.61)],
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


def test_a_quantised_bundle_is_made_measured_asked_and_removed(folder: Path) -> None:
    plan = Plan("tiny", folder, images=2, compared=1, context=512)
    record = cast("dict[str, Any]", sizes_record(plan, folder / "tiny-ort", "w4"))
    assert record["answered_tokens"] == 4
    assert record["seconds"] > 0
    assert record["sizes"][-1]["role"] == "all"
    assert not (folder / "tiny-w4").exists()


def compiled_with(*products: Product) -> Compiled:
    return cast(
        "Compiled", SimpleNamespace(plan=SimpleNamespace(profiles=[SimpleNamespace(products=products)]))
    )


def test_a_layer_that_is_multiplied_as_floats_is_noticed_and_what_is_no_layer_is_not() -> None:
    fused = Product("matmul", "half", "int4", ("blocks.0.q/MatMul",), is_compiled_on_device=True)
    patches = Product("convolution", "half", "half", ("patches",), is_compiled_on_device=False)
    places = Product("matmul", "half", "half", ("blocks.0/MatMul.2",), is_compiled_on_device=False)
    left = Product("matmul", "half", "half", ("blocks.0.o/MatMul",), is_compiled_on_device=False)
    names = ["blocks.0.q", "blocks.0.o"]
    assert float_products(compiled_with(fused, patches, places), names) == []
    assert float_products(compiled_with(fused, left), names) == ["blocks.0.o/MatMul"]


def test_the_command_takes_its_parts_one_by_one() -> None:
    arguments = parser_of_command().parse_args(["tiny", "somewhere", "--part", "sizes", "--part", "ranges"])
    assert arguments.part == ["sizes", "ranges"]
    assert list(PARTS) == ["ranges", "sizes", "engines"]


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
    )
    try:
        report = cast("dict[str, Any]", report_from_arguments(arguments))
    finally:
        shutil.rmtree(tmp_path)  # pytest would keep it for three sessions
    for record in report["ranges"]:
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
