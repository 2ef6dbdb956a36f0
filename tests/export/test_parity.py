from __future__ import annotations

import gc
import shutil
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from edge_runtime.backends.backend import Array, Backend, Graph, Ints
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.errors import EdgeVLError
from edge_runtime.preprocess import Pixels, pixels_from_picture
from edge_runtime.scores import Scores
from edge_runtime.spec import PreprocessSpec, Role
from export.checkpoint import Checkpoint
from export.comparison import parity_of, synthetic_pictures
from export.modules.reference import Reference
from export.parity import (
    BARS,
    Bar,
    GreedyParity,
    ParityReport,
    RoleParity,
    agreed_tokens,
)
from export.reference import reference_from_checkpoint
from export.weight_parity import WeightParity, weight_parity
from tests.proof.subject import bundle_below, checkpoint_below, session_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_folder(tmp_path_factory)


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    return Bundle.open(bundle_below(folder, "plain"))


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Iterator[Checkpoint]:
    with Checkpoint.open(checkpoint_below(folder, "plain")) as opened:
        yield opened


@pytest.fixture(scope="module")
def reference(checkpoint: Checkpoint, bundle: Bundle) -> Reference:
    return reference_from_checkpoint(checkpoint, bundle.spec)


@dataclass
class OffGraph:
    graph: Graph

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        found = {name: np.array(value) for name, value in self.graph.run(feeds).items()}
        for value in found.values():
            value.reshape(-1)[0] += np.abs(value).max() / 1000
        return found

    def launch(self, feeds: Mapping[str, Array]) -> Callable[[], dict[str, Array]]:
        found = self.run(feeds)
        return lambda: found


class OffDecoder:
    """One logit of every step is a little off."""

    batch = 1

    def __init__(self, backend: OrtBackend, capacity: int) -> None:
        self.decoder = backend.decoder(1, capacity)
        self.capacity = capacity

    def row(self, row: int) -> OffDecoder:
        assert row == 0
        return self

    def step(self, embeds: Array, write_index: Ints, logit_index: Ints) -> Scores:
        logits = self.decoder.step(embeds, write_index, logit_index).logits
        logits[..., 0] += np.abs(logits).max() / 1000
        return Scores.of(logits)


class OffBackend:
    """ONNX Runtime, wrong by a thousandth in one number of one role."""

    name = "off"
    dialect: Dialect = "ort"

    def __init__(self, bundle: Bundle, off: Role) -> None:
        self.backend = OrtBackend(bundle, threads=1)
        self.off = off

    def graph(self, role: Role) -> Graph:
        graph: Graph = self.backend.graph(role)
        return OffGraph(graph) if role == self.off else graph

    def decoder(self, batch: int, capacity: int) -> OffDecoder:
        assert batch == 1
        whole = cast(OffDecoder, self.backend.decoder(batch, capacity))
        return OffDecoder(self.backend, capacity) if self.off == "decoder" else whole

    def close(self) -> None:
        self.backend.close()


@pytest.mark.parametrize("off", ["vision_low", "adaptor", "decoder"])
def test_a_role_that_is_a_little_off_fails_and_no_other(
    bundle: Bundle, checkpoint: Checkpoint, off: Role
) -> None:
    report = parity_of(bundle, {"ort": OffBackend(bundle, off)}, checkpoint, synthetic_pictures(1))
    assert {each.role for each in report.roles if not each.is_passed} == {off}
    assert not report.is_passed


def test_progress_counts_to_the_end(bundle: Bundle, checkpoint: Checkpoint) -> None:
    seen: list[tuple[int, int]] = []
    parity_of(
        bundle,
        {"ort": OrtBackend(bundle, threads=1)},
        checkpoint,
        synthetic_pictures(1),
        lambda _, done, total: seen.append((done, total)),
    )
    assert [done for done, _ in seen] == list(range(1, len(seen) + 1))
    assert {total for _, total in seen} == {len(seen)}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_weights_of_a_bundle_are_those_of_its_checkpoint(
    folder: Path, precision: str, reference: Reference
) -> None:
    held = Bundle.open(bundle_below(folder, "plain", precision))  # type: ignore[arg-type]
    for role in held.spec.roles:
        found = weight_parity(held, reference, role)
        dialect = None if role == "embed" else held.manifest.dialects[0]
        assert found == WeightParity(role, dialect, len(list(reference.parameters(role))), ())
        assert found.compared > 0


def test_one_bit_of_a_weight_is_found_and_named(bundle: Bundle, reference: Reference, tmp_path: Path) -> None:
    shutil.copytree(bundle.folder, tmp_path / "bundle")
    changed = Bundle.open(tmp_path / "bundle")
    graph = changed.graph("decoder", "ort")
    tensors = {tensor.name: tensor for tensor in changed.onnx_file(graph).tensors}
    place = tensors["blocks.1.up.weight"].external
    assert place is not None
    with changed.path_of(graph).with_suffix(".data").open("r+b") as file:
        file.seek(place.offset + 4321)
        byte = file.read(1)[0]
        file.seek(place.offset + 4321)
        file.write(bytes([byte ^ 1]))
    found = weight_parity(changed, reference, "decoder")
    assert found.differing == ("blocks.1.up.weight",)
    assert not found.is_passed


def test_one_bit_of_the_embedding_table_is_found(
    bundle: Bundle, reference: Reference, tmp_path: Path
) -> None:
    shutil.copytree(bundle.folder, tmp_path / "bundle")
    table = tmp_path / "bundle" / "embed.bin"
    data = bytearray(table.read_bytes())
    data[-1] ^= 1
    table.write_bytes(data)
    changed = Bundle.open(tmp_path / "bundle", is_trusted=True)
    assert weight_parity(changed, reference, "embed").differing == ("weight",)


