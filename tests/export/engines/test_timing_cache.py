"""What was timed is kept, and whatever is wrong with it, the engine is built."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime.engines.place import Gpu, Place
from edge_runtime.errors import EdgeVLError
from export.engines.builder import build_plan
from export.engines.request import BuildReport, BuildRequest
from export.engines.timing_cache import timing_file
from tests.export.engines.foundry import PLAN, Foundry
from tests.export.engines.timekeeper import UNREADABLE, data_of

LAYERS = ("CONSTANT", "MATRIX_MULTIPLY")
ORIN = Place("tensorrt", "10.3.0.30", Gpu("Orin", "sm87", "12.6"))

pytestmark = pytest.mark.usefixtures("rtx")


def sealed(data: bytes) -> bytes:
    return hashlib.sha256(data).digest() + data


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    (tmp_path / "shelf").mkdir()
    return tmp_path / "shelf"


@pytest.fixture
def request_of(product: BuildRequest, shelf: Path) -> BuildRequest:
    return replace(product, engine="tensorrt", timings=timing_file(shelf, ORIN))


def kept(request: BuildRequest) -> Path:
    assert request.timings is not None
    return Path(request.timings)


def built(foundry: Foundry, request: BuildRequest) -> BuildReport:
    """The plan is there whatever else is not."""
    Path(request.plan).unlink(missing_ok=True)
    report = build_plan(foundry.library(ORIN.version), request)
    assert Path(request.plan).read_bytes() == PLAN
    return report


@pytest.mark.parametrize("absent", [(), ("Builder.build_serialized_network_to_stream",)])
def test_what_one_build_has_timed_the_next_need_not(
    request_of: BuildRequest, shelf: Path, absent: tuple[str, ...]
) -> None:
    first, second = Foundry(absent), Foundry(absent, (*LAYERS, "SOFTMAX"))
    assert built(first, request_of).warnings == built(second, request_of).warnings == ()
    assert (first.timekeeper.asked, second.timekeeper.asked) == ([[*LAYERS]], [["SOFTMAX"]])
    assert kept(request_of).read_bytes() == sealed(data_of("orin", *LAYERS, "SOFTMAX"))
    assert os.listdir(shelf) == [kept(request_of).name]


def test_a_build_that_is_given_no_file_keeps_nothing(request_of: BuildRequest, tmp_path: Path) -> None:
    foundry = Foundry()
    built(foundry, replace(request_of, timings=None))
    assert not any("timing" in call.lower() for call in foundry.calls)
    assert sorted(os.listdir(tmp_path)) == ["product.onnx", "product.plan", "shelf"]


def test_what_is_known_already_is_not_written_again(request_of: BuildRequest) -> None:
    built(Foundry(), request_of)
    before = kept(request_of).stat()
    built(Foundry(), request_of)
    assert (kept(request_of).stat().st_ino, kept(request_of).stat().st_mtime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
    )


def cut_short(data: bytes) -> bytes:
    return data[:-1]


def with_a_flipped_bit(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def emptied(data: bytes) -> bytes:
    return b""


def without_its_seal(data: bytes) -> bytes:
    return data[32:]


def a_seal_alone(data: bytes) -> bytes:
    return hashlib.sha256(b"").digest()


@pytest.mark.parametrize("damage", [cut_short, with_a_flipped_bit, emptied, without_its_seal, a_seal_alone])
def test_a_damaged_file_never_reaches_the_library_and_is_written_anew(
    request_of: BuildRequest, damage: Callable[[bytes], bytes]
) -> None:
    path = kept(request_of)
    path.write_bytes(damage(sealed(data_of("orin", *LAYERS))))
    foundry = Foundry()
    report = built(foundry, request_of)
    assert foundry.timekeeper.asked == [[*LAYERS]]
    assert report.warnings == (f"{path.name} is of no use and begun anew: it is damaged",)
    assert path.read_bytes() == sealed(data_of("orin", *LAYERS))


@pytest.mark.parametrize("refuses", ["to attach", "to create", "in silence"])
def test_timings_of_another_gpu_are_refused_said_to_be_so_and_replaced(
    request_of: BuildRequest, refuses: str
) -> None:
    path = kept(request_of)
    path.write_bytes(sealed(data_of("thor", *LAYERS)))
    foundry = Foundry()
    foundry.timekeeper.refuses = refuses
    report = built(foundry, request_of)
    assert foundry.timekeeper.asked == [[*LAYERS]]
    assert report.warnings[0] == f"of the timing cache: {UNREADABLE}"
    if refuses != "in silence":
        assert report.warnings[1:] == (f"{path.name} is of no use and begun anew: the library refuses it",)
    assert path.read_bytes() == sealed(data_of("orin", *LAYERS))


def test_what_the_library_says_of_a_refused_file_is_not_why_a_build_fails(request_of: BuildRequest) -> None:
    kept(request_of).write_bytes(sealed(data_of("thor", *LAYERS)))
    with pytest.raises(EdgeVLError) as caught:
        build_plan(Foundry(is_refused=True).library(ORIN.version), request_of)
    assert caught.value.code == "EVL-BUILD-FAILED"
    assert UNREADABLE not in caught.value.why


def test_a_build_that_fails_leaves_the_file_as_it_was(request_of: BuildRequest, shelf: Path) -> None:
    built(Foundry(), request_of)
    before = kept(request_of).read_bytes()
    with pytest.raises(EdgeVLError):
        build_plan(Foundry((), ("SOFTMAX",), is_refused=True).library(ORIN.version), request_of)
    assert kept(request_of).read_bytes() == before and len(os.listdir(shelf)) == 1


@pytest.mark.parametrize(
    ("refuses", "words"),
    [
        ("anything", "the library takes no timing cache"),
        ("to serialise", "the library does not hand out its timing cache"),
    ],
)
def test_a_library_that_keeps_no_timings_builds_all_the_same(
    request_of: BuildRequest, refuses: str, words: str
) -> None:
    foundry = Foundry()
    foundry.timekeeper.refuses = refuses
    assert built(foundry, request_of).warnings == (words,)
    assert not kept(request_of).exists()


def test_of_two_builds_at_once_neither_loses_what_the_other_has_timed(request_of: BuildRequest) -> None:
    other, foundry = Foundry((), ("SOFTMAX",)), Foundry()
    beside = replace(request_of, plan=f"{request_of.plan}.other")
    foundry.timekeeper.meanwhile = lambda: built(other, beside)
    assert built(foundry, request_of).warnings == ()
    assert other.timekeeper.asked == [["SOFTMAX"]] and foundry.timekeeper.asked == [[*LAYERS]]
    assert kept(request_of).read_bytes() == sealed(data_of("orin", *LAYERS, "SOFTMAX"))


@pytest.mark.parametrize("data", [sealed(data_of("orin"))[:-1], sealed(data_of("thor", "SOFTMAX"))])
def test_what_is_of_no_use_when_a_build_ends_is_replaced(request_of: BuildRequest, data: bytes) -> None:
    foundry = Foundry()
    foundry.timekeeper.refuses = "to create"
    foundry.timekeeper.meanwhile = lambda: kept(request_of).write_bytes(data)
    built(foundry, request_of)
    assert kept(request_of).read_bytes() == sealed(data_of("orin", *LAYERS))


def a_folder(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("make", [a_folder, a_pipe])
def test_what_is_no_file_is_not_waited_for(request_of: BuildRequest, make: Callable[[Path], None]) -> None:
    make(kept(request_of))
    assert "it is not a regular file" in built(Foundry(), request_of).warnings[0]


def test_a_file_that_cannot_be_written_is_said_to_be_so(request_of: BuildRequest, shelf: Path) -> None:
    shelf.rmdir()
    (warning,) = built(Foundry(), request_of).warnings
    assert warning == f"{kept(request_of).name} cannot be written: No such file or directory"


def test_every_place_has_a_file_of_its_own(shelf: Path) -> None:
    assert ORIN.gpu is not None
    gpus = [
        replace(ORIN.gpu, driver="12.9"),
        replace(ORIN.gpu, architecture="sm110"),
        Gpu("Thor", "sm87", "12.6"),
    ]
    places = [ORIN, replace(ORIN, version="10.13.3.9"), *(replace(ORIN, gpu=gpu) for gpu in gpus)]
    names = [timing_file(shelf, place) for place in places]
    assert len({*names}) == len(places) and names[0] == timing_file(shelf, replace(ORIN))


def test_there_is_none_for_a_library_that_times_nothing(shelf: Path) -> None:
    assert timing_file(shelf, Place("tensorrt-rtx", "1.7.1", ORIN.gpu)) is None
