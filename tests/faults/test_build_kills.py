"""A build that is killed, stopped or doubled: engines are whole or not there, and what was made is not made again."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.errors import EdgeVLError
from tests.edge_vl.command import WAIT_S, Ran, started, wait_until
from tests.export.engines.adders import ENGINES, engines_on, leftovers_in, seen_in, write_adders

pytestmark = pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx is not installed")

Process = subprocess.Popen[bytes]


def started_build(bundle: Path, *options: str) -> Process:
    """In a group of its own, with whatever it starts."""
    return started("build", bundle, "--engine", "tensorrt-rtx", "--json", *options, preexec_fn=os.setsid)


def ended(process: Process) -> Ran:
    out, err = process.communicate(timeout=WAIT_S)
    return Ran(process.returncode, out.decode(), err.decode())


def engines_told(done: Ran) -> dict[str, dict[str, Any]]:
    assert done.status == 0, done
    return {each["engine"]: each for each in done.record()["engines"]}


def news(done: Ran) -> list[str]:
    """What was built just now."""
    return [name for name, told in engines_told(done).items() if told["is_new"]]


def living_in_group(group: int) -> list[int]:
    """Zombies are dead."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = path.read_text().rpartition(") ")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended between two looks
        if int(its_group) == group and state != "Z":
            found.append(int(path.parent.name))
    return found


def assert_nobody_left(process: Process) -> None:
    wait_until(lambda: living_in_group(process.pid) == [], "the end of everything that the build started")


def wait_for_work(shelf: Path) -> None:
    """Until an engine is being built."""
    wait_until(lambda: shelf.exists() and leftovers_in(shelf) != [], "an engine under way")


def wait_at_lock(process: Process) -> None:
    """Until it stands before an engine: it builds it, or waits for whoever does."""

    def is_at_lock() -> bool:
        for path in Path(f"/proc/{process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed since it was listed
                if path.readlink().suffix == ".lock":
                    return True
        return False

    wait_until(is_at_lock, "a lock")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_adders(tmp_path / "adders")
    return tmp_path / "adders"


@pytest.fixture(scope="module")
def usual_s(tmp_path_factory: pytest.TempPathFactory) -> float:
    """How long a build takes that nobody disturbs."""
    folder = tmp_path_factory.mktemp("usual") / "adders"
    write_adders(folder)
    begun = time.monotonic()
    assert news(ended(started_build(folder))) == [*ENGINES]
    return time.monotonic() - begun


def killed_when(bundle: Path, wait: Callable[[], None]) -> bool:
    """Whether the kill met an engine under way."""
    process = started_build(bundle)
    wait()
    process.kill()
    ended(process)
    assert_nobody_left(process)
    shelf = bundle / "engines"
    return shelf.exists() and leftovers_in(shelf) != []


def kill_often(count: int, bundle: Path, usual_s: float) -> None:
    rng, shelf, met = random.Random(count), bundle / "engines", 0
    for number in range(count):
        if len(stood := engines_on(shelf)) == len(ENGINES):
            for name in rng.sample(ENGINES, rng.randint(1, len(ENGINES))):
                shutil.rmtree(shelf / stood.pop(name)[0])
        delay_s = (number + rng.random()) / count * usual_s
        met += killed_when(bundle, partial(time.sleep, delay_s) if number else partial(wait_for_work, shelf))
        assert engines_on(shelf).items() >= stood.items()  # all of them whole, and none made again
    assert met > 0, "no kill met an engine under way"
    stood = engines_on(shelf)
    assert news(ended(started_build(bundle))) == [name for name in ENGINES if name not in stood]
    assert engines_on(shelf).items() >= stood.items() and leftovers_in(shelf) == []


def test_kills_at_random_moments_leave_whole_engines_that_are_not_built_again(
    bundle: Path, usual_s: float
) -> None:
    kill_often(4, bundle, usual_s)


@pytest.mark.slow
def test_forty_kills_at_random_moments_leave_whole_engines_that_are_not_built_again(
    bundle: Path, usual_s: float
) -> None:
    kill_often(40, bundle, usual_s)


@pytest.mark.parametrize(
    ("number", "status", "send"),
    [
        (signal.SIGINT, 130, os.kill),
        (signal.SIGINT, 130, os.killpg),  # as Ctrl-C on a terminal
        (signal.SIGTERM, 143, os.kill),
        (signal.SIGTERM, 143, os.killpg),
    ],
)
def test_a_signal_ends_a_build_in_one_line_and_leaves_nobody_behind(
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    status: int,
    send: Any,
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    process = started_build(bundle)
    wait_for_work(bundle / "engines")
    time.sleep(random.Random(f"{number} {send.__name__}").uniform(0, 0.5))
    send(process.pid, number)
    result = ended(process)
    assert result.status == status, result
    words = [line for line in result.err.splitlines() if " MiB of " not in line]
    assert len(words) == 1 and "; nothing was left half-written" in words[0], result.err
    assert living_in_group(process.pid) == []
    stood = engines_on(bundle / "engines")
    assert leftovers_in(bundle / "engines") == [] and os.listdir(tmp_path / "tmp") == []
    assert not stood or words[0].endswith(f"{len(stood)} of {len(ENGINES)} engines are there")
    assert news(ended(started_build(bundle))) == [name for name in ENGINES if name not in stood]


def test_who_waits_for_a_build_that_is_killed_takes_it_over(bundle: Path) -> None:
    first = started_build(bundle)
    wait_for_work(bundle / "engines")
    second = started_build(bundle)
    wait_at_lock(second)
    first.kill()
    ended(first)
    told = engines_told(ended(second))
    assert {*told} == {*engines_on(bundle / "engines")} == {*ENGINES}
    assert told[ENGINES[-1]]["is_new"] and leftovers_in(bundle / "engines") == []
    assert_nobody_left(first)


def test_who_waits_may_be_stopped_and_the_builder_goes_on(bundle: Path) -> None:
    first = started_build(bundle)
    wait_for_work(bundle / "engines")
    second = started_build(bundle)
    wait_at_lock(second)
    second.send_signal(signal.SIGINT)
    assert ended(second).status == 130
    assert_nobody_left(second)
    made = engines_told(ended(first))
    assert {*made} == {*engines_on(bundle / "engines")} == {*ENGINES}


def test_the_check_would_notice_a_half_made_engine(bundle: Path) -> None:
    assert news(ended(started_build(bundle))) == [*ENGINES]
    first, second, *_ = seen_in(bundle / "engines")
    plan = next(first.glob("*.plan"))
    plan.write_bytes(plan.read_bytes()[:-1])
    with pytest.raises(AssertionError):
        engines_on(bundle / "engines")
    shutil.rmtree(first)
    (second / "engine.json").write_text("{}")
    with pytest.raises(EdgeVLError, match="EVL-ENGINE-DAMAGED"):
        engines_on(bundle / "engines")
