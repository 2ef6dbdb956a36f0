"""The whole acceptance on this machine, as the script runs it: as far as it goes without a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from edge_vl.parser import parsed_arguments
from export.exporter import export_bundle
from export.options import ExportOptions
from jetson.acceptance_request import wish_from_arguments
from jetson.acceptance_steps import steps_of
from tests.edge_vl.command import ROOT
from tests.jetson.stand_in import Accepted, report_in
from tests.proof.subject import CONTEXT, bundle_below, checkpoint_below, session_folder

SCRIPT = ROOT / "jetson" / "acceptance.sh"


def scripted(folder: Path, *arguments: str, python: str = sys.executable) -> Accepted:
    """By its script, from another folder, where no GPU answers."""
    done = subprocess.run(
        [SCRIPT, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHON": python, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return Accepted(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def run_here(tmp_path_factory: pytest.TempPathFactory) -> tuple[Accepted, Path]:
    folder = tmp_path_factory.mktemp("acceptance")
    checkpoint = checkpoint_below(session_folder(tmp_path_factory), "grouped")
    export_bundle(checkpoint, folder / "bundle", ExportOptions(("ort", "trt"), "fp32", max_context=CONTEXT))
    done = scripted(folder, "bundle", "--out", "report.json", "--runs", "1", "--against", str(checkpoint))
    return done, folder / "report.json"


def test_nothing_fails_and_what_needs_a_gpu_is_skipped_by_name(run_here: tuple[Accepted, Path]) -> None:
    done, out = run_here
    statuses = {each["name"]: each["status"] for each in report_in(out)["steps"]}
    built = "skipped" if find_spec("tensorrt_rtx") is None else "passed"
    assert statuses == {
        "machine": "passed",
        "verify": "passed",
        "parity": "passed",
        "dry-run": built,
        "build": built,
        "answer": "skipped",
        "answer-onnxruntime": "passed",
        "agreement": "skipped",
        "bench": "skipped",
        "bench-onnxruntime": "passed",
    }, done
    assert done.status == 0
    assert report_in(out)["verdict"].startswith("partly: ")


def test_onnx_runtime_really_answers_and_is_measured(run_here: tuple[Accepted, Path]) -> None:
    done, out = run_here
    answer, bench = (done.step(out, f"{name}-onnxruntime")["answer"] for name in ("answer", "bench"))
    assert answer["token_ids"] and answer["engine"] == "onnxruntime"
    assert answer["usage"]["image_tokens"] > 0
    assert bench["answer"]["decode_tokens_per_s"]["median"] > 0
    assert bench["engine"] == "onnxruntime"


def test_what_is_skipped_says_why(run_here: tuple[Accepted, Path]) -> None:
    done, out = run_here
    step = done.step(out, "answer")
    assert "no GPU answers here" in step["reason"] or "it needs the step build" in step["reason"]
    assert done.step(out, "machine")["answer"]["gpu"] is None


def test_a_bundle_without_graphs_for_engines_fails_where_they_are_built(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if find_spec("tensorrt_rtx") is None:
        pytest.skip("tensorrt-rtx is not installed: nothing is built here")
    bundle = bundle_below(session_folder(tmp_path_factory), "grouped")
    done = scripted(tmp_path, str(bundle), "--out", "report.json", "--runs", "1")
    step = done.step(tmp_path / "report.json", "build")
    assert (done.status, step["status"], step["answer"]["error"]["code"]) == (
        1,
        "failed",
        "EVL-BUNDLE-DIALECT",
    )


def test_the_script_tells_the_users_mistakes(tmp_path: Path) -> None:
    done = scripted(tmp_path, "nothing", "--out", "report.json")
    assert (done.status, done.out) == (2, "")
    assert [line[:5] for line in done.err.splitlines()] == ["what:", "why: ", "do:  "]
    assert "[EVL-BUNDLE-MISSING]" in done.err


def test_the_script_says_what_its_python_lacks(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'numpy'\" >&2\nexit 1\n")
    python.chmod(0o755)
    done = scripted(tmp_path, "bundle", "--out", "report.json", python=str(python))
    assert (done.status, done.out) == (2, "")
    assert "EVL-SETUP" in done.err and "No module named 'numpy'" in done.err


def test_help_says_what_it_does(tmp_path: Path) -> None:
    done = scripted(tmp_path, "--help")
    assert (done.status, done.err) == (0, "")
    assert "--against CHECKPOINT" in done.out


def test_every_step_is_a_command_that_edge_vl_understands(hollow: Path) -> None:
    arguments = [str(hollow), "--out", "r.json", "--engines", "e", "--memory-mib", "9", "--runs", "1"]
    folders = ["--against", str(hollow), "--fallback", str(hollow)]
    steps = steps_of(wish_from_arguments([*arguments, *folders]), Path("picture.jpg"))
    verbs = [parsed_arguments(step.words) for step in steps if step.words]
    assert len(verbs) == 8


def test_a_closed_stdout_changes_no_status(tmp_path: Path) -> None:
    call = ["sh", "-c", 'exec "$@" >&-', "sh", str(SCRIPT), "nothing", "--out", "x.json"]
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert [line[:6] for line in done.stderr.splitlines()] == ["what: ", "why:  ", "do:   "]


def test_a_python_that_lacks_something_is_told_in_three_lines(tmp_path: Path) -> None:
    bare = tmp_path / "bare"  # without site-packages
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    bare.chmod(0o755)
    done = scripted(tmp_path, "nothing", "--out", "x.json", python=str(bare))
    assert done.status == 2
    lines = done.err.splitlines()
    assert [line[:6] for line in lines] == ["what: ", "why:  ", "do:   "], done.err
    assert lines[1] == "why:  ModuleNotFoundError: No module named 'numpy'"
