"""Reports read back as they were written, and a README whose figures all have one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.bench.report import report_from_bytes, report_from_file
from edge_runtime.bench.table import (
    BEGIN,
    END,
    figure,
    main,
    reports_from_folder,
    table_from_reports,
    text_with_table,
)
from edge_runtime.errors import EdgeVLError
from edge_runtime.record import bytes_from_json
from tests.edge_runtime.bench_samples import sample_report

ROOT = Path(__file__).parents[2]
FOLDER = "docs/bench"
AGAIN = f"write it anew: .venv/bin/python -m edge_runtime.bench.table README.md {FOLDER}"


def written(folder: Path, name: str, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(bytes_from_json(replace(sample_report(), **changes).to_json()))
    return path


def test_the_readme_shows_what_the_committed_reports_say_and_nothing_else() -> None:
    reports = reports_from_folder(ROOT / FOLDER)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    if not reports:
        inside = readme.partition(BEGIN)[2].partition(END)[0].strip()
        assert inside == "", f"the README has bench figures, {FOLDER} has no report they could come from"
        return
    assert BEGIN in readme, f"{FOLDER} has reports, the README has no {BEGIN} … {END} for their table"
    assert readme == text_with_table(readme, table_from_reports(reports, FOLDER)), AGAIN


def test_a_report_reads_back_as_it_was() -> None:
    for report in (sample_report(), sample_report(high=False, contexts=())):
        assert report_from_bytes(bytes_from_json(report.to_json()), "r.json") == report


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"extra": 1}, "extra"),
        ({"bundle": None}, "bundle"),
        ({"format": 2}, "format 2"),
        ({"kind": "other"}, "kind"),
        ({"bandwidth_gb_per_s": {"median": 1.0, "low": 2.0, "high": 3.0, "runs": 1}}, "bandwidth_gb_per_s"),
    ],
)
def test_a_report_that_is_wrong_is_refused_by_its_key(change: dict[str, Any], named: str) -> None:
    data = json.dumps(sample_report().to_json() | change).encode()
    with pytest.raises(EdgeVLError) as caught:
        report_from_bytes(data, "r.json")
    assert caught.value.code == "EVL-BENCH-REPORT"
    assert named in caught.value.why


def test_a_report_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgeVLError) as caught:
        report_from_file(tmp_path / "r.json")
    assert caught.value.code == "EVL-BENCH-REPORT"


def test_a_row_has_the_figures_of_its_report() -> None:
    table = table_from_reports({"a.json": sample_report()}, FOLDER)
    row = next(line for line in table.splitlines() if line.startswith("| small "))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        "small",
        "fp16",
        "1.23",
        "7.23",
        "4.60",
        "2.50 (255)",
        "12.3",
        "12.3 (49%)",
        "500",
        "6001",
    ]


def test_contexts_are_rows_and_bundles_columns() -> None:
    reports = {"a.json": sample_report("a"), "b.json": sample_report("b", contexts=(512, 4096))}
    lines = table_from_reports(reports, FOLDER).splitlines()
    rows = {line.split("|")[1].strip(): line for line in lines if line.startswith("|")}
    assert rows["128"] == "| 128 | 1.28 · 7.81 | – |"
    assert rows["512"] == "| 512 | 5.12 · 1.95 | 5.12 · 1.95 |"
    assert rows["4096"].startswith("| 4096 | – | 41.0 · ")


def test_every_report_is_named_with_machine_versions_command_and_date() -> None:
    table = table_from_reports({"a.json": sample_report()}, FOLDER)
    for words in (
        f"[a.json]({FOLDER}/a.json)",
        "`edge-vl bench small`",
        "2026-11-21",
        "Some CPU",
        "ONNX Runtime 1.31.1",
    ):
        assert words in table


def test_mixed_precision_is_told_by_role() -> None:
    assert "| adaptor fp16, decoder int4, vision_low fp16 |" in table_from_reports(
        {"a.json": sample_report(decoder="int4")}, FOLDER
    )


def test_reports_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.json", "a.json"):
        written(tmp_path, name, bundle=name)
    (tmp_path / "notes.txt").write_text("no report")
    assert [report.bundle for report in reports_from_folder(tmp_path).values()] == ["a.json", "b.json"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0123, "0.012"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"), (1234.5, "1234")],
)
def test_a_figure_has_three_digits(value: float, shown: str) -> None:
    assert figure(value) == shown


def test_a_table_takes_the_place_of_the_one_before() -> None:
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert text_with_table(text, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert text_with_table(text_with_table(text, "new"), "") == f"before\n{BEGIN}\n{END}\nafter\n"


@pytest.mark.parametrize(
    "text", ["none", BEGIN, f"{END} {BEGIN}", f"{BEGIN} {BEGIN} {END}", f"{BEGIN} {END} {END}"]
)
def test_a_text_without_one_place_for_the_table_is_refused(text: str) -> None:
    with pytest.raises(EdgeVLError) as caught:
        text_with_table(text, "new")
    assert caught.value.code == "EVL-BENCH-MARKERS"


def test_the_readme_is_written_from_a_folder(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"# é\n{BEGIN}\n{END}\n")
    written(tmp_path / "bench", "a.json")
    main(readme, tmp_path / "bench")
    assert "| small |" in readme.read_text()
    once = readme.read_text()
    main(readme, tmp_path / "bench")
    assert readme.read_text() == once
