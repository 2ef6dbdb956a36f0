from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_runtime import publish
from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.publish import check_free_space, staged_folder

ROOT = Path(__file__).parents[2]
CONTENT = {path: path * 1000 for path in ("x", "a/y", "a/b/z")}


def fill(folder: Path) -> None:
    for path, text in CONTENT.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def is_complete(folder: Path) -> bool:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {path: file.read_text() for path, file in found.items()} == CONTENT


def make(out: Path, body: Callable[[Path], object] = fill) -> None:
    with staged_folder(out) as staging:
        body(staging)


def refusal(out: Path, body: Callable[[Path], object] = fill) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        make(out, body)
    return caught.value


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_the_folder_appears_whole_at_the_end_and_nothing_beside_it(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "out") as staging:
        fill(staging)
        assert not (tmp_path / "out").exists()
        assert all(name.startswith(".out.") for name in names(tmp_path))
    assert names(tmp_path) == ["out"]
    assert is_complete(tmp_path / "out")


def test_the_stage_lies_on_the_same_disk_as_the_output(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "out") as staging:
        assert staging.stat().st_dev == tmp_path.stat().st_dev
        assert staging.parent.parent == tmp_path


def test_a_relative_output_is_made_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with staged_folder(Path("out")) as staging:
        fill(staging)
        monkeypatch.chdir("/")
    assert is_complete(tmp_path / "out")


@pytest.mark.parametrize("out", ["link/out", "link/inner/../out", "inward/../out"])
def test_an_output_lies_where_the_system_says_though_there_are_links(tmp_path: Path, out: str) -> None:
    real = tmp_path / "real"
    (real / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "inward").symlink_to("real/inner")
    with staged_folder(tmp_path / out) as staging:
        fill(staging)
    assert is_complete(real / "out")
    assert is_complete(tmp_path / out)
    assert sorted(os.listdir(tmp_path)) == ["inward", "link", "real"]
    with pytest.raises(EdgeVLError, match="EVL-OUT-EXISTS"), staged_folder(tmp_path / out):
        pass


def test_who_presses_ctrl_c_twice_leaves_nothing_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed = shutil.rmtree

    def rmtree(path: Path, ignore_errors: bool) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
        removed(path, ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="first"), staged_folder(tmp_path / "out"):
        raise KeyboardInterrupt("first")
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGINT) is before


def test_who_presses_ctrl_c_when_all_is_done_is_heard_after_the_cleaning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed = shutil.rmtree

    def rmtree(path: Path, ignore_errors: bool) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        removed(path, ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "out")
    assert is_complete(tmp_path / "out")
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, SystemExit, AssertionError])
def test_an_error_leaves_nothing(tmp_path: Path, fault: type[BaseException]) -> None:
    def fail(staging: Path) -> None:
        fill(staging)
        raise fault

    with pytest.raises(fault):
        make(tmp_path / "out", fail)
    assert names(tmp_path) == []


@pytest.mark.parametrize("kind", ["folder", "empty", "file", "dangling link", "link"])
def test_an_output_that_is_there_is_refused_and_kept(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("mine")
    elif "link" in kind:
        out.symlink_to(tmp_path if kind == "link" else "nowhere")
    else:
        out.mkdir()
    if kind == "folder":
        (out / "file").write_text("mine")
    before = out.lstat()
    error = refusal(out)
    assert error.code == "EVL-OUT-EXISTS"
    assert (out.lstat(), names(tmp_path)) == (before, ["out"])


@pytest.mark.parametrize("is_exclusive", [True, False])
@pytest.mark.parametrize("kind", ["folder", "empty", "file", "link"])
def test_an_output_that_appears_meanwhile_is_not_replaced(
    tmp_path: Path, kind: str, is_exclusive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    if not is_exclusive:  # as on a file system without exclusive renames
        monkeypatch.setattr(publish, "rename_without_replacing", publish.rename_if_absent)

    def intrude(staging: Path) -> None:
        fill(staging)
        if kind == "file":
            out.write_text("mine")
        elif kind == "link":
            out.symlink_to("nowhere")
        else:
            out.mkdir()
        if kind == "folder":
            (out / "file").write_text("mine")

    assert refusal(out, intrude).code == "EVL-OUT-EXISTS"
    assert names(tmp_path) == ["out"]
    assert not (out / "x").exists()


def test_the_exclusive_rename_needs_no_look_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "lexists", lambda _: False)
    assert refusal(tmp_path / "out", lambda staging: (tmp_path / "out").mkdir()).code == "EVL-OUT-EXISTS"
    assert names(tmp_path / "out") == []


def test_the_plain_rename_publishes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "rename_without_replacing", publish.rename_if_absent)
    with staged_folder(tmp_path / "out") as staging:
        fill(staging)
    assert is_complete(tmp_path / "out")
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("out", ["missing/out", "file/out", "/", "a\0b", "\ud800", "x" * 250, "link/out"])
def test_an_output_that_cannot_be_made_is_refused(tmp_path: Path, out: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("link")
    assert refusal(tmp_path / out).code == "EVL-OUT-UNWRITABLE"
    assert names(tmp_path) == ["file", "link"]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "EVL-DISK-FULL"),
        (errno.EDQUOT, "EVL-DISK-FULL"),
        (errno.EFBIG, "EVL-DISK-FULL"),
        (errno.EROFS, "EVL-OUT-UNWRITABLE"),
        (errno.EACCES, "EVL-OUT-UNWRITABLE"),
        (errno.EPERM, "EVL-OUT-UNWRITABLE"),
        (errno.EIO, "EVL-DISK-FAULT"),
    ],
)
@pytest.mark.parametrize("has_name", [True, False])
def test_faults_of_the_writer_become_errors_with_a_remedy(
    tmp_path: Path, number: int, code: str, has_name: bool
) -> None:
    def fail(staging: Path) -> None:
        fill(staging)
        raise OSError(number, os.strerror(number), *([str(staging / "x")] if has_name else []))

    error = refusal(tmp_path / "out", fail)
    assert (error.code, error.why) == (code, os.strerror(number))
    assert isinstance(error, MachineFault) == (number == errno.EIO)
    assert names(tmp_path) == []


