"""`edge-vl demo`: the whole way, by itself, in less than a minute."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo import walkthrough
from demo.beside import seconds_of_children
from demo.samples import Sample, samples
from demo.walkthrough import CHECKPOINT, Lap, Step, answer_details, built, engine_graphs
from edge_runtime.answer import Answer, Usage
from edge_runtime.errors import EdgeVLError
from edge_runtime.progress import Progress, silent
from tests.edge_vl.command import Ran, assert_refused, ran, spawned

LIMIT_S = 60.0


def seconds_alone(used: float, out: str) -> float:
    """How long a demo that kept its processes busy for `used` seconds takes where nothing else runs: one of them works beside the
    others, and is waited for."""
    beside = re.search(
        r"^ +export in the dialect \w+: ([0-9.]+) s of work beside .*, then ([0-9.]+) s$", out, re.MULTILINE
    )
    assert beside is not None
    worked, waited = map(float, beside.groups())
    assert 1 < worked < used / 2
    return used - worked + waited


def left_in(folder: Path) -> list[str]:
    """torch makes an empty folder for a cache that nothing here uses."""
    return [path.name for path in folder.iterdir() if not path.name.startswith("torchinductor_")]


@dataclass(frozen=True)
class Shown:
    result: Ran
    kept: Path


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """As a newcomer sees it."""
    home = tmp_path_factory.mktemp("demo")
    (home / "tmp").mkdir()
    before = seconds_of_children()
    result = spawned("demo", "--keep", home / "kept", TMPDIR=str(home / "tmp"))
    used = seconds_of_children() - before
    assert result.status == 0, result.err
    assert seconds_alone(used, result.out) < LIMIT_S
    progress = re.compile(r"\w[\w ,.]* [0-9.]+( MiB)? of [0-9.]+( MiB)?")
    assert [line for line in result.err.splitlines() if not progress.match(line)] == [], "more than progress"
    assert sorted(path.name for path in home.iterdir()) == ["kept", "tmp"]
    assert left_in(home / "tmp") == []
    return Shown(result, home / "kept")


def test_it_walks_the_whole_way(shown: Shown) -> None:
    lines = shown.result.out.splitlines()
    names = [line.split()[0] for line in lines if line[:1].strip()]
    assert names[:5] == ["prepare", "export", "calibrate", "build", "verify"]
    assert set(names[5:-1]) == {"ask"}
    assert "every role and the greedy tokens agree" in shown.result.out


def test_every_sample_is_asked_about(shown: Shown) -> None:
    for sample in samples():
        assert f"{sample.picture}: {sample.question!r}" in shown.result.out
        assert f"expected: {sample.answer!r}" in shown.result.out
    assert len({sample.picture for sample in samples()}) == 5


def test_most_answers_are_as_expected(shown: Shown) -> None:
    assert (
        len(re.findall(r"\(right(, IoU [01]\.\d\d)?\)$", shown.result.out, re.MULTILINE)) > len(samples()) / 2
    )


@pytest.mark.parametrize(
    ("box", "verdict"),
    [
        (" [100,100,300,300]", "(right, IoU 1.00)"),
        (" [100,100,300,240]", "(right, IoU 0.70)"),
        (" [100,100,300,160]", "(not as expected, IoU 0.30)"),
        (" red", "(not as expected, IoU 0.00)"),
    ],
)
def test_a_box_is_judged_by_what_it_covers(box: str, verdict: str) -> None:
    answer = Answer(box, (), "stop", Usage(1, 0, 0, 1), {}, 1.0, "onnxruntime", "", {}, 1.0)
    first, *_ = answer_details(
        answer, answer, Sample("shapes.png", "box", "where exactly is it?", "[100,100,300,300]")
    )
    assert first.endswith(verdict)


def test_engines_are_built_and_kept_where_their_library_is(shown: Shown) -> None:
    (line,) = (line for line in shown.result.out.splitlines() if line.startswith("build "))
    assert re.search(r" 5 engines, .* by TensorRT-RTX [0-9.]+ for any GPU; built, not run$", line), line
    plans = list((shown.kept / "engines").glob("*/*.plan"))
    assert len(plans) == 5 and all(plan.stat().st_size > 100_000 for plan in plans)
    assert ran("build", shown.kept / "engine-bundle", "--engines", shown.kept / "engines").status == 0


def test_engines_are_skipped_by_name_where_their_library_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, module, None)
    begun = engine_graphs(CHECKPOINT, tmp_path)
    assert isinstance(begun, EdgeVLError)
    step = built(begun, tmp_path / "engines", silent, Lap())
    assert step.name == "build" and step.is_passed
    assert re.match(r"skipped: no engine library can be used here \(pip install ", step.summary), step.summary
    assert list(tmp_path.iterdir()) == []


def test_it_says_what_to_type_next(shown: Shown) -> None:
    for line in (
        "export CHECKPOINT BUNDLE",
        "verify BUNDLE --against CHECKPOINT",
        f"run {shown.kept}/bundle --image",
    ):
        assert f"\n  edge-vl {line}" in shown.result.out


def test_what_is_kept_is_a_checkpoint_and_a_bundle_to_go_on_with(shown: Shown) -> None:
    kept = shown.kept
    assert sorted(path.name for path in kept.iterdir()) == [
        "bundle",
        "calibration",
        "checkpoint",
        "engine-bundle",
        "engines",
        "pictures",
        "small-bundle",
    ]
    asked = ("--prompt", "hi", "--image", kept / "pictures" / "codes.png", "--max-tokens", "2", "--json")
    for name in ("bundle", "small-bundle"):
        assert ran("run", kept / name, *asked).record()["usage"]["image_tokens"] > 0
    assert ran("verify", kept / "bundle", "--against", kept / "checkpoint").status == 0


@pytest.mark.parametrize("is_passed", [True, False])
def test_a_record_tells_every_step_and_nothing_else_is_kept(
    shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_passed: bool
) -> None:
    """Of a walk whose steps and files are those of the one that was shown."""
    names = [line.split()[0] for line in shown.result.out.splitlines() if re.match(r"\w+ +[0-9.]+ s  ", line)]

    def walked_before(folder: Path, progress: Progress) -> Iterator[Step]:
        shutil.copytree(shown.kept, folder, dirs_exist_ok=True)
        for name in names:
            yield Step(name, "as shown", 0.5, is_passed or name != "verify", ("a detail",))

    monkeypatch.setattr(walkthrough, "walk", walked_before)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    result = ran("demo", "--json")
    assert result.status == (0 if is_passed else 1)
    assert len(result.out.splitlines()) == 1
    record = result.record()
    assert record["passed"] is is_passed
    assert [step["name"] for step in record["steps"]] == names
    assert all(
        set(step) == {"name", "summary", "seconds", "is_passed", "details"} for step in record["steps"]
    )
    assert left_in(tmp_path) == []


def test_an_existing_folder_is_not_written_into(tmp_path: Path) -> None:
    assert_refused(ran("demo", "--keep", tmp_path), "EVL-OUT-EXISTS")
    assert list(tmp_path.iterdir()) == []
