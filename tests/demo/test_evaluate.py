"""The gauge: questions go through the product's own runtime, and the last line says how many were right."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from calibration.calibrate import calibrate_bundle
from calibration.recipe import Recipe
from calibration.samples import SampleSet
from demo.command import Stop
from demo.evaluate import (
    MARGIN_TOKENS,
    TEMPORARY_PREFIX,
    EvalOptions,
    asked,
    exit_status,
    report_from_options,
)
from demo.questions import Case, Selection, png_from_picture
from demo.random_checkpoint import write_random_checkpoint
from demo.score import Report
from demo.sizes import SIZES
from edge_runtime.answer import Answer
from edge_runtime.assistant import Assistant
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EdgeVLError
from edge_runtime.loading import load
from edge_runtime.progress import silent
from edge_runtime.progress_line import ProgressLine
from edge_runtime.record import record_from_json
from edge_runtime.request import Request
from edge_runtime.tokenizer import Tokenizer
from export.exporter import export_bundle
from export.options import ExportOptions

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate") / "checkpoint"
    write_random_checkpoint(SIZES["tiny"], folder)
    return folder


@pytest.fixture(scope="module")
def bundle(checkpoint: Path) -> Path:
    folder = checkpoint.with_name("bundle")
    export_bundle(checkpoint, folder, ExportOptions(precision="fp32"))
    return folder


@dataclass
class Seer:
    """Stands before an assistant: notes what is asked, and gives the answers it was told to, or the real ones."""

    assistant: Assistant
    told: dict[str, str] = field(default_factory=dict)
    pictures: list[object] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    @property
    def tokenizer(self) -> Tokenizer:
        return self.assistant.tokenizer

    def ask(self, text: str, image: object, request: Request) -> Answer:
        answer = self.assistant.ask(text, cast("bytes | None", image), request=request)
        self.pictures.append(image)
        self.requests.append(request)
        self.answers.append(answer)
        return replaced(answer, self.told[text]) if text in self.told else answer

    def as_assistant(self) -> Assistant:
        return cast(Assistant, self)


def replaced(answer: Answer, text: str) -> Answer:
    return Answer(**{**answer.__dict__, "text": text})


def case_of(
    prompt: str, answer: str, colour: tuple[int, int, int] | None = None, task: str = "colour"
) -> Case:
    data = None if colour is None else png_from_picture(Image.new("RGB", (64, 48), colour))
    return Case("question 1", data, task, prompt, answer)


def run(*words: str | Path) -> int:
    return exit_status([*map(str, words)], ProgressLine(io.StringIO()), Stop())


@contextmanager
def command(*words: str | Path, temporary: Path) -> Iterator[subprocess.Popen[str]]:
    """Running; killed where a test loses patience."""
    process = subprocess.Popen(
        [sys.executable, "-m", "demo.evaluate", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_right_answers_are_counted_by_task(bundle: Path) -> None:
    cases = [case_of("a?", "red"), case_of("b?", "blue"), case_of("c?", "[0,0,9,9]", task="box")]
    with load(bundle) as assistant:
        seer = Seer(assistant, {"a?": " red", "b?": "red", "c?": "[0,0,9,8]"})
        outcomes, _ = asked(seer.as_assistant(), cases, False, silent)
    assert [outcome.is_right for outcome in outcomes] == [True, False, True]
    assert outcomes[2].iou == pytest.approx(8 / 9)


def test_answers_are_greedy_and_as_long_as_the_longest_needs_to_be(bundle: Path) -> None:
    with load(bundle) as assistant:
        seer = Seer(assistant)
        asked(seer.as_assistant(), [case_of("a?", "x"), case_of("b?", "twelve bytes")], False, silent)
    assert [request.max_tokens for request in seer.requests] == [12 + MARGIN_TOKENS] * 2
    assert all(request.sampling.is_greedy for request in seer.requests)


def test_the_second_question_about_a_picture_neither_encodes_nor_reads_it_again(bundle: Path) -> None:
    cases = [case_of("first?", "x", (200, 30, 30)), case_of("and second?", "x", (200, 30, 30))]
    with load(bundle) as assistant:
        seer = Seer(assistant)
        asked(seer.as_assistant(), [*cases, case_of("other?", "x", (1, 2, 3))], False, silent)
    first, second, other = seer.answers
    assert first.usage.image_tokens > 0
    assert second.usage.cached_tokens > first.usage.image_tokens
    assert second.timings_ms["vision"] == 0 < first.timings_ms["vision"]
    assert other.timings_ms["vision"] > 0
    assert other.usage.cached_tokens < other.usage.prompt_tokens - other.usage.image_tokens


def test_blanked_pictures_show_one_colour_and_questions_without_a_picture_stay(bundle: Path) -> None:
    half = Image.new("RGB", (64, 48), (0, 0, 0))
    half.paste((200, 100, 50), (0, 0, 64, 24))
    cases = [Case("question 1", png_from_picture(half), "colour", "a?", "x"), case_of("b?", "x")]
    with load(bundle) as assistant:
        seer = Seer(assistant)
        asked(seer.as_assistant(), cases, True, silent)
    blank, none = seer.pictures
    assert none is None
    assert isinstance(blank, bytes)
    assert Image.open(io.BytesIO(blank)).getcolors() == [(64 * 48, (100, 50, 25))]


def test_the_last_line_is_the_contracts(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bundle, "--limit", "60", "--json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert list(found)[:3] == ["overall", "tasks", "n"]
    assert (found["n"], found["blank"], found["questions"]) == (60, False, "held-out")
    assert set(found["tasks"]) == set(found["counts"])
    assert sum(found["counts"].values()) == 60
    right = sum(found["tasks"][name] * count for name, count in found["counts"].items())
    assert found["overall"] == pytest.approx(right / 60, abs=1e-5)
    assert isinstance(found["box_iou"], float)


def test_without_json_there_is_a_table(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bundle, "--limit", "4", "--scenes", "clocks", "--blank") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "BLANKED" in lines[0]
    assert [line.split()[0] for line in lines[1:]] == ["clock", "overall"]


def test_wrong_answers_are_shown_only_on_request(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bundle, "--limit", "6", "--json", "--wrong", "2") == 0
    *wrong, last = capsys.readouterr().out.splitlines()
    assert len(wrong) == 2
    assert all("expected" in line and "got" in line for line in wrong)
    assert json.loads(last)["n"] == 6


def test_a_file_of_ones_own_is_scored(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (40, 30), (9, 9, 9)).save(tmp_path / "grey.png")
    asked_for = {"image": "grey.png", "prompt": "Which colour?", "answer": "grey", "task": "hue"}
    (tmp_path / "mine.jsonl").write_text(
        json.dumps(asked_for) + "\n" + json.dumps({**asked_for, "prompt": "And?"})
    )
    assert run(bundle, "--eval", tmp_path / "mine.jsonl", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["counts"] == {"hue": 2}
    assert (found["questions"], found["box_iou"]) == ("mine.jsonl", None)


def test_the_report_is_whole_strict_and_names_no_folders(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    assert run(bundle, "--limit", "3", "--seed", "4", "--wrong", "1", "--out", out) == 0
    text = out.read_text()
    report = record_from_json(Report, json.loads(text))
    assert report.command == "python -m demo.evaluate bundle --limit 3 --seed 4"
    assert (report.score.n, len(report.wrong), report.seed, report.engine) == (3, 1, 4, "onnxruntime")
    assert set(report.precision.values()) == {"fp32"}
    assert (report.calibration, report.recipe) == (None, None)
    assert str(tmp_path) not in text
    assert str(bundle.parent) not in text


def test_the_report_of_a_quantised_bundle_says_how_its_integers_came_about(
    bundle: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    recipe = Recipe(vision="fp16", head="int4", block=32)
    manifest = calibrate_bundle(Bundle.open(bundle), small, recipe, SampleSet(()), 1, silent)
    assert run(small, "--limit", "1", "--out", tmp_path / "report.json") == 0
    report = record_from_json(Report, json.loads((tmp_path / "report.json").read_text()))
    assert report.calibration == manifest.calibration is not None
    assert report.recipe is not None
    assert {
        "decoder": "int4",
        "head": "int4",
        "block": "32",
        "method": "rtn",
    }.items() <= report.recipe.items()


def test_a_report_that_exists_is_not_replaced_and_nothing_is_asked(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("mine")
    began = time.monotonic()
    assert run(bundle, "--limit", "100000", "--out", tmp_path / "report.json") == 2
    assert time.monotonic() - began < 10
    assert (tmp_path / "report.json").read_text() == "mine"


def test_a_checkpoint_is_scored_as_the_bundle_made_of_it(checkpoint: Path, bundle: Path) -> None:
    selection = Selection(limit=6)
    ours = report_from_options(
        EvalOptions(checkpoint, selection, precision="fp32", wrong=6), "", "2026-01-01"
    )
    theirs = report_from_options(EvalOptions(bundle, selection, wrong=6), "", "2026-01-01")
    assert ours.wrong == theirs.wrong
    assert len(ours.wrong) == 6
    assert ours.precision == theirs.precision
    assert ours.model == "checkpoint"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--limit", "0"], "EVL-EVAL-LIMIT"),
        (["--limit", "many"], "EVL-USAGE"),
        (["--wrong", "-1"], "EVL-EVAL-LIMIT"),
        (["--split", "train"], "EVL-USAGE"),
        (["--nonsense"], "EVL-USAGE"),
        (["--precision", "fp32"], "EVL-USAGE"),
        (["--scenes", "clocks,oceans"], "EVL-USAGE"),
        (["--eval", "none.jsonl"], "EVL-EVAL-FILE"),
        (["--eval", "none.jsonl", "--seed", "0"], "EVL-USAGE"),
    ],
)
def test_mistakes_end_with_2_and_three_lines(
    words: Sequence[str], code: str, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bundle, *words, "--json") == 2
    said = capsys.readouterr()
    assert [line[:5] for line in said.err.splitlines()] == ["what:", "why: ", "do:  "]
    assert code in said.err
    assert json.loads(said.out)["error"]["code"] == code


def test_a_folder_that_is_neither_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path) == 2
    assert run(tmp_path / "none") == 2
    assert run(tmp_path / ("x" * 300)) == 2
    assert capsys.readouterr().err.count("EVL-EVAL-MODEL") == 3


def test_a_broken_picture_is_named_with_its_line(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    line = {"image": "broken.png", "prompt": "?", "answer": "x"}
    (tmp_path / "mine.jsonl").write_text(json.dumps(line))
    for flags in ([], ["--blank"]):
        assert run(bundle, "--eval", tmp_path / "mine.jsonl", *flags) == 2
        assert "mine.jsonl, line 1" in capsys.readouterr().err


def test_the_temporary_bundle_goes_when_all_is_done(checkpoint: Path, tmp_path: Path) -> None:
    report, temporary = tmp_path / "report.json", tmp_path / "temporary"
    temporary.mkdir()
    with command(checkpoint, "--limit", "2", "--json", "--out", report, temporary=temporary) as process:
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["n"] == 2
    assert json.loads(report.read_text())["precision"]["decoder"] == "fp16"  # as every export unless told
    assert list(temporary.glob(f"{TEMPORARY_PREFIX}*")) == []


@pytest.mark.parametrize(
    ("number", "awaited"), [(signal.SIGTERM, ""), (signal.SIGINT, "bundle/edge-vl.json")]
)
def test_the_temporary_bundle_goes_when_a_signal_comes(
    number: signal.Signals, awaited: str, checkpoint: Path, tmp_path: Path
) -> None:
    with command(checkpoint, "--limit", "500", "--json", temporary=tmp_path) as process:
        end = time.monotonic() + PATIENCE_S
        while not list(tmp_path.glob(f"{TEMPORARY_PREFIX}*/{awaited}")):
            assert process.poll() is None, "it ended before the signal"
            assert time.monotonic() < end
            time.sleep(0.02)
        time.sleep(0.3)
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + number, err
    assert json.loads(out.splitlines()[-1])["error"]["code"] == "EVL-STOPPED"
    assert "Traceback" not in err
    assert list(tmp_path.glob(f"{TEMPORARY_PREFIX}*")) == []  # torch keeps a folder of its own there


def test_an_error_of_one_question_says_which(bundle: Path) -> None:
    long = Case("mine.jsonl, line 7", None, "x", "word " * 3000, "x")
    with load(bundle) as assistant, pytest.raises(EdgeVLError) as caught:
        asked(assistant, [long], False, silent)
    assert caught.value.code == "EVL-CONTEXT-OVERFLOW"
    assert caught.value.what.startswith("mine.jsonl, line 7: ")


def test_bundles_are_asked_without_torch(bundle: Path) -> None:
    script = "import sys; sys.modules['torch'] = None; from demo.evaluate import main; sys.exit(main())"
    words: list[Any] = [sys.executable, "-c", script, str(bundle), "--limit", "2", "--json"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n"] == 2