def test_a_fault_while_reading_something_beside_the_output_is_not_blamed_on_it(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), staged_folder(tmp_path / "out"):
        raise PermissionError(
            errno.EACCES, "Permission denied", str(tmp_path / "checkpoint/model.safetensors")
        )
    assert names(tmp_path) == []


def test_leftovers_of_the_dead_are_swept_and_other_names_left_alone(tmp_path: Path) -> None:
    dead = [".out.0123456789abcdef.partial", ".out.0123456789abcde0.swept", ".out.0123456789abcde1.partial"]
    alien = [".out.012.partial", ".out.b.0123456789abcdef.partial", ".oux.0123456789abcdef.partial", "out.b"]
    for name in (*dead, *alien):
        (tmp_path / name / "out").mkdir(parents=True)
    (tmp_path / dead[0] / "lock").touch()  # the last one died before it made its lock
    (tmp_path / ".out.0123456789abcde2.partial").symlink_to(tmp_path / "out.b")
    (tmp_path / ".out.0123456789abcde3.partial").touch()
    with staged_folder(tmp_path / "out") as staging:
        fill(staging)
    kept = [*alien, "out", ".out.0123456789abcde2.partial", ".out.0123456789abcde3.partial"]
    assert names(tmp_path) == sorted(kept)


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    stage = tmp_path / ".out.0123456789abcdef.partial"
    stage.mkdir()
    (stage / "lock").symlink_to(tmp_path / "precious")
    assert refusal(tmp_path / "out").why == "Too many levels of symbolic links"
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_second_exporter_to_the_same_output_is_told_that_it_is_busy(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "out") as staging:
        error = refusal(tmp_path / "out")
        assert error.code == "EVL-OUT-BUSY"
        fill(staging)
    assert names(tmp_path) == ["out"]
    assert is_complete(tmp_path / "out")


def test_exporters_to_different_outputs_do_not_meet(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "one") as one, staged_folder(tmp_path / "two") as two:
        fill(one)
        fill(two)
    assert names(tmp_path) == ["one", "two"]


def test_free_space_is_compared_with_what_is_needed(tmp_path: Path) -> None:
    check_free_space(tmp_path, 1)
    with pytest.raises(EdgeVLError, match="1099511627776 MiB are needed") as caught:
        check_free_space(tmp_path, 1 << 60)
    assert caught.value.code == "EVL-DISK-FULL"
    with pytest.raises(EdgeVLError, match="EVL-OUT-UNWRITABLE"):
        check_free_space(tmp_path / "missing", 1)


# ------------------------------------------------------------------------------------- processes

CHILD = """
import os, signal, sys, time
from pathlib import Path
from edge_runtime.errors import EdgeVLError
from edge_runtime.publish import staged_folder

CONTENT, step_s, fatal_event = eval(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
seen = 0

def count(event, arguments):
    global seen
    if event.partition(".")[0] in ("os", "open", "fcntl", "shutil", "ctypes") and event != "open.none":
        seen += 1
        if seen == fatal_event:
            os.kill(os.getpid(), signal.SIGKILL)

print("ready", flush=True)
if fatal_event:
    sys.addaudithook(count)
try:
    with staged_folder(Path(sys.argv[1])) as staging:
        for path, text in CONTENT.items():
            (staging / path).parent.mkdir(parents=True, exist_ok=True)
            (staging / path).write_text(text)
            time.sleep(step_s)
except EdgeVLError as error:
    print(error.code, flush=True)
else:
    print("done", flush=True)
"""