def test_another_models_checkpoint_is_refused_by_what_differs(folder: Path, bundle: Bundle) -> None:
    with pytest.raises(EdgeVLError) as caught:
        reference_from_checkpoint(Checkpoint.open(checkpoint_below(folder, "grouped")), bundle.spec)
    assert caught.value.code == "EVL-VERIFY-OTHER-MODEL"
    assert "decoder" in caught.value.why


def role_parity(cosine: float, relative: float) -> RoleParity:
    return RoleParity("decoder", "ort", cosine, 0.1, 0.01, relative, Bar(0.9999, 1e-2))


@pytest.mark.parametrize(
    ("cosine", "relative", "is_passed"),
    [(0.9999, 1e-2, True), (0.99989, 1e-3, False), (1.0, 1.1e-2, False), (float("nan"), 0.0, False)],
)
def test_a_role_passes_when_both_bars_are_reached(cosine: float, relative: float, is_passed: bool) -> None:
    assert role_parity(cosine, relative).is_passed is is_passed


def test_the_bars_are_those_of_the_issue() -> None:
    assert BARS["fp16"] == Bar(0.9999, 1e-2)
    assert BARS["fp32"].relative <= 1e-4


@pytest.mark.parametrize(("gap", "is_passed"), [(None, True), (0.01, True), (0.02, True), (0.03, False)])
def test_greedy_tokens_may_part_only_where_the_reference_is_undecided(
    gap: float | None, is_passed: bool
) -> None:
    assert GreedyParity("text", "ort", 5, 32, gap, allowed=0.02).is_passed is is_passed


def test_a_report_passes_when_every_part_does() -> None:
    good, bad = role_parity(1.0, 0.0), role_parity(0.5, 0.0)
    parted, other = GreedyParity("text", "ort", 5, 32, 1.0, 0.1), WeightParity("embed", None, 1, ("weight",))
    assert ParityReport((good,), (), (), True).is_passed
    assert not ParityReport((good, bad), (), (), True).is_passed
    assert not ParityReport((good,), (parted,), (), True).is_passed
    assert not ParityReport((good,), (), (other,), True).is_passed


@pytest.mark.parametrize(
    ("wanted", "found", "agreed"),
    [([1, 2, 3], [1, 2, 3], 3), ([1, 2, 3], [1, 9, 3], 1), ([1, 2], [1, 2, 3], 2), ([], [1], 0)],
)
def test_agreement_is_counted_from_the_start(wanted: list[int], found: list[int], agreed: int) -> None:
    assert agreed_tokens(wanted, found) == agreed


def test_synthetic_pictures_are_the_same_every_time() -> None:
    one, other = synthetic_pictures(4), synthetic_pictures(4)
    assert [each.tobytes() for each in one] == [each.tobytes() for each in other]
    assert len({each.size for each in one}) == 4


def test_another_tokenizer_fails_although_every_number_agrees(
    bundle: Bundle, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(checkpoint.path, other)
    (other / "tokenizer.json").write_bytes(checkpoint.tokenizer_path.read_bytes() + b"\n")
    with Checkpoint.open(other) as changed:
        report = parity_of(bundle, {"ort": OrtBackend(bundle, threads=1)}, changed, synthetic_pictures(1))
    assert not report.has_same_tokenizer
    assert not report.is_passed
    assert all(each.is_passed for each in report.roles)
    assert all(each.is_passed for each in report.greedy)
    assert all(each.is_passed for each in report.weights)


@pytest.mark.parametrize("name", ["plain", "hybrid"])
def test_pixels_and_features_of_a_picture_are_let_go_of_before_the_next(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many pictures, the first two stay (for other dialects), and one more is held at a time."""
    pixels, features, most = weakref.WeakSet[Pixels](), weakref.WeakSet[Tensor](), [0, 0]

    def made(picture: Image.Image, spec: PreprocessSpec) -> Pixels:
        gc.collect()
        most[:] = [max(most[0], len(pixels)), max(most[1], len(features))]
        found = pixels_from_picture(picture, spec)
        pixels.add(found)
        return found

    def seen(reference: Reference, plane: Tensor) -> Tensor:
        found = vision_low(reference, plane)
        features.add(found)
        return found

    vision_low = Reference.vision_low
    monkeypatch.setattr(Reference, "vision_low", seen)
    monkeypatch.setattr("export.comparison.pixels_from_picture", made)
    held = Bundle.open(bundle_below(folder, name))
    backends: dict[Dialect, Backend] = {"ort": OrtBackend(held, threads=1)}
    with Checkpoint.open(checkpoint_below(folder, name)) as opened:
        report = parity_of(held, backends, opened, synthetic_pictures(7))
    assert report.is_passed
    assert most[0] <= 1
    assert most[1] <= 3


def test_figures_are_over_all_pictures(bundle: Bundle, checkpoint: Checkpoint) -> None:
    few, many = (
        parity_of(bundle, {"ort": OrtBackend(bundle, threads=1)}, checkpoint, synthetic_pictures(count))
        for count in (1, 4)
    )
    first, last = few.roles[0], many.roles[0]
    assert (first.role, first.dialect) == (last.role, last.dialect) == ("vision_low", "ort")
    assert last.max_difference >= first.max_difference
    assert last.mean_difference != first.mean_difference
