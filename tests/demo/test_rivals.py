"""The side-by-side with the field is fair, and its own part of it works; the rivals themselves are not installed here."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demo.rivals import ours, theirs
from demo.rivals.__main__ import parser_of_command, report_from_arguments, row_from_record, table_from_report
from demo.rivals.bout import CONTESTANTS, OURS, Contest, Contestant, contestants_named, copied_graph
from demo.rivals.earlier import completed
from demo.rivals.environments import ENVIRONMENTS
from demo.rivals.judge import results_of, sqnr_db
from demo.rivals.pictures import HELD_OUT, picture_from_number, write_pictures
from demo.rivals.process import Limits, process_cost
from demo.rivals.subject import Subject, cut_decoder, held_out_of, samples_in, subjects_of
from demo.sizes import SIZES
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EdgeVLError
from tests.proof.subject import bundle_below, session_folder

ROOT = Path(__file__).parent.parent.parent
PYTHON = sys.executable


def test_a_process_is_measured_and_says_its_last_line(tmp_path: Path) -> None:
    words = "data = bytearray(64 << 20); sum(range(3_000_000)); print('first'); print('last')"
    cost = process_cost([PYTHON, "-c", words], tmp_path / "log.txt")
    assert (cost.fault, cost.last_line) == ("", "last")
    assert cost.seconds > 0
    assert cost.cpu_seconds > 0
    assert cost.peak_resident_mib >= cost.peak_held_mib > 0


def test_a_process_that_fails_leaves_its_last_words(tmp_path: Path) -> None:
    cost = process_cost([PYTHON, "-c", "raise SystemExit('no such graph')"], tmp_path / "log.txt")
    assert cost.fault == "status 1: no such graph"


def test_a_process_that_takes_too_much_memory_is_ended(tmp_path: Path) -> None:
    words = "import time; data = b'1' * (300 << 20); time.sleep(600)"
    cost = process_cost([PYTHON, "-c", words], tmp_path / "log.txt", Limits(held_mib=200))
    assert cost.fault == "ended when it held more than 0 GiB"


def test_a_process_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    command = [PYTHON, "-c", "import time; time.sleep(600)"]
    assert process_cost(command, tmp_path / "log.txt", Limits(seconds=0.5)).fault == "ended after 0 minutes"


def test_pictures_are_the_same_every_time_and_differ_from_each_other(tmp_path: Path) -> None:
    one, two = write_pictures(tmp_path, range(2), side=64)
    assert one.read_bytes() != two.read_bytes()
    assert picture_from_number(0, 64).tobytes() == picture_from_number(0, 64).tobytes()


def test_neighbours_in_a_picture_are_alike_as_in_a_photograph() -> None:
    grey = np.asarray(picture_from_number(3, 128).convert("L"), np.float64)
    assert np.corrcoef(grey[:, 1:].ravel(), grey[:, :-1].ravel())[0, 1] > 0.8
    assert grey.std() > 10


def test_noise_at_a_hundredth_of_the_power_is_20_db() -> None:
    rng = np.random.default_rng(0)
    wanted = [rng.standard_normal((2, 4000)).astype(np.float32) for _ in range(2)]
    found = [each + 0.1 * rng.standard_normal(each.shape).astype(np.float32) for each in wanted]
    assert abs(sqnr_db(wanted, found) - 20) < 0.2
    assert sqnr_db(wanted, wanted) == math.inf


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Subject]:
    path = bundle_below(session_folder(tmp_path_factory), "plain", dialect="trt10")
    folder = tmp_path_factory.mktemp("subjects")
    return subjects_of(Bundle.open(path), folder, few=1, many=2, held_out=1)


def test_only_the_decoder_of_the_subject_is_cut() -> None:
    whole, cut = SIZES["1.3b-hybrid"], cut_decoder(SIZES["1.3b-hybrid"])
    assert cut.low == whole.low
    assert cut.high == whole.high
    assert cut.decoder.layers == 4
    assert cut.decoder.width == whole.decoder.width


def test_what_is_judged_with_was_not_calibrated_with(subjects: dict[str, Subject]) -> None:
    for subject in subjects.values():
        numbers = {int(path.stem) for path in subject.many.iterdir()}
        assert {int(path.stem) for path in subject.few.iterdir()} < numbers
        assert all(int(path.stem) >= HELD_OUT for path in subject.held_out.iterdir())
        assert max(numbers) < HELD_OUT


@pytest.mark.parametrize("method", ours.METHODS)
def test_each_of_our_methods_comes_near_the_float_graph(
    subjects: dict[str, Subject], method: str, tmp_path: Path
) -> None:
    subject = subjects[method.partition("-")[0]]
    ours.quantise(method, subject.graph, subject.few, tmp_path / "graph.onnx")
    held_out = held_out_of(subject)
    wanted, found = (
        results_of(path, subject.output, held_out, 1) for path in (subject.graph, tmp_path / "graph.onnx")
    )
    assert 3 < sqnr_db(wanted, found) < 80  # GPTQ with one sample learns it by heart


def test_a_method_that_we_do_not_have_is_an_error() -> None:
    with pytest.raises(EdgeVLError, match="int2"):
        ours.main(["int2-rtn", "graph", "samples", "target"])


def test_every_method_of_ours_takes_part() -> None:
    assert {each.method for each in CONTESTANTS if each.tool == OURS} == set(ours.METHODS)


def test_every_rival_has_an_environment_and_knows_its_methods() -> None:
    others = [each for each in CONTESTANTS if each.tool != OURS]
    assert {each.tool for each in others} == set(ENVIRONMENTS)
    assert {(each.tool, each.method) for each in others} == {
        (tool, method) for tool, methods in theirs.METHODS.items() for method in methods
    }


def test_contestants_are_chosen_by_a_part_of_their_name() -> None:
    chosen = contestants_named(["modelopt", "rtn"])
    assert {each.tool for each in chosen} == {"modelopt", "onnxruntime", OURS}
    assert contestants_named([]) == CONTESTANTS
    with pytest.raises(EdgeVLError, match="nobody"):
        contestants_named(["nobody"])


def test_rivals_read_the_samples_that_we_wrote(subjects: dict[str, Subject]) -> None:
    subject = subjects["int4"]
    reader = theirs.Reader(subject.many)
    read = list(iter(reader.get_next, None))
    wanted = list(samples_in(subject.many))
    assert len(read) == len(wanted) == 2
    assert all(
        np.array_equal(one[name], two[name]) for one, two in zip(read, wanted, strict=True) for name in two
    )


def test_nobody_can_write_over_the_graph_or_its_weights(subjects: dict[str, Subject], tmp_path: Path) -> None:
    graph = subjects["int8"].graph
    copied = copied_graph(graph, tmp_path / "copy")
    for path in copied.parent.iterdir():
        path.write_bytes(b"")
        assert graph.with_name(path.name).stat().st_size
    assert {path.suffix for path in copied.parent.iterdir()} == {".onnx", ".data"}


def test_a_contestant_that_fails_is_in_the_report_with_the_reason(
    subjects: dict[str, Subject], tmp_path: Path
) -> None:
    contest = Contest(subjects, tmp_path, 1, Limits())
    record = contest.record(Contestant(OURS, "int8-none"))
    assert "status" in str(record["fault"])
    assert "sqnr_db" not in record


def test_the_command_makes_a_report_with_a_table(tmp_path: Path) -> None:
    words = [
        "tiny-low",
        str(tmp_path),
        "--only",
        "edge-vl/int4-rtn",
        "--few",
        "1",
        "--many",
        "1",
        "--held-out",
        "1",
    ]
    report = report_from_arguments(parser_of_command().parse_args(words))
    records: Any = report["records"]
    (record,) = records
    assert record["sqnr_db"] > 3
    assert record["fault"] == ""
    assert f"| {record['sqnr_db']:.1f} dB |" in table_from_report(report, "tiny.json")
    assert "edge-vl" in json.dumps(report)


def test_whatever_a_process_said_last_stays_in_its_cell() -> None:
    record = {
        "role": "decoder",
        "tool": "other",
        "method": "int4",
        "samples": 4,
        "fault": "status -15: 75%|###|",
    }
    row = row_from_record(record | {"seconds": 1.0, "cpu_seconds": 1.0, "peak_resident_mib": 1024.0})
    assert row.replace("\\|", "").count("|") == 10 and "75%\\|###\\|" in row


def report_of(date: str, *records: tuple[str, str, int, float], **changes: object) -> dict[str, Any]:
    rows = [
        {"tool": tool, "method": method, "samples": samples, "sqnr_db": sqnr}
        for tool, method, samples, sqnr in records
    ]
    same = {
        "kind": "rivals",
        "machine": {"cores": 2},
        "weights": "random",
        "decoder_layers": 4,
        "held_out": 4,
    }
    own = {"date": date, "command": f"ran {date}", "versions": {}, "quiet": True}
    return {**same, **own, "records": rows, **changes}


def test_a_report_is_completed_with_what_was_measured_before_in_the_order_of_contestants() -> None:
    many = (OURS, "int8-minmax", 32, 3.0)
    first = report_of(
        "1", many, (OURS, "int4-gptq", 4, 1.0), ("onnxruntime", "int4-rtn", 4, 5.0), quiet=False
    )
    second = report_of("2", (OURS, "int8-minmax", 4, 2.0), (OURS, "int4-gptq", 4, 4.0))
    both = completed(second, first, "first.json")
    assert [record["sqnr_db"] for record in both["records"]] == [2.0, 3.0, 4.0, 5.0]
    assert both["date"] == "2" and both["quiet"] is False
    assert [run["command"] for run in both["earlier"]] == ["ran 1"]
    third = completed(report_of("3", ("onnxruntime", "int4-rtn", 4, 6.0)), both, "both.json")
    assert [record["sqnr_db"] for record in third["records"]] == [2.0, 3.0, 4.0, 6.0]
    assert [run["command"] for run in third["earlier"]] == ["ran 1", "ran 2"]


@pytest.mark.parametrize("changes", [{"machine": {"cores": 4}}, {"weights": "trained"}, {"held_out": 8}])
def test_reports_about_other_things_are_not_put_together(changes: dict[str, object]) -> None:
    (name,) = changes
    with pytest.raises(EdgeVLError, match=name):
        completed(report_of("2"), report_of("1", **changes), "first.json")


@pytest.mark.parametrize("text", ["", "{", None])
def test_an_earlier_report_that_cannot_be_read_is_an_error_before_anything_is_measured(
    text: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "earlier.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(EdgeVLError, match="cannot be completed"):
        report_from_arguments(
            parser_of_command().parse_args(["tiny", str(tmp_path), "--complete", str(path)])
        )
    assert not (tmp_path / "tiny-cut").exists()
