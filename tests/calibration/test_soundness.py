"""Whose fault it is that a number is not finite: a tensor's, by name and role, or a sample's, by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from PIL import Image

from calibration import answers, ranges
from calibration.answers import DecoderFeeds, float_answers
from calibration.cache import cache_scales
from calibration.calibrate import calibrate_bundle
from calibration.datafiles import CHUNK_BYTES
from calibration.desk import Desk
from calibration.minmax import WatchedGraph
from calibration.moments import Moments
from calibration.planner import watch
from calibration.ranges import vision_ranges
from calibration.recipe import Recipe
from calibration.samples import Sample, SampleSet, samples_from_folder
from calibration.soundness import error_in_graph, is_sound, tensor_error
from calibration.speaker import Ids, Logits, Speaker
from calibration.spread import SpreadGraph
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import FloatPrecision
from edge_runtime.errors import EdgeVLError
from edge_runtime.preprocess import Pixels, pixels_from_picture
from edge_runtime.progress import silent
from edge_runtime.spec import PreprocessSpec, Role
from tests.calibration.toy import LAYERS, Toy
from tests.proof.subject import bundle_below, session_folder

Subjects = Callable[[FloatPrecision], Bundle]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Subjects:
    folder = session_folder(tmp_path_factory)
    return lambda precision: Bundle.open(bundle_below(folder, "hybrid", precision))


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> SampleSet:
    folder = tmp_path_factory.mktemp("photos")
    for index in range(3):
        Image.radial_gradient("L").resize((60 + index, 40)).save(folder / f"photo-{index}.png")
    return samples_from_folder(folder, 10)


def poisoned(source: Bundle, folder: Path, role: Role, name: str, value: float = np.nan) -> Bundle:
    """A copy with one broken number in the middle of a tensor."""
    shutil.copytree(source.folder, folder)
    tensor = ir.load(folder / source.graph(role, "ort").path).graph.initializers[name].const_value
    assert isinstance(tensor, ir.ExternalTensor)
    dtype = tensor.dtype.numpy()
    values = np.memmap(tensor.path, dtype, "r+", tensor.offset or 0, (tensor.nbytes // dtype.itemsize,))
    values[values.size // 2] = value
    values.flush()
    return Bundle.open(folder, is_trusted=True)


def error_of(bundle: Bundle, recipe: Recipe, samples: SampleSet) -> EdgeVLError:
    out = bundle.folder.parent / "out"
    with pytest.raises(EdgeVLError) as caught:
        calibrate_bundle(bundle, out, recipe, samples, threads=1, progress=silent)
    assert not out.exists()
    return caught.value


Place = tuple[Role, str]
TOWER: Place = ("vision_low", "blocks.1.qkv.weight")
DECODER: Place = ("decoder", "blocks.1.o.weight")
CASES: dict[str, tuple[Place, Recipe]] = {
    "a tower's weight": (TOWER, Recipe(block=32)),
    "a tower's weight, smoothed": (TOWER, Recipe(block=32, smooth=0.5)),
    "a tower's weight, mse": (TOWER, Recipe(block=32, observer="mse")),
    "a tower's norm": (("vision_high", "blocks.0.norm1.weight"), Recipe(block=32)),
    "a decoder's weight, gptq": (DECODER, Recipe(vision="fp16", block=32, method="gptq")),
    "a decoder's weight, awq": (DECODER, Recipe(vision="fp16", block=32, method="awq")),
    "a decoder's norm": (("decoder", "blocks.0.norm2.weight"), Recipe(vision="fp16", block=32)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_broken_tensor_is_named_with_its_role(
    sources: Subjects, samples: SampleSet, tmp_path: Path, case: str
) -> None:
    (role, name), recipe = CASES[case]
    error = error_of(poisoned(sources("fp32"), tmp_path / "in", role, name), recipe, samples)
    assert error.code == "EVL-QUANT-WEIGHT" and f"the tensor {name} of {role} " in error.what
    assert "sound checkpoint" in error.fix


def test_a_broken_weight_is_named_with_its_role_where_nothing_is_asked(
    sources: Subjects, tmp_path: Path
) -> None:
    bundle = poisoned(sources("fp32"), tmp_path / "in", *DECODER, np.inf)
    error = error_of(bundle, Recipe(vision="fp16", block=32), SampleSet(()))
    assert error.code == "EVL-QUANT-WEIGHT" and "blocks.1.o.weight of decoder" in error.what


def test_a_broken_embedding_table_is_named(sources: Subjects, samples: SampleSet, tmp_path: Path) -> None:
    source = sources("fp32")
    shutil.copytree(source.folder, tmp_path / "in")
    entry = source.manifest.embedding
    path = tmp_path / "in" / next(iter(entry.sizes))
    np.memmap(path, np.float32, "r+", 0, (entry.rows, entry.width))[:, 0] = np.nan
    error = error_of(Bundle.open(tmp_path / "in", is_trusted=True), Recipe(vision="fp16", block=32), samples)
    assert error.code == "EVL-QUANT-WEIGHT" and "embedding table" in error.what


class Stammering(Speaker):
    """One picture leaves it without an answer."""

    def answer(self, sample: Sample) -> tuple[Ids, Logits]:
        ids, logits = super().answer(sample)
        return ids, logits * np.float32(np.nan) if sample.name == "photo-1.png" else logits


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_picture_that_the_float_model_cannot_answer_is_named(
    sources: Subjects,
    samples: SampleSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: FloatPrecision,
) -> None:
    monkeypatch.setattr(answers, "Speaker", Stammering)
    with pytest.raises(EdgeVLError, match=r"^photo-1\.png cannot be calibrated with") as caught:
        float_answers(sources(precision), "ort", samples, True, 1, Desk(tmp_path / "out", "key"), silent)
    assert caught.value.code == "EVL-QUANT-SAMPLE"
    # What is fp32 already cannot be helped by more of it.
    assert ("--precision fp32" in caught.value.fix) == (precision == "fp16")


@pytest.mark.parametrize("observer", ["minmax", "mse"])
def test_a_picture_that_cannot_be_measured_is_named(
    sources: Subjects, samples: SampleSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, observer: str
) -> None:
    def broken(picture: Image.Image, spec: PreprocessSpec) -> Pixels:
        found = pixels_from_picture(picture, spec)
        return Pixels(found.high, found.low * np.float32(np.nan)) if picture.width == 61 else found

    monkeypatch.setattr(ranges, "pixels_from_picture", broken)
    desk = Desk(tmp_path / "out", "key")
    with pytest.raises(EdgeVLError, match=r"^photo-1\.png cannot be calibrated with") as caught:
        vision_ranges(sources("fp32"), "ort", samples, observer, 0.0, 1, desk, silent)  # type: ignore[arg-type]
    assert caught.value.code == "EVL-QUANT-SAMPLE"


def broken_feeds(toy: Toy) -> list[dict[str, np.ndarray[tuple[int, ...], np.dtype[np.floating]]]]:
    return [{"x": toy.x}, {"x": toy.x * np.inf}]


NAMES = ["photo-3.jpg", "photo-7.jpg"]


def test_samples_that_decoders_cannot_read_are_named(tmp_path: Path) -> None:
    toy = Toy()
    path, feeds, said = toy.write(tmp_path), broken_feeds(toy), r"^photo-7\.jpg .* blocks\.0\.q"
    with pytest.raises(EdgeVLError, match=said):
        Moments(path, LAYERS, feeds, 1, samples=NAMES).of("blocks.0.q")
    with pytest.raises(EdgeVLError, match=said):
        watch(WatchedGraph(path, LAYERS, 1), feeds, Desk(tmp_path / "out", "key"), silent, NAMES)
    with pytest.raises(EdgeVLError, match=said):
        SpreadGraph(path, LAYERS, 1, "mse").run(feeds[1], "photo-7.jpg")


def test_a_sample_that_leaves_the_cache_without_numbers_is_named(
    sources: Subjects, samples: SampleSet, tmp_path: Path
) -> None:
    source, desk = sources("fp32"), Desk(tmp_path / "out", "key")
    entry = source.graph("decoder", "ort")
    said = float_answers(source, "ort", samples, True, 1, desk, silent)
    one, other, *_ = DecoderFeeds(entry, said)
    feeds = [one, {**other, "inputs_embeds": other["inputs_embeds"] * np.inf}]
    place = said.every[1].sample.name
    with pytest.raises(EdgeVLError, match=f"^{place} .* the cache [01].(key|value) is") as caught:
        cache_scales(source.path_of(entry), feeds, 1, silent, said.places)
    assert caught.value.code == "EVL-QUANT-SAMPLE"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_graph_whose_own_weight_is_broken_blames_no_sample(tmp_path: Path, bad: float) -> None:
    toy = Toy()
    toy.weights["blocks.0.q.weight"][3, 3] = bad
    path = toy.write(tmp_path)
    for run in (
        lambda: WatchedGraph(path, LAYERS, 1).run({"x": toy.x}),
        lambda: SpreadGraph(path, LAYERS, 1, "mse").run({"x": toy.x}),
        lambda: Moments(path, LAYERS, [{"x": toy.x}], 1).of("blocks.0.o"),
    ):
        with pytest.raises(EdgeVLError, match=r"^the tensor blocks\.0\.q\.weight of decoder") as caught:
            run()
        assert caught.value.code == "EVL-QUANT-WEIGHT"


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("place", [0, CHUNK_BYTES // 2, -1])
def test_no_number_of_a_large_tensor_is_overlooked(
    tmp_path: Path, dtype: type[np.floating], place: int
) -> None:
    values = np.zeros(CHUNK_BYTES + 8, dtype)  # several chunks, the last a small one
    kind = ir.DataType.from_numpy(np.dtype(dtype))

    def written() -> ir.ExternalTensor:
        values.tofile(tmp_path / "w.data")
        return ir.ExternalTensor(
            "w.data", 0, values.nbytes, kind, name="w", shape=ir.Shape(values.shape), base_dir=tmp_path
        )

    assert is_sound(written())
    values[place] = np.nan
    assert not is_sound(written())


def test_a_sound_graph_is_no_excuse(tmp_path: Path) -> None:
    path = Toy(np.float16).write(tmp_path)
    assert tensor_error(path) is None
    error = error_in_graph(path, "a.png", "the input of b")
    assert error.what == "a.png cannot be calibrated with" and "--precision fp32" in error.fix
