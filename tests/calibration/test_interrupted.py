"""Calibrations that are killed and asked for again."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from calibration.calibrate import broken_error, calibrate_bundle
from calibration.recipe import Recipe
from calibration.samples import SampleSet, samples_from_folder
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EdgeVLError
from edge_runtime.progress import silent
from tests.edge_vl.command import command, environment, spawned
from tests.proof.subject import bundle_below, session_folder

RECIPE = Recipe(block=32, method="gptq", observer="mse", smooth=0.5)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(bundle_below(session_folder(tmp_path_factory), "hybrid"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for index in range(5):
        Image.radial_gradient("L").resize((60 + index, 40)).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def whole(source: Bundle, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole") / "out"
    calibrate_bundle(source, out, RECIPE, samples_from_folder(photos, 10), threads=1, progress=silent)
    return bytes_below(out)


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


class Cut:
    """Progress that ends the run at a stage's share, as Ctrl-C would."""

    def __init__(self, stage: str, done: int) -> None:
        self.stage, self.done = stage, done

    def __call__(self, stage: str, done: int, _: int) -> None:
        if stage == self.stage and done >= self.done:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "cut", [("measuring ranges", 3), ("answering in float", 4), ("writing", 100_000), ("hashing", 1)]
)
def test_what_was_interrupted_ends_with_the_same_bytes(
    source: Bundle, photos: Path, whole: dict[str, bytes], tmp_path: Path, cut: tuple[str, int]
) -> None:
    out, samples = tmp_path / "out", samples_from_folder(photos, 10)
    with pytest.raises(KeyboardInterrupt):
        calibrate_bundle(source, out, RECIPE, samples, threads=1, progress=Cut(*cut))
    assert not out.exists()
    calibrate_bundle(source, out, RECIPE, samples, threads=1, progress=silent)
    assert bytes_below(out) == whole
    assert list(tmp_path.iterdir()) == [out]  # nothing is left beside it


def test_what_was_found_is_not_looked_for_again(source: Bundle, photos: Path, tmp_path: Path) -> None:
    out, samples = tmp_path / "out", samples_from_folder(photos, 10)
    with pytest.raises(KeyboardInterrupt):
        calibrate_bundle(source, out, RECIPE, samples, threads=1, progress=Cut("hashing", 1))
    laid = {path.name: path.stat().st_mtime_ns for path in (tmp_path / ".out.desk").iterdir()}
    assert {"ranges.npz", "ranges-smooth.npz"} <= laid.keys() and sum(
        name.startswith("answer-") for name in laid
    ) == 5
    assert any(name.startswith("gptq-") for name in laid)
    with pytest.raises(KeyboardInterrupt):
        calibrate_bundle(source, out, RECIPE, samples, threads=1, progress=Cut("hashing", 1))
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / ".out.desk").iterdir()} == laid


def test_scaling_that_was_interrupted_ends_with_the_same_bytes(
    source: Bundle, photos: Path, tmp_path: Path
) -> None:
    recipe, samples = Recipe(vision="fp16", block=32, method="awq"), samples_from_folder(photos, 10)
    for name in ("whole", "cut"):
        if name == "cut":
            with pytest.raises(KeyboardInterrupt):
                calibrate_bundle(source, tmp_path / name, recipe, samples, 1, Cut("scaling weights", 5))
            assert len(list((tmp_path / ".cut.desk").glob("awq-*.npz"))) == 5
        calibrate_bundle(source, tmp_path / name, recipe, samples, threads=1, progress=silent)
    assert bytes_below(tmp_path / "whole") == bytes_below(tmp_path / "cut")


OTHER = [Recipe(vision="fp16", decoder="int8"), Recipe(block=32, method="gptq", observer="minmax")]


@pytest.mark.parametrize("recipe", OTHER, ids=["other bits", "other observer"])
def test_another_recipe_is_refused_and_what_was_begun_is_kept(
    source: Bundle, photos: Path, whole: dict[str, bytes], tmp_path: Path, recipe: Recipe
) -> None:
    out, samples = tmp_path / "out", samples_from_folder(photos, 10)
    cut_short(source, out, samples)
    before = bytes_below(tmp_path / ".out.desk")
    with pytest.raises(EdgeVLError, match="another bundle, recipe, set of samples") as caught:
        calibrate_bundle(source, out, recipe, samples, threads=1, progress=Refusing())
    assert caught.value.code == "EVL-CALIBRATE-DESK" and not out.exists()
    assert bytes_below(tmp_path / ".out.desk") == before
    calibrate_bundle(source, out, RECIPE, samples, threads=1, progress=silent)
    assert bytes_below(out) == whole