def child(out: Path, step_s: float = 0.0, fatal_event: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-S", "-c", CHILD, str(out), repr(CONTENT), str(step_s), str(fatal_event)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def ending(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=60)
    return output.split()[-1]


def test_a_kill_at_random_moments_leaves_nothing_or_everything(tmp_path: Path) -> None:
    rng = random.Random(7)
    out, was_there = tmp_path / "out", []
    for number in range(10):
        with child(out, step_s=0.015) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(rng.uniform(0, 0.02) + 0.01 * number)
            process.kill()
        was_there.append(out.exists())
        assert not out.exists() or is_complete(out)
        if out.exists():
            out.rename(tmp_path / f"kept{number}")
    with staged_folder(out) as staging:
        fill(staging)
    assert [name for name in names(tmp_path) if not name.startswith("kept")] == ["out"]
    assert not all(was_there)


def test_a_kill_at_every_single_step_leaves_nothing_or_everything(tmp_path: Path) -> None:
    # The steps are what the interpreter reports before it asks the system for anything.
    outcomes = []
    for event in range(1, 200):
        out = tmp_path / str(event) / "out"
        out.parent.mkdir()
        with child(out, fatal_event=event) as process:
            is_done = ending(process) == "done"
        outcomes.append(out.exists())
        assert not out.exists() or is_complete(out), f"half-made after step {event}"
        if is_done:
            break
        sweep_and_check(out)
    assert is_done
    assert outcomes == sorted(outcomes)  # absent up to the rename, complete from there on
    assert outcomes.count(False) > 20
    assert outcomes.count(True) > 1


def sweep_and_check(out: Path) -> None:
    if out.exists():
        assert refusal(out).code == "EVL-OUT-EXISTS"
    else:
        with staged_folder(out) as staging:
            fill(staging)
    assert names(out.parent) == ["out"]
    assert is_complete(out)


@pytest.mark.parametrize("round_number", range(3))
def test_of_several_exporters_to_one_output_exactly_one_wins(tmp_path: Path, round_number: int) -> None:
    if round_number:  # something to sweep while the others arrive
        (tmp_path / ".out.0123456789abcdef.partial").mkdir()
    processes = [child(tmp_path / "out", step_s=0.01) for _ in range(4)]
    endings = sorted(ending(process) for process in processes)
    assert endings.count("done") == 1
    assert set(endings) <= {"done", "EVL-OUT-EXISTS", "EVL-OUT-BUSY"}
    assert names(tmp_path) == ["out"]
    assert is_complete(tmp_path / "out")


# ------------------------------------------------------------------------------------------ disks


def mounted(folder: Path, *options: str) -> bool:
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0 or not mounted(tmp_path / "disk", "size=256k"):
        pytest.skip("mounting a small tmpfs is not permitted here")
    yield tmp_path / "disk"
    subprocess.run(["umount", str(tmp_path / "disk")], check=True)


@pytest.mark.parametrize("size_kib", [16, 128, 1024])
def test_a_full_disk_is_named_and_nothing_is_left(small_disk: Path, size_kib: int) -> None:
    def write(staging: Path) -> None:
        for number in range(64):
            (staging / f"{number}").write_bytes(bytes(size_kib << 10))

    error = refusal(small_disk / "out", write)
    assert (error.code, error.why) == ("EVL-DISK-FULL", "No space left on device")
    assert names(small_disk) == []
    with staged_folder(small_disk / "out") as staging:
        fill(staging)
    assert is_complete(small_disk / "out")


def test_a_disk_without_any_room_is_named(small_disk: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "ballast").write_bytes(bytes(1 << 20))
    assert refusal(small_disk / "out").code == "EVL-DISK-FULL"
    with pytest.raises(EdgeVLError, match="0 MiB are free"):
        check_free_space(small_disk, 1)
    assert names(small_disk) == ["ballast"]


def test_a_read_only_disk_is_named(small_disk: Path) -> None:
    (small_disk / ".out.0123456789abcdef.partial").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    error = refusal(small_disk / "new")
    assert (error.code, error.why) == ("EVL-OUT-UNWRITABLE", "Read-only file system")
    assert refusal(small_disk / "out").code == "EVL-OUT-UNWRITABLE"  # with a leftover that cannot be swept


def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere; the read-only disk is tested instead")
    (tmp_path / "closed").mkdir(mode=0o500)
    assert refusal(tmp_path / "closed/out").code == "EVL-OUT-UNWRITABLE"
