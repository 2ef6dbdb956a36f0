"""`edge-vl build` in the hands of somebody who gets it wrong, or without the room: three lines, and nothing half-made."""

from __future__ import annotations

import json
import resource
import shutil
import signal
from importlib.util import find_spec
from pathlib import Path

import pytest

from export.engines import need
from tests.edge_runtime.bundle_samples import write_sample_bundle
from tests.edge_vl.command import WAIT_S, Ran, assert_refused, assert_told, ran, started
from tests.export.engines.adders import ENGINES, engines_on, leftovers_in, seen_in, write_adders
from tests.faults.disks import pages_of, seal, small_disk
from tests.faults.state import digest_of

pytestmark = pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx is not installed")

RTX = ("--engine", "tensorrt-rtx")  # whatever else a machine has
FILE_BYTES = 64 << 10  # less than any plan


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    write_adders(tmp_path / "bare")
    return tmp_path / "bare"


def names_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_dry_run_tells_a_table_and_writes_nothing(bare: Path) -> None:
    before = names_in(bare)
    done = ran("build", bare, *RTX, "--dry-run")
    assert done.status == 0, done
    head, *rows, last = done.out.splitlines()
    assert head.split()[:2] == ["engine", "graph"]
    assert [row.split()[0] for row in rows] == [*ENGINES] and all(row.endswith("fits") for row in rows)
    assert "MiB are free" in last
    assert names_in(bare) == before


def test_a_dry_run_says_no_where_memory_is_short(bare: Path) -> None:
    before = names_in(bare)
    done = ran("build", bare, *RTX, "--dry-run", "--memory-mib", "10")
    assert (done.status, done.err) == (1, ""), done
    assert done.out.count("10 MiB are free") == len(ENGINES) + 1
    told = ran("build", bare, *RTX, "--dry-run", "--memory-mib", "10", "--json")
    assert told.status == 1 and len(told.out.splitlines()) == 1
    record = told.record()
    assert record["dry_run"] is True and record["room"]["free_mib"] == 10
    assert [each["engine"] for each in record["engines"]] == [*ENGINES]
    assert all(not each["fits"] and each["held_mib"] > 10 and each["shortage"] for each in record["engines"])
    assert names_in(bare) == before


def test_a_build_without_the_memory_is_refused_before_anything_is_written(bare: Path) -> None:
    before = names_in(bare)
    refused = ran("build", bare, *RTX, "--memory-mib", "10")
    assert_told(refused, 3, "EVL-BUILD-MEMORY")
    assert "vision_low" in refused.err and names_in(bare) == before


def test_a_jetson_s_piece_that_is_too_small_is_told_with_what_helps_and_can_be_overruled(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(need, "room_here", lambda: need.Room(1_000_000, 0))
    refused = ran("build", bare, *RTX)
    assert_told(refused, 3, "EVL-BUILD-MEMORY")
    assert "cma=950M" in refused.err and "--memory-mib" in refused.err
    assert ran("build", bare, *RTX, "--dry-run").status == 1
    assert ran("build", bare, *RTX, "--dry-run", "--memory-mib", "1000000").status == 0


def test_what_is_there_needs_no_memory(bare: Path) -> None:
    assert ran("build", bare, *RTX).status == 0
    assert ran("build", bare, *RTX, "--memory-mib", "10").out.count("there already") == len(ENGINES)
    dry = ran("build", bare, *RTX, "--memory-mib", "10", "--dry-run", "--json")
    assert dry.status == 0 and all(each["fits"] for each in dry.record()["engines"])
    shutil.rmtree(bare / "engines" / engines_on(bare / "engines")["adaptor"][0])
    refused = ran("build", bare, *RTX, "--memory-mib", "10")
    assert_told(refused, 3, "EVL-BUILD-MEMORY")
    assert "adaptor" in refused.err and len(seen_in(bare / "engines")) == len(ENGINES) - 1


# --- what cannot be


@pytest.mark.parametrize("option", ["--max-context", "--memory-mib"])
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "", "many"])
def test_counts_that_are_none_are_refused_before_anything_is_read(
    option: str, value: str, tmp_path: Path
) -> None:
    refused = ran("build", tmp_path / "none", f"{option}={value}")
    assert_refused(refused, "EVL-USAGE")
    assert option in refused.err and "above 0" in refused.err


def test_more_context_than_the_bundle_has_is_refused(bare: Path) -> None:
    refused = ran("build", bare, *RTX, "--max-context", "129")
    assert_refused(refused, "EVL-CONTEXT-LIMIT")
    assert "128" in refused.err and not (bare / "engines").exists()


def test_a_checkpoint_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    refused = ran("build", tmp_path, *RTX)
    assert_refused(refused, "EVL-BUNDLE-IS-CHECKPOINT")
    assert "edge-vl export" in refused.err


