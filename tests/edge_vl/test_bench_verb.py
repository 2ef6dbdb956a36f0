"""`edge-vl bench`: a table for people, then one JSON line; mistakes before minutes are spent."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.bench.report import Report, report_from_bytes, report_from_file
from tests.edge_vl.command import WAIT_S, Ran, assert_refused, ran, spawned, started, wait_until

QUICK = ("--runs", "2", "--max-tokens", "4", "--contexts", "16,64")


@pytest.fixture(scope="module")
def benched(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Path]:
    out = tmp_path_factory.mktemp("bench") / "result.json"
    return ran("bench", bundle, *QUICK, "--out", out), out


@pytest.fixture
def report(benched: tuple[Ran, Path]) -> Report:
    return report_from_bytes(benched[0].out.splitlines()[-1].encode(), "stdout")


def test_it_ends_with_one_json_line_after_the_table(benched: tuple[Ran, Path], report: Report) -> None:
    result, _ = benched
    assert result.status == 0, result.err
    lines = result.out.splitlines()
    assert [line for line in lines if line.startswith("{")] == lines[-1:]
    assert report.bundle == "tiny.bundle"
    for words in (
        "median ms",
        "vision_low",
        "prefill",
        "first token",
        "decode tokens/s",
        "of bandwidth",
        "held",
    ):
        assert words in "\n".join(lines[:-1])


def test_with_json_there_is_nothing_but_the_line(bundle: Path) -> None:
    result = ran("bench", bundle, *QUICK, "--json", "--trust-bundle")
    assert result.status == 0, result.err
    (line,) = result.out.splitlines()
    assert json.loads(line)["kind"] == "edge-vl bench"


def test_the_file_says_what_stdout_says(benched: tuple[Ran, Path], report: Report) -> None:
    assert report_from_file(benched[1]) == report


@pytest.mark.parametrize(("bar", "status"), [("0.001", 0), ("1e9", 1)])
def test_a_bar_that_is_missed_is_an_exit_status(bar: str, status: int, bundle: Path) -> None:
    result = ran(
        "bench", bundle, "--runs", "1", "--max-tokens", "2", "--contexts", "8", "--min-tokens-per-s", bar
    )
    assert result.status == status
    (gate,) = result.record()["gates"]
    assert (gate["name"], gate["bar"], gate["is_passed"]) == ("min_tokens_per_s", float(bar), status == 0)
    assert ("FAILED" in result.out) == (status == 1)
    assert f"--min-tokens-per-s {float(bar)}" in result.record()["command"]


def test_every_figure_was_measured(report: Report) -> None:
    assert report.load.hashing_ms is not None
    for spread in (report.load.sessions_ms, report.answer.stages.prefill_ms, report.answer.first_token_ms):
        assert spread.runs == 2
        assert spread.low > 0
    assert report.answer.stages.vision_high_ms is None  # the checkpoint has no such tower
    assert report.answer.stages.vision_low_ms.median > 0
    assert report.memory.peak.held_mib >= report.memory.loaded.held_mib > 10
    assert report.memory.peak.resident_mib >= report.memory.peak.held_mib
    assert [times.context for times in report.contexts] == [16, 64]
    assert report.skipped_contexts == ()


def test_the_stages_make_the_first_token(report: Report) -> None:
    """Of medians this holds only roughly; of the lowest and highest it must."""
    stages = [each for each in vars(report.answer.stages).values() if each is not None]
    assert sum(each.low for each in stages) <= report.answer.first_token_ms.high + 0.1
    assert sum(each.high for each in stages) >= report.answer.first_token_ms.low - 0.1


def test_streamed_bytes_are_those_of_the_weights_and_the_cache(report: Report, bundle: Path) -> None:
    shape, (short, long) = report.shape, report.contexts
    row = 2 * shape.layers * shape.kv_heads * shape.head_dim * 4
    assert long.stream is not None
    assert short.stream is not None
    assert long.stream.bytes_per_token - short.stream.bytes_per_token == (64 - 16) * row
    weights = short.stream.bytes_per_token - 16 * row
    products = (
        shape.layers
        * shape.width
        * (2 * shape.heads * shape.head_dim + 2 * shape.kv_heads * shape.head_dim + 3 * shape.mlp_width)
    )
    norms = (2 * shape.layers + 1) * shape.width
    constants = weights - 4 * (products + norms + shape.vocab * shape.width)
    assert 0 <= constants < 1024  # a few numbers that shape the graph's tensors


def test_the_command_is_written_without_folders_of_this_machine(bundle: Path, picture: Path) -> None:
    result = ran(
        "bench", bundle, *QUICK, "--json", "--trust-bundle", "--image", picture, "--prompt", "two words"
    )
    record = result.record()
    assert record["command"] == (
        "edge-vl bench tiny.bundle --image picture.png --prompt 'two words' --runs 2 --max-tokens 4 "
        "--contexts 16,64 --trust-bundle"
    )
    assert str(bundle.parent) not in result.out
    assert record["answer"]["pictures"] == ["40x30"]
    assert record["load"]["hashing_ms"] is None


def test_a_context_that_the_bundle_cannot_hold_is_skipped_and_said(bundle: Path) -> None:
    result = ran("bench", bundle, "--runs", "1", "--max-tokens", "2", "--contexts", "16,40000")
    assert result.status == 0, result.err
    assert result.record()["skipped_contexts"] == [40000]
    assert [each["context"] for each in result.record()["contexts"]] == [16]
    assert "40000" in result.out.splitlines()[-4] + result.out.splitlines()[-5]
    assert "skipped: this bundle holds 32768 tokens" in result.out


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (("--runs", "0"), "EVL-BENCH-RANGE"),
        (("--runs", "many"), "EVL-USAGE"),
        (("--max-tokens", "1"), "EVL-BENCH-RANGE"),
        (("--contexts", "128,x"), "EVL-USAGE"),
        (("--contexts", ""), "EVL-USAGE"),
        (("--contexts", "1" * 5000), "EVL-USAGE"),
        (("--contexts", "0"), "EVL-BENCH-RANGE"),
        (("--contexts", "-4"), "EVL-BENCH-RANGE"),
        (("--min-tokens-per-s", "0"), "EVL-BENCH-RANGE"),
        (("--max-held-mib", "nan"), "EVL-BENCH-RANGE"),
        (("--max-first-token-ms", "inf"), "EVL-BENCH-RANGE"),
        (("--engine", "abacus"), "EVL-ENGINE-UNKNOWN"),
        (("--image", "no-such.png"), "EVL-IMAGE-FILE"),
        (("--out", "/no/such/folder/r.json"), "EVL-OUT-UNWRITABLE"),
        (("--max-tokens", "40000"), "EVL-CONTEXT-OVERFLOW"),
    ],
)
def test_a_mistake_is_told_in_words(more: tuple[str, ...], code: str, bundle: Path) -> None:
    assert_refused(ran("bench", bundle, "--trust-bundle", *more), code)


def test_a_checkpoint_is_no_bundle(checkpoint: Path) -> None:
    assert_refused(ran("bench", checkpoint), "EVL-BUNDLE-IS-CHECKPOINT")


def test_a_result_is_never_replaced(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    out.write_text("old")
    assert_refused(ran("bench", bundle, "--out", out), "EVL-OUT-EXISTS")
    assert out.read_text() == "old"


def test_a_damaged_bundle_is_refused_by_its_hash(own_bundle: Path) -> None:
    path = own_bundle / "embed.bin"
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    assert_refused(ran("bench", own_bundle, *QUICK), "EVL-BUNDLE-HASH")


def test_names_that_would_break_a_line_are_made_safe(bundle: Path, tmp_path: Path) -> None:
    odd = Path(shutil.copytree(bundle, tmp_path / "a\nb\x1b[2J"))
    result = ran("bench", odd, "--runs", "1", "--max-tokens", "2", "--contexts", "4", "--json")
    assert result.status == 0, result.err
    assert result.record()["bundle"] == "a b [2J"
    assert result.record()["command"].startswith("edge-vl bench 'a b [2J' --runs 1")


def test_a_prompt_that_is_no_text_is_refused(bundle: Path) -> None:
    result = ran("bench", bundle, *QUICK, "--trust-bundle", "--prompt", "\udcff")
    assert (result.status, result.out) == (2, "")


def test_an_interrupted_bench_leaves_no_result(bundle: Path, tmp_path: Path) -> None:
    many = ("--runs", "1000", "--trust-bundle", "--out", tmp_path / "r.json")
    with started("bench", bundle, *many) as process:
        wait_until(lambda: any(tmp_path.iterdir()), "the staged result")
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130
    assert (out, err) == (b"", b"interrupted; nothing was left half-written\n")
    assert list(tmp_path.iterdir()) == []


def test_progress_goes_to_stderr_and_the_line_to_stdout(bundle: Path) -> None:
    result = spawned("bench", bundle, "--runs", "1", "--max-tokens", "2", "--contexts", "8", "--json")
    assert result.status == 0, result.err
    record: dict[str, Any] = json.loads(result.out)
    assert record["answer"]["first_token_ms"]["runs"] == 1
