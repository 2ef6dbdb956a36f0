"""`edge-vl build`, from outside: engines appear whole, once, or three lines say why not."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.bundle import Bundle
from edge_runtime.engines.place import Gpu
from edge_runtime.engines.receipt import RECEIPT_NAME, receipt_in, write_receipt
from tests.edge_vl.command import Ran, ran, started
from tests.edge_vl.screen import on_screen
from tests.export.engines.adders import (
    ENGINES,
    engines_on,
    leftovers_in,
    seen_in,
    whole_engine_in,
    write_adders,
)
from tests.faults.disks import seal, small_disk
from tests.faults.state import digest_of
from tests.proof.subject import bundle_below, session_folder

pytestmark = pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx is not installed")

RTX = ("--engine", "tensorrt-rtx")  # whatever else a machine has
FILE_BYTES = 64 << 10  # less than any plan
WAIT_S = 120.0
PROMPTS = [
    "decoder.prefill"
]  # with a shorter context: caches of this dialect are as long as the export made them


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with its engines. Nobody writes into it."""
    folder = tmp_path_factory.mktemp("built") / "adders"
    write_adders(folder)
    done = ran("build", folder, *RTX)
    assert done.status == 0, done
    return folder


@pytest.fixture
def adders(built: Path, tmp_path: Path) -> Path:
    """A copy to spoil, with its engines."""
    return Path(shutil.copytree(built, tmp_path / "adders"))


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    write_adders(tmp_path / "bare")
    return tmp_path / "bare"


def engines_told(done: Ran) -> dict[str, dict[str, Any]]:
    """By name, of a build that went well."""
    assert done.status == 0, done
    return {each["engine"]: each for each in done.record()["engines"]}


def news(done: Ran) -> list[str]:
    """What was built just now."""
    return [name for name, told in engines_told(done).items() if told["is_new"]]


# --- what is built


def test_every_engine_of_a_model_is_built_and_told(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bundle = bundle_below(session_folder(tmp_path_factory), "plain", "fp16", dialect="trt")
    before = digest_of(bundle)
    shelf = tmp_path_factory.mktemp("model") / "engines"
    told = engines_told(ran("build", bundle, *RTX, "--engines", shelf, "--json"))
    assert {*told} == {*engines_on(shelf)} == {*ENGINES}
    assert all(each["is_new"] and each["replaced"] is None for each in told.values())
    for name, each in told.items():
        receipt = whole_engine_in(Path(each["path"]).parent)
        assert (receipt.key.name, receipt.plan_bytes) == (name, each["bytes"])
        assert each["seconds"] > 0 and 20 < each["peak_held_mib"] < each["peak_resident_mib"]
        assert (each["precision"], each["dialect"]) == ("fp16", "trt")
        assert each["fused_attention"] == [each["attention_layers"]]
        assert each["constant_bytes"][0]["half"] > 0 and each["activation_bytes"][0] > 0
    assert told["decoder.decode"]["attention_layers"] == 2
    assert news(ran("build", bundle, *RTX, "--engines", shelf, "--json", "--max-context", "64")) == PROMPTS
    assert digest_of(bundle) == before
    own = Path(shutil.copytree(bundle, tmp_path / "own"))
    shutil.copytree(shelf, own / "engines")
    verified = ran("verify", own, "--json")
    assert verified.status == 0 and verified.record()["unlisted"] == [], verified


def test_engines_lie_in_the_bundle_which_stays_as_it_was(built: Path, tmp_path: Path) -> None:
    write_adders(tmp_path / "bare")
    assert {*engines_on(built / "engines")} == {*ENGINES}
    assert leftovers_in(built / "engines") == []
    without = Path(shutil.copytree(built, tmp_path / "without", ignore=shutil.ignore_patterns("engines")))
    assert digest_of(without) == digest_of(tmp_path / "bare")
    assert Bundle.open(built).unlisted() == []


def test_a_second_build_builds_nothing(adders: Path) -> None:
    before = engines_on(adders / "engines")
    done = ran("build", adders, *RTX, "--json")
    assert news(done) == [] and engines_on(adders / "engines") == before
    said = ran("build", adders, *RTX).out.splitlines()
    assert len(said) == len(ENGINES) + 1 and all("there already" in line for line in said[:-1])


def test_people_are_told_a_line_for_each_engine_and_where_it_lies(bare: Path) -> None:
    done = ran("build", bare, *RTX)
    assert done.status == 0, done
    lines = done.out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [*ENGINES, "not tried"]
    for line, name in zip(lines[:-1], ENGINES, strict=True):
        folder = bare / "engines" / engines_on(bare / "engines")[name][0]
        assert line.endswith(f": {folder / name}.plan") and " MiB held" in line and " s, " in line


def test_json_is_the_whole_of_stdout(adders: Path) -> None:
    done = ran("build", adders, *RTX, "--json")
    assert len(done.out.splitlines()) == 1
    record = done.record()
    assert record["place"]["engine"] == "tensorrt-rtx" and record["place"]["version"].startswith("1.")


def test_engines_may_lie_elsewhere_and_share_the_place(bare: Path, adders: Path, tmp_path: Path) -> None:
    shelf = tmp_path / "new" / "place"
    assert news(ran("build", bare, *RTX, "--engines", shelf, "--json")) == [*ENGINES]
    assert not (bare / "engines").exists()
    assert news(ran("build", adders, *RTX, "--engines", shelf, "--json")) == []  # the same graphs


def test_relative_paths_mean_the_callers_folder(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bare.parent)
    assert news(ran("build", bare.name, *RTX, "--engines", "shelf", "--json")) == [*ENGINES]
    assert {*engines_on(bare.parent / "shelf")} == {*ENGINES}


def test_engines_of_a_bundle_on_a_sealed_disk_go_to_the_users_cache(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with small_disk(tmp_path / "disk", 1000) as disk:
        bundle = disk / "bundle"
        shutil.copytree(built, bundle, ignore=shutil.ignore_patterns("engines"))
        seal(disk)
        assert news(ran("build", bundle, *RTX, "--json")) == [*ENGINES]
        assert news(ran("build", bundle, *RTX, "--json")) == []
    assert {*engines_on(tmp_path / "cache" / "edge-vl" / "engines")} == {*ENGINES}


def test_progress_is_shown_on_a_terminal(bare: Path) -> None:
    with on_screen("build", bare, *RTX) as screen:
        screen.wait_for("building vision_low")
        screen.wait_for("building decoder.decode")
        assert screen.wait_for_end() == 0, screen.seen


def test_help_lists_the_verb_and_its_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert ran("--help").status == ran("build", "--help").status == 0
    said = capsys.readouterr().out
    assert "bundle → engines for this machine's GPU" in said
    assert all(flag in said for flag in ("--engines DIR", "--dry-run", "--memory-mib N", "--max-context N"))


def test_nothing_of_torch_is_needed(built: Path) -> None:
    """A Jetson has none."""
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'onnx', 'onnx_ir', 'onnxscript', 'onnxruntime'):\n"
        "    sys.modules[name] = None\n"
        "from edge_vl.cli import main\n"
        f"main(['build', {str(built)!r}, '--engine', 'tensorrt-rtx', '--json'])\n"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0


# --- what is of no use


def truncated(engine: Path) -> None:
    plan = next(engine.glob("*.plan"))
    plan.write_bytes(plan.read_bytes()[:-100])


def bit_flipped(engine: Path) -> None:
    plan = next(engine.glob("*.plan"))
    data = bytearray(plan.read_bytes())
    data[len(data) // 3] ^= 4
    plan.write_bytes(data)


def without_receipt(engine: Path) -> None:
    (engine / RECEIPT_NAME).unlink()


def emptied(engine: Path) -> None:
    shutil.rmtree(engine)
    engine.mkdir()


def of_another_gpu(engine: Path) -> None:
    """Copied from another machine, and given our engine's name."""
    receipt = receipt_in(engine)
    (engine / RECEIPT_NAME).unlink()
    place = replace(receipt.key.place, gpu=Gpu("Orin", "sm87", "12.6"))
    write_receipt(engine, replace(receipt, key=replace(receipt.key, place=place)))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (truncated, "bytes of"),
        (bit_flipped, "its sha256 differs"),
        (without_receipt, "engine.json is missing"),
        (emptied, "engine.json is missing"),
        (of_another_gpu, "it was built for Orin (sm87, CUDA 12.6)"),
    ],
)
def test_an_engine_that_is_of_no_use_is_named_and_built_again(
    adders: Path, damage: Callable[[Path], None], words: str
) -> None:
    before = engines_on(adders / "engines")
    damage(adders / "engines" / before["adaptor"][0])
    done = ran("build", adders, *RTX)
    assert done.status == 0, done
    (line,) = [line for line in done.out.splitlines() if "of no use" in line]
    assert line.startswith("adaptor: ") and words in line
    after = engines_on(adders / "engines")
    assert after.pop("adaptor")[0] == before.pop("adaptor")[0] and after == before