def test_no_bundle_at_all_is_named(tmp_path: Path) -> None:
    assert_refused(ran("build", tmp_path / "none", *RTX), "EVL-BUNDLE-MISSING")
    assert_refused(ran("build", "", *RTX), "EVL-USAGE")


def test_a_bundle_without_such_graphs_is_told_how_to_get_them(tmp_path: Path) -> None:
    write_sample_bundle(tmp_path)
    before = digest_of(tmp_path)
    refused = ran("build", tmp_path, *RTX)
    assert_refused(refused, "EVL-BUNDLE-DIALECT")
    assert "export again with --dialect ort,trt" in refused.err and digest_of(tmp_path) == before


def test_a_damaged_bundle_is_refused(bare: Path) -> None:
    with (bare / "ort" / "adaptor.data").open("r+b") as file:
        file.write(b"x")
    refused = ran("build", bare, *RTX)
    assert refused.status in (1, 2) and refused.err.startswith("what: "), refused
    assert not (bare / "engines").exists()


@pytest.mark.skipif(find_spec("tensorrt") is not None, reason="tensorrt is installed")
def test_a_library_that_is_not_installed_is_named(bare: Path) -> None:
    refused = ran("build", bare, "--engine", "tensorrt")
    assert_refused(refused, "EVL-ENGINE-MISSING")
    assert "TensorRT is not installed" in refused.err and not (bare / "engines").exists()


def test_another_engine_is_no_engine(bare: Path) -> None:
    assert_refused(ran("build", bare, "--engine", "onnxruntime"), "EVL-USAGE")


@pytest.mark.parametrize(
    "place", ["file", "file/below", "link", "/proc/self/engines", "/proc/self/none/engines", "n" * 300]
)
def test_a_place_that_takes_no_engines_is_named(bare: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "else")
    before = digest_of(tmp_path)
    refused = ran("build", bare, *RTX, "--engines", tmp_path / place)
    assert_refused(refused, "EVL-OUT-UNWRITABLE")
    assert digest_of(tmp_path) == before


@pytest.mark.parametrize("place", ["file", "file/below", "link"])
def test_a_dry_run_names_a_place_that_takes_no_engines(bare: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    before = digest_of(tmp_path)
    assert_refused(ran("build", bare, *RTX, "--dry-run", "--engines", tmp_path / place), "EVL-OUT-UNWRITABLE")
    assert ran("build", bare, *RTX, "--dry-run", "--engines", tmp_path / "new" / "place").status == 0
    assert digest_of(tmp_path) == before


def test_a_place_on_a_sealed_disk_is_named(bare: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 100) as disk:
        (disk / "there").mkdir()
        seal(disk)
        for place in (disk / "there", disk / "new"):
            assert_refused(ran("build", bare, *RTX, "--engines", place), "EVL-OUT-UNWRITABLE")
        assert_refused(ran("build", bare, *RTX, "--dry-run", "--engines", disk / "new"), "EVL-OUT-UNWRITABLE")


def limit_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))


def test_a_file_that_may_not_grow_is_told_and_nothing_half_written_stays(bare: Path) -> None:
    process = started("build", bare, *RTX, preexec_fn=limit_files)
    out, err = process.communicate(timeout=WAIT_S)
    refused = Ran(process.returncode, out.decode(), err.decode())
    assert_refused(refused, "EVL-DISK-FULL")
    assert seen_in(bare / "engines") == [] and leftovers_in(bare / "engines") == []


def test_a_small_disk_is_refused_before_anything_is_built(bare: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 200) as disk:
        refused = ran("build", bare, *RTX, "--engines", disk)
        assert_refused(refused, "EVL-DISK-FULL")
        assert "MiB are needed" in refused.err
        assert seen_in(disk) == [] and leftovers_in(disk) == []


def test_a_disk_that_fills_up_keeps_what_was_built(bare: Path, tmp_path: Path) -> None:
    """Two engines fit, and while the third one is built there is no room."""
    assert ran("build", bare, *RTX).status == 0
    plan_pages = max(map(pages_of, bare.rglob("*.plan")))
    with small_disk(tmp_path / "disk", 300 + 2 * plan_pages) as disk:
        refused = ran("build", bare, *RTX, "--engines", disk)
        assert (refused.status, refused.err.splitlines()[0].endswith("[EVL-DISK-FULL]")) == (2, True)
        kept = engines_on(disk)
        assert 0 < len(kept) < len(ENGINES) and leftovers_in(disk) == []
        assert refused.out.count("MiB held") == len(kept)


def test_errors_are_json_too(bare: Path) -> None:
    refused = ran("build", bare, *RTX, "--memory-mib", "10", "--json")
    assert json.loads(refused.out)["error"]["code"] == "EVL-BUILD-MEMORY"
