"""What a build is said to take, against what builds took; and what a machine is said to have."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from demo.sizes import SIZES
from edge_runtime.engines.library import Platform
from edge_runtime.manifest import DTYPE_BITS
from edge_runtime.onnxfile import OnnxFile, Tensor
from export.engines.need import MIB, Need, Room, need_of, remedy_of_shortage, room_here, shortage

ROOT = Path(__file__).parents[3]
MEASURED = ROOT / "docs/engines/1.3b-hybrid.json"
QUANTISED = ROOT / "docs/calibration/full-1.3b-hybrid-engines.json"
SPEC = SIZES["1.3b-hybrid"].decoder
LAYER = 4 * [(SPEC.width, SPEC.width)] + 3 * [(SPEC.width, SPEC.mlp_width)]
DECODER = [*SPEC.layers * LAYER, (SPEC.width, SPEC.vocab)]  # each of its weights
CLOSE = 1.35  # what a decoder may be said to take, of what it took
DTYPES = {"float": "float32", "half": "float16"}  # in the words of an .onnx file
TINY_MIB = 300  # below, the library itself is most of it, and twice of that is not much
MEMINFO = """MemTotal:        7802036 kB
MemFree:          102400 kB
MemAvailable:    5120000 kB
Active(anon):     204800 kB
SwapFree:        3900000 kB
HugePages_Total:       0
"""
JETSON = Platform("aarch64", is_jetson=True)
CMA = "CmaTotal:         262144 kB\nCmaFree:          131072 kB\n"


def graph_of(*weights: tuple[str, tuple[int, ...]]) -> OnnxFile:
    tensors = tuple(Tensor(f"w{n}", dtype, dims, None) for n, (dtype, dims) in enumerate(weights))
    return OnnxFile(10, {"": 20}, (), (), tensors, (), tensors, ())


def measured(report: Path = MEASURED) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(report.read_text())["engines"]
    return found


def measured_decoders() -> list[dict[str, Any]]:
    return [each for each in (*measured(), *measured(QUANTISED)) if each["engine"].startswith("decoder")]


def elements_of(engine: Mapping[str, Any]) -> dict[str, int]:
    """By dtype, in the first profile: a plan tells its constants by bytes, in which two 4-bit ones share one."""
    stored = {DTYPES.get(kind, kind): size for kind, size in engine["profiles"][0]["constant_bytes"].items()}
    return {dtype: 8 * size // DTYPE_BITS[dtype] for dtype, size in stored.items()}


def most_common(elements: dict[str, int]) -> str:
    return max(elements, key=elements.__getitem__)


def named(engine: Mapping[str, Any]) -> str:
    return "-".join(engine[key] for key in ("name", "dialect", "engine") if key in engine)


def write(folder: Path, files: Mapping[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def cgroup(folder: Path, limit: str, used_mib: int, dropped_mib: int = 0) -> Path:
    """Of a container. `dropped_mib` is of caches that can be."""
    stat = f"anon 7\nactive_file 999999999\ninactive_file {dropped_mib * MIB}\ntotal_inactive_file 5\n"
    return write(
        folder / "cgroup",
        {"memory.max": f"{limit}\n", "memory.current": f"{used_mib * MIB}\n", "memory.stat": stat},
    )


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    return write(tmp_path / "proc", {"meminfo": MEMINFO})


@pytest.mark.parametrize(
    ("weights", "need"),
    [
        ([], Need(250, 0, 0)),
        ([("float16", (1024, 512))], Need(252, 1, 1)),  # 250 + 2.1
        ([("float32", (1024, 1024, 25))], Need(460, 100, 100)),  # 250 + 210
        ([("float16", (1024, 1024)), ("float16", (1024, 4096))], Need(271, 10, 8)),  # 250 + 2.1 * 10
        ([("int8", (1024, 1024, 100))], Need(502, 100, 100)),  # 250 + 2.1 * 1.2 * 100
        ([("uint8", (1024, 1024, 100))], Need(502, 100, 100)),
        ([("int4", (1024, 1024, 100))], Need(460, 50, 50)),  # as if a byte each: 250 + 2.1 * 100
        ([("uint4", (1024, 1024, 100))], Need(460, 50, 50)),
        ([("int4", (1024, 1024, 100)), ("float16", (1024, 1024, 50))], Need(670, 150, 100)),
        ([("int32", (1024, 1024, 25))], Need(460, 100, 100)),  # indices are no weights
        ([("float16", (3,)), ("float16", ())], Need(250, 1, 1)),  # a part of a MiB is one
        ([("float16", (0, 1024))], Need(250, 0, 0)),
    ],
)
def test_a_need_is_counted_from_the_weights(weights: list[tuple[str, tuple[int, ...]]], need: Need) -> None:
    assert need_of(graph_of(*weights)) == need


def test_weights_of_subgraphs_count_too() -> None:
    inner = Tensor("inner", "float16", (1024, 1024, 50), None)
    assert need_of(OnnxFile(10, {"": 20}, (), (), (), (), (inner,), ())) == Need(460, 100, 100)


@pytest.mark.parametrize("engine", measured(), ids=named)
def test_no_full_size_engine_took_more_than_was_said_nor_less_than_half(engine: dict[str, Any]) -> None:
    said = need_of(graph_of(("float16", (engine["plan_bytes"] // 2,))))
    assert said.held_mib >= engine["peak_held_mib"]
    assert engine["peak_held_mib"] < TINY_MIB or said.held_mib <= 2 * engine["peak_held_mib"]
    assert said.plan_mib - 1 <= engine["plan_bytes"] / MIB <= said.plan_mib


def test_the_measured_engines_are_of_all_sizes() -> None:
    # Or the test above would say little.
    peaks = [each["peak_held_mib"] for each in measured()]
    assert len(peaks) == 10
    assert min(peaks) < TINY_MIB
    assert max(peaks) > 5000


@pytest.mark.parametrize("engine", measured_decoders(), ids=named)
def test_no_full_size_decoder_took_more_than_is_said_of_its_weights_nor_much_less(
    engine: dict[str, Any],
) -> None:
    # The reports do not tell what was in the .onnx file; the plan's constants are the weights that came of it.
    said = need_of(graph_of(*((dtype, (count,)) for dtype, count in elements_of(engine).items())))
    assert engine["peak_held_mib"] <= said.held_mib <= CLOSE * engine["peak_held_mib"]


@pytest.mark.parametrize("engine", measured_decoders(), ids=named)
def test_the_constants_of_a_measured_decoder_are_all_its_weights(engine: dict[str, Any]) -> None:
    # Or the test above would say little. Every float is a scale, a norm or a table of angles where layers are integers.
    weights = sum(map(math.prod, DECODER))
    most = max(elements_of(engine).values())
    assert weights <= most < 1.002 * weights


def test_measured_decoders_are_of_every_kind() -> None:
    kinds = Counter(most_common(elements_of(each)) for each in measured_decoders())
    assert kinds == {"float16": 4, "int8": 6, "int4": 2}


@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_a_quantised_decoder_is_not_refused_by_a_board_with_5_gib_free(dtype: str) -> None:
    need = need_of(graph_of(*((dtype, dims) for dims in DECODER)))
    assert shortage(need, Room(5000)) == ""


@pytest.mark.parametrize(
    ("room", "words"),
    [
        (Room(6000), ""),
        (Room(5999), "it needs about 6000 MiB of memory, 5999 MiB are free"),
        (Room(0), "it needs about 6000 MiB of memory, 0 MiB are free"),
        (Room(6000, 200), ""),
        (
            Room(6000, 199),
            "its largest weight takes 200 MiB in one piece, and this board has set 199 MiB aside for such (CMA)",
        ),
        (Room(5999, 199), "it needs about 6000 MiB of memory, 5999 MiB are free"),
    ],
)
def test_a_shortage_is_told_with_both_figures(room: Room, words: str) -> None:
    assert shortage(Need(6000, 2800, 200), room) == words


def test_free_is_what_can_be_had_and_not_what_lies_idle(proc: Path, tmp_path: Path) -> None:
    assert room_here(proc, tmp_path / "nothing") == Room(5000)


def test_a_board_says_what_it_has_set_aside(tmp_path: Path) -> None:
    proc = write(tmp_path / "proc", {"meminfo": MEMINFO + CMA})
    assert room_here(proc, tmp_path / "nothing", JETSON) == Room(5000, 256)
    assert room_here(proc, tmp_path / "nothing", Platform("aarch64", is_jetson=False)) == Room(5000)


def test_a_kernel_that_sets_nothing_aside_is_no_board(tmp_path: Path) -> None:
    proc = write(tmp_path / "proc", {"meminfo": MEMINFO + CMA.replace("262144", "0")})
    assert room_here(proc, tmp_path / "nothing", JETSON) == Room(5000)


@pytest.mark.parametrize(
    ("room", "words"),
    [
        (Room(5999, 199), "close other programs"),
        (Room(6000, 199), "cma=950M"),
        (Room(5999), "close other programs"),
    ],
)
def test_what_helps_is_what_is_short(room: Room, words: str) -> None:
    remedy = remedy_of_shortage(Need(6000, 2800, 200), room)
    assert remedy.startswith(words) or ("Jetson" in remedy and words in remedy)
    assert "--memory-mib" in remedy


@pytest.mark.parametrize(
    ("limit", "used", "dropped", "free"),
    [
        ("max", 100, 0, 5000),
        (str(1024 * MIB), 100, 0, 924),
        (str(1024 * MIB), 400, 300, 924),  # caches can be dropped
        (str(1024 * MIB), 300, 400, 1024),  # and do not count twice
        (str(1024 * MIB), 2000, 0, 0),
        (str(9000 * MIB), 100, 0, 5000),  # more than the machine has
        (str(1024 * MIB + 1), 0, 0, 1024),
    ],
)
def test_a_container_gives_what_is_left_of_its_limit(
    proc: Path, tmp_path: Path, limit: str, used: int, dropped: int, free: int
) -> None:
    assert room_here(proc, cgroup(tmp_path, limit, used, dropped)) == Room(free)


@pytest.mark.parametrize("name", ["memory.max", "memory.current", "memory.stat"])
def test_a_container_that_does_not_tell_has_no_limit(proc: Path, tmp_path: Path, name: str) -> None:
    folder = cgroup(tmp_path, str(1024 * MIB), 100)
    assert room_here(proc, folder) == Room(924)
    (folder / name).unlink()
    assert room_here(proc, folder) == Room(5000)


def test_this_machine_has_some_room() -> None:
    room = room_here()
    (total,) = [
        int(line.split()[1]) // 1024
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemTotal:")
    ]
    assert 0 < room.free_mib <= total