@pytest.mark.parametrize("changed", ["max_context", "image_mean"])
def test_a_bundle_that_reads_pictures_or_prompts_otherwise_is_another(
    source: Bundle, photos: Path, tmp_path: Path, changed: str
) -> None:
    """None of its listed files says so: graphs take pixels as they come."""
    manifest, samples = source.manifest, samples_from_folder(photos, 10)
    cut_short(source, tmp_path / "out", samples)
    if changed == "max_context":
        other = replace(manifest, max_context=manifest.max_context - 1)
    else:
        low = replace(manifest.spec.preprocess.low, mean=(0.1, 0.2, 0.3))
        preprocess = replace(manifest.spec.preprocess, low=low)
        other = replace(manifest, spec=replace(manifest.spec, preprocess=preprocess))
    with pytest.raises(EdgeVLError) as caught:
        calibrate_bundle(
            Bundle(source.folder, other), tmp_path / "out", RECIPE, samples, threads=1, progress=Refusing()
        )
    assert caught.value.code == "EVL-CALIBRATE-DESK"


def test_what_has_to_be_asked_otherwise_needs_another_desk(
    source: Bundle, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise broken_error()

    monkeypatch.setattr("calibration.calibrate.agreement_of", broken)
    with pytest.raises(EdgeVLError) as caught:
        calibrate_bundle(source, tmp_path / "out", RECIPE, samples_from_folder(photos, 10), 1, silent)
    assert caught.value.code == "EVL-CALIBRATE-BROKEN"
    assert caught.value.fix.endswith("(asked for otherwise: remove .out.desk first, or choose another OUT)")


def test_samples_of_which_none_was_asked_before_are_refused_too(
    source: Bundle, photos: Path, tmp_path: Path
) -> None:
    out, samples = tmp_path / "out", samples_from_folder(photos, 10)
    cut_short(source, out, SampleSet(samples.samples[:3]))
    before = bytes_below(tmp_path / ".out.desk")
    with pytest.raises(EdgeVLError) as caught:
        calibrate_bundle(source, out, RECIPE, SampleSet(samples.samples[3:]), threads=1, progress=Refusing())
    assert caught.value.code == "EVL-CALIBRATE-DESK" and not out.exists()
    assert bytes_below(tmp_path / ".out.desk") == before


def cut_short(source: Bundle, out: Path, samples: SampleSet) -> None:
    """While the float model answers: pieces whose names no other recipe or set of samples asks for."""
    with pytest.raises(KeyboardInterrupt):
        calibrate_bundle(source, out, RECIPE, samples, threads=1, progress=Cut("answering in float", 2))
    names = {path.name[:6] for path in (out.parent / f".{out.name}.desk").iterdir()}
    assert names == {"answer", "key.np"}


class Refusing:
    """Progress of a run that must not begin."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        raise AssertionError(f"{stage} was begun")


def test_other_samples_do_not_go_on_with_what_was_begun(source: Bundle, photos: Path, tmp_path: Path) -> None:
    out, samples = tmp_path / "out", samples_from_folder(photos, 10)
    with pytest.raises(KeyboardInterrupt):
        calibrate_bundle(source, out, RECIPE, samples, threads=1, progress=Cut("writing", 1))
    fewer = SampleSet(samples.samples[:-1])
    with pytest.raises(EdgeVLError, match="repeat the command") as caught:
        calibrate_bundle(source, out, RECIPE, fewer, threads=1, progress=silent)
    assert caught.value.code == "EVL-CALIBRATE-DESK" and not out.exists()


def test_a_command_that_is_killed_again_and_again_ends_with_the_same_bytes(
    source: Bundle, photos: Path, tmp_path: Path
) -> None:
    options: list[str | Path] = ["--images", photos, "--block", "32", "--method", "gptq"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for pieces in (1, 4, 9):
        process = subprocess.Popen(
            command("calibrate", source.folder, killed, *options),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(),
        )
        while process.poll() is None and len(list(tmp_path.glob(".killed.desk/*.npz"))) < pieces:
            time.sleep(0.005)
        process.kill()
        assert process.wait() == -9, "it ended before it could be killed"
        assert not killed.exists()
    for out in (killed, whole):
        assert spawned("calibrate", source.folder, out, *options).status == 0
    assert bytes_below(killed) == bytes_below(whole)
    assert sorted(tmp_path.iterdir()) == [killed, whole]