def test_json_tells_what_was_replaced(adders: Path) -> None:
    truncated(adders / "engines" / engines_on(adders / "engines")["decoder.decode"][0])
    told = engines_told(ran("build", adders, *RTX, "--json"))
    assert {name: each["is_new"] for name, each in told.items()} == {
        name: name == "decoder.decode" for name in ENGINES
    }
    assert "bytes of" in told["decoder.decode"]["replaced"]
    assert told["adaptor"]["replaced"] is None


@pytest.mark.parametrize(
    "change", [{"version": "1.6.0"}, {"gpu": Gpu("Orin", "sm87", "12.6")}], ids=lambda each: next(iter(each))
)
def test_an_engine_of_another_version_or_gpu_disturbs_nobody(adders: Path, change: dict[str, Any]) -> None:
    """Such as an update leaves behind, under the name that it had there."""
    shelf = adders / "engines"
    engine = shelf / engines_on(shelf)["adaptor"][0]
    receipt = receipt_in(engine)
    key = replace(receipt.key, place=replace(receipt.key.place, **change))
    (engine / RECEIPT_NAME).unlink()
    write_receipt(engine, replace(receipt, key=key))
    stranger = engine.rename(shelf / key.folder)
    before = digest_of(stranger)
    told = engines_told(ran("build", adders, *RTX, "--json"))
    assert [name for name, each in told.items() if each["is_new"]] == ["adaptor"]
    assert told["adaptor"]["replaced"] is None
    assert digest_of(stranger) == before and len(seen_in(shelf)) == len(ENGINES) + 1


# --- two at once, and signals


def ended(process: Any) -> Ran:
    out, err = process.communicate(timeout=WAIT_S)
    return Ran(process.returncode, out.decode(), err.decode())


def test_of_two_builds_at_once_each_engine_is_built_by_one(bare: Path) -> None:
    both = [started("build", bare, *RTX, "--json") for _ in range(2)]
    one, other = (engines_told(ended(process)) for process in both)
    for name in ENGINES:
        assert one[name]["is_new"] != other[name]["is_new"], name
        assert one[name]["path"] == other[name]["path"]
    assert {*engines_on(bare / "engines")} == {*ENGINES} and leftovers_in(bare / "engines") == []
