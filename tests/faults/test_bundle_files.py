"""A bundle of which one file is not as export wrote it is refused before an engine sees it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge_runtime.errors import EdgeVLError
from edge_runtime.loading import load
from tests.faults.bounds import bounded
from tests.faults.damage import SPAN, Flip, Insert, Mishap, befall, mishaps, replace_file, twin_of
from tests.faults.forge import Forge
from tests.faults.opening import outcome

MANIFEST = "edge-vl.json"
SECONDS, MIB = 5.0, 128
each_is_fresh = settings(
    deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@contextmanager
def copied(folder: Path, place: Path) -> Iterator[Path]:
    twin = twin_of(folder, place / "twin")
    try:
        yield twin
    finally:
        shutil.rmtree(twin)


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def _no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("an engine was asked to open a damaged bundle")

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)


def refusal(folder: Path) -> EdgeVLError:
    with bounded(SECONDS, MIB), pytest.raises(EdgeVLError) as caught:
        load(folder)
    assert caught.value.code.startswith("EVL-BUNDLE-")
    assert caught.value.exit_status == 2
    return caught.value


def test_an_undamaged_copy_answers(bundle: Path, tmp_path: Path) -> None:
    with copied(bundle, tmp_path) as folder:
        assert outcome(folder, is_trusted=False) == "answered"


@pytest.mark.usefixtures("_no_engine")
@settings(each_is_fresh, max_examples=150)
@given(data=st.data(), mishap=mishaps)
def test_any_one_mishap_to_any_file_is_refused(
    bundle: Path, tmp_path: Path, data: st.DataObject, mishap: Mishap
) -> None:
    name = data.draw(st.sampled_from(files_of(bundle)))
    with copied(bundle, tmp_path) as folder:
        if not befall(folder / name, mishap) or is_same_manifest(folder, bundle):
            return
        assert name in str(refusal(folder)) or name == MANIFEST


def is_same_manifest(folder: Path, bundle: Path) -> bool:
    """Whether the manifest is another file that says the same: JSON allows spaces and spellings."""
    before, after = ((each / MANIFEST).read_bytes() for each in (bundle, folder))
    if before == after:
        return False
    try:
        return bool(json.loads(after) == json.loads(before))
    except ValueError:
        return False


@pytest.mark.usefixtures("_no_engine")
@settings(each_is_fresh, max_examples=200)
@given(place=st.integers(0, SPAN - 1), bit=st.integers(0, 7))
@example(place=0, bit=0)
def test_no_bit_of_the_manifest_can_change_what_it_says(
    bundle: Path, tmp_path: Path, place: int, bit: int
) -> None:
    with copied(bundle, tmp_path) as folder:
        befall(folder / MANIFEST, Flip(place, bit))
        if not is_same_manifest(folder, bundle):
            refusal(folder)


@pytest.mark.usefixtures("_no_engine")
def test_a_manifest_that_asks_another_question_is_refused(bundle: Path, tmp_path: Path) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    manifest["spec"]["preprocess"]["low"]["mean"][0] = 0.25  # valid, and every picture would look different
    with copied(bundle, tmp_path) as folder:
        replace_file(folder / MANIFEST, json.dumps(manifest).encode())
        assert refusal(folder).code == "EVL-BUNDLE-HASH"


def test_a_manifest_without_a_seal_is_taken_at_its_word(bundle: Path, tmp_path: Path) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    assert len(manifest.pop("manifest_sha256")) == 64
    with copied(bundle, tmp_path) as folder:
        replace_file(folder / MANIFEST, json.dumps(manifest).encode())
        assert outcome(folder, is_trusted=False) == "answered"


@pytest.mark.usefixtures("_no_engine")
def test_two_files_in_each_others_place_are_refused(bundle: Path, tmp_path: Path) -> None:
    for one, other in combinations(files_of(bundle), 2):
        with copied(bundle, tmp_path) as folder:
            replace_file(folder / one, (bundle / other).read_bytes())
            replace_file(folder / other, (bundle / one).read_bytes())
            refusal(folder)


@pytest.mark.usefixtures("_no_engine")
@pytest.mark.parametrize("is_trusted", [False, True])
def test_a_byte_more_is_refused_even_on_trust(is_trusted: bool, bundle: Path, tmp_path: Path) -> None:
    for name in files_of(bundle):
        with copied(bundle, tmp_path) as folder:
            befall(folder / name, Insert(SPAN, b"x"))
            with pytest.raises(EdgeVLError, match="EVL-BUNDLE-"):
                load(folder, is_trusted=is_trusted)


# --- on trust: hashes are not looked at, and whatever comes of it, it comes in words


def survived(
    forge: Forge, bundle: Path, place: Path, names: list[str], count: int, seed: int
) -> dict[str, int]:
    place.mkdir(exist_ok=True)
    given = {
        "names": names,
        "count": count,
        "seed": seed,
        "bundle": str(bundle),
        "place": str(place),
        "is_trusted": True,
    }
    ended = forge.start_function("tests.faults.opening:survive", given).ended()
    assert ended.status == 0, (ended.status, ended.out.splitlines()[-1:], ended.err)
    return ended.record()


def graphs_of(bundle: Path) -> list[str]:
    return [name for name in files_of(bundle) if name.endswith(".onnx")]


def test_a_damaged_graph_opened_on_trust_never_ends_the_process(
    forge: Forge, bundle: Path, tmp_path: Path
) -> None:
    codes = survived(forge, bundle, tmp_path, graphs_of(bundle), 120, seed=1)
    assert codes["EVL-BUNDLE-GRAPH"] > 5
    assert codes["EVL-BUNDLE-SIZE"] > 5
    assert "EVL-INTERNAL" not in codes


def test_other_damaged_files_opened_on_trust_never_end_the_process(
    forge: Forge, bundle: Path, tmp_path: Path
) -> None:
    codes = survived(forge, bundle, tmp_path, ["tokenizer.json", MANIFEST], 80, seed=2)
    assert codes["EVL-TOKENIZER-INVALID"] > 5
    assert codes["EVL-BUNDLE-MANIFEST"] > 5


def test_other_weights_opened_on_trust_are_answered_with(forge: Forge, bundle: Path, tmp_path: Path) -> None:
    weights = [name for name in files_of(bundle) if name.endswith((".data", ".bin"))]
    codes = survived(forge, bundle, tmp_path, weights, 40, seed=3)
    assert codes["answered"] > 5  # as documented: --trust-bundle skips the hashes
    assert set(codes) <= {"answered", "EVL-BUNDLE-SIZE", "EVL-LOGITS-NONFINITE"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 16))
def test_a_thousand_damaged_graphs_opened_on_trust_never_end_the_process(
    seed: int, forge: Forge, bundle: Path, tmp_path: Path
) -> None:
    survived(forge, bundle, tmp_path, graphs_of(bundle), 1000, seed)
