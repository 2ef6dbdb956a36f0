"""What an acceptance makes of what its steps say, on boards of every kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.jetson.stand_in import GOOD, Said, StandIn, accepted, error, report_in

STEPS = [
    "machine", "verify", "dry-run", "build", "answer", "answer-onnxruntime", "agreement", "bench", "bench-onnxruntime",
]  # fmt: skip
NO_GPU_HERE = Said({**GOOD["board"], "gpu": None})


def statuses(path: Path) -> dict[str, str]:
    return {each["name"]: each["status"] for each in report_in(path)["steps"]}


def test_a_board_where_everything_works_passes(hollow: Path, board: StandIn, out: Path) -> None:
    done = accepted([hollow, "--out", out], board.commands)
    report = report_in(out)
    assert (done.status, report["verdict"], report["interrupted"]) == (0, "passed", None), done
    assert statuses(out) == dict.fromkeys(STEPS, "passed")


def test_each_step_reports_its_command_its_ending_its_time_and_its_answer(
    hollow: Path, board: StandIn, out: Path
) -> None:
    done = accepted([hollow, "--out", out], board.commands)
    step = done.step(out, "verify")
    assert step["command"].endswith(f"verify {hollow} --json")
    assert (step["exit_status"], step["answer"], step["stderr"]) == (0, GOOD["verify"], [])
    assert step["seconds"] > 0


def test_the_engines_that_were_built_are_the_ones_asked(hollow: Path, board: StandIn, out: Path) -> None:
    accepted([hollow, "--out", out, "--engines", "shelf"], board.commands)
    asked = [call for call in board.calls() if call[:1] in (["run"], ["bench"])]
    assert [call[call.index("--engine") + 1] for call in asked] == ["tensorrt", "onnxruntime"] * 2
    assert [call[0] for call in asked if "--engines" in call] == ["run", "bench"]


def test_what_was_asked_for_is_passed_on(hollow: Path, board: StandIn, out: Path) -> None:
    flags = ["--engine", "tensorrt", "--memory-mib", "3000", "--fallback", str(hollow), "--runs", "2"]
    accepted([hollow, "--out", out, *flags, "--against", hollow], board.commands)
    calls = board.calls()
    wanted = ["--engine", "tensorrt", "--memory-mib", "3000", "--fallback", str(hollow), "--json"]
    assert [call[2:] for call in calls if call[:1] == ["build"]] == [[*wanted, "--dry-run"], wanted]
    assert all("--runs" in call for call in calls if call[:1] == ["bench"])
    assert statuses(out)["parity"] == "passed"


def test_what_needs_a_gpu_is_skipped_where_there_is_none(hollow: Path, board: StandIn, out: Path) -> None:
    lacks = Said(error("EVL-ENGINE-DRIVER"), 3)
    board.answers = {"board": NO_GPU_HERE, "build": lacks, "build --dry-run": lacks}
    done = accepted([hollow, "--out", out], board.commands)
    assert (done.status, report_in(out)["verdict"]) == (0, "partly: 5 steps skipped")
    skipped = [name for name, status in statuses(out).items() if status == "skipped"]
    assert skipped == ["dry-run", "build", "answer", "agreement", "bench"]
    assert done.step(out, "build")["reason"] == "EVL-ENGINE-DRIVER happened: it is so"


def test_a_gpu_that_was_seen_and_then_is_not_found_is_a_failure(
    hollow: Path, board: StandIn, out: Path
) -> None:
    board.answers = {"build": Said(error("EVL-ENGINE-DRIVER"), 3)}
    done = accepted([hollow, "--out", out], board.commands)
    assert (done.status, statuses(out)["build"]) == (1, "failed")


@pytest.mark.parametrize("code", ["EVL-ENGINE-MISSING", "EVL-WORKBENCH-MISSING"])
def test_what_is_not_installed_is_skipped(hollow: Path, board: StandIn, out: Path, code: str) -> None:
    board.answers = {"verify --against": Said(error(code), 2)}
    done = accepted([hollow, "--out", out, "--against", hollow], board.commands)
    assert (done.status, report_in(out)["verdict"]) == (0, "partly: 1 step skipped")


def test_a_bundle_for_boards_alone_is_not_asked_of_onnx_runtime(
    hollow: Path, board: StandIn, out: Path
) -> None:
    other = Said(error("EVL-BUNDLE-DIALECT"), 2)
    board.answers = {"run onnxruntime": other, "bench onnxruntime": other}
    done = accepted([hollow, "--out", out], board.commands)
    assert (done.status, report_in(out)["verdict"]) == (0, "partly: 3 steps skipped")
    skipped = [name for name, status in statuses(out).items() if status == "skipped"]
    assert skipped == ["answer-onnxruntime", "agreement", "bench-onnxruntime"]


def test_a_step_that_fails_does_not_stop_those_that_do_not_need_it(
    hollow: Path, board: StandIn, out: Path
) -> None:
    board.answers = {"build": Said(error("EVL-BUILD-FAILED"), 3, "".join(f"line {n}\n" for n in range(50)))}
    done = accepted([hollow, "--out", out], board.commands)
    assert (done.status, report_in(out)["verdict"]) == (1, "failed")
    assert statuses(out) == dict.fromkeys(STEPS, "passed") | {
        "build": "failed", "answer": "skipped", "agreement": "skipped", "bench": "skipped",
    }  # fmt: skip
    step = done.step(out, "build")
    assert (step["exit_status"], step["stderr"][-1], len(step["stderr"])) == (3, "line 49", 20)
    assert done.step(out, "answer")["reason"] == "it needs the step build, which was failed"


def test_a_damaged_bundle_is_neither_built_nor_asked(hollow: Path, board: StandIn, out: Path) -> None:
    board.answers = {"verify": Said(error("EVL-BUNDLE-HASH"), 1)}
    assert accepted([hollow, "--out", out], board.commands).status == 1
    assert set(statuses(out).values()) == {"passed", "failed", "skipped"}
    assert [call[:1] for call in board.calls()] == [[], ["verify"]]


def test_what_a_machine_lacks_for_parity_leaves_the_rest_to_be_run(
    hollow: Path, board: StandIn, out: Path
) -> None:
    board.answers = {"verify --against": Said({"passed": False}, 1, "hash  3 of 9\n")}
    done = accepted([hollow, "--out", out, "--against", hollow], board.commands)
    assert (done.status, statuses(out)["build"]) == (1, "passed")
    assert done.step(out, "parity")["reason"] == "the check's answer is no: it says why"


def test_an_engine_that_does_not_fit_is_named(hollow: Path, board: StandIn, out: Path) -> None:
    lacking = {"engines": [{"engine": "decoder", "shortage": "900 MiB are free"}, {"engine": "adaptor"}]}
    board.answers = {"build --dry-run": Said(lacking, 1)}
    done = accepted([hollow, "--out", out], board.commands)
    assert done.step(out, "dry-run")["reason"] == "decoder: 900 MiB are free"


def test_a_board_with_a_fault_fails_and_is_tried_all_the_same(
    hollow: Path, board: StandIn, out: Path
) -> None:
    board.answers = {"board": Said({**GOOD["board"], "faults": ["tensorrt: libnvdla_compiler.so"]}, 1)}
    done = accepted([hollow, "--out", out], board.commands)
    assert done.status == 1
    assert done.step(out, "machine")["reason"] == "tensorrt: libnvdla_compiler.so"
    assert statuses(out)["bench"] == "passed"


def test_an_answer_that_is_no_json_is_a_failure(hollow: Path, board: StandIn, out: Path) -> None:
    board.answers = {"bench tensorrt": Said("only text")}
    done = accepted([hollow, "--out", out], board.commands)
    assert done.step(out, "bench")["reason"] == "it ended without a JSON object"


@pytest.mark.parametrize(
    ("ids", "status", "agreed"),
    [([5, 6, 7], "passed", 3), ([5, 6, 9], "passed", 2), ([5, 6], "passed", 2), ([9, 6, 7], "failed", 0), ([], "failed", 0)],
)  # fmt: skip
def test_engines_have_to_begin_with_the_same_token(
    hollow: Path, board: StandIn, out: Path, ids: list[int], status: str, agreed: int
) -> None:
    board.answers = {"run tensorrt": Said({**GOOD["run tensorrt"], "token_ids": ids})}
    done = accepted([hollow, "--out", out], board.commands)
    step = done.step(out, "agreement")
    assert (step["status"], step["answer"]["agreed"]) == (status, agreed)
    assert step["answer"]["same"] is (ids == [5, 6, 7])


def test_two_empty_answers_prove_nothing(hollow: Path, board: StandIn, out: Path) -> None:
    board.answers = {
        name: Said({**GOOD[name], "token_ids": []}) for name in ("run tensorrt", "run onnxruntime")
    }
    accepted([hollow, "--out", out], board.commands)
    assert statuses(out)["agreement"] == "skipped"


def test_an_answer_without_tokens_is_no_agreement(hollow: Path, board: StandIn, out: Path) -> None:
    board.answers = {"run tensorrt": Said({"engine": "tensorrt"})}
    accepted([hollow, "--out", out], board.commands)
    assert statuses(out)["agreement"] == "failed"


def test_people_get_a_table_and_programs_the_report(hollow: Path, board: StandIn, out: Path) -> None:
    done = accepted([hollow, "--out", out, "--json"], board.commands)
    *table, line = done.out.splitlines()
    assert json.loads(line) == report_in(out)
    assert [row.split()[0] for row in table] == ["step", *STEPS, "verdict:"]
    (bench,) = (row for row in table if row.startswith("bench "))
    assert "1 engine of tensorrt 10.3.0, 3 MiB, every engine agrees" in done.out
    assert "first token 300 ms, 40.0 tokens/s, 2000 MiB held" in bench


def test_a_steps_own_words_are_told_while_it_runs(hollow: Path, board: StandIn, out: Path) -> None:
    board.answers = {"build": Said(GOOD["build"], stderr="building \x1b[31mdecoder\n")}
    done = accepted([hollow, "--out", out], board.commands)
    assert "build: step 4 of 9\nbuild: building [31mdecoder\nbuild: passed in" in done.err


def test_a_path_that_is_no_text_is_still_reported(
    tmp_path: Path, hollow: Path, board: StandIn, out: Path
) -> None:
    odd = hollow.rename(tmp_path / "odd\udcff")
    accepted([odd, "--out", out], board.commands)
    assert report_in(out)["bundle"].endswith("odd\\udcff")
