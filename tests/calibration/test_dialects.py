"""A bundle of several dialects: what is measured on one of them makes the same integers and scales in all."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest
from PIL import Image

from calibration.calibrate import calibrate_bundle
from calibration.recipe import Recipe
from calibration.samples import SampleSet, samples_from_folder
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.progress import silent
from edge_runtime.spec import Role
from export.exporter import export_bundle
from export.options import ExportOptions
from tests.proof.subject import CONTEXT, checkpoint_below, session_folder

DIALECTS: tuple[Dialect, ...] = ("ort", "trt10", "trt")
RECIPES = {
    "gptq": Recipe(block=32, head="int4", method="gptq", observer="mse", smooth=0.5),
    "awq": Recipe(block=32, head="int4", method="awq", smooth=0.25),
    "products": Recipe(decoder="w8a8", head="int8", observer="entropy"),
}
# A head may be split by columns in some dialects; every scale of activations stands alone.
STORED = re.compile(r"(?P<name>.+\.(weight|bias|scales|input_scale(\.\d+)?))(_(?P<part>\d+))?")
Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("dialects") / "bundle"
    options = ExportOptions(dialects=DIALECTS, precision="fp32", max_context=CONTEXT)
    export_bundle(checkpoint_below(session_folder(tmp_path_factory), "plain"), out, options)
    return Bundle.open(out)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> SampleSet:
    folder = tmp_path_factory.mktemp("photos")
    for index in range(3):
        Image.radial_gradient("L").resize((60 + index, 40)).save(folder / f"{index}.png")
    return samples_from_folder(folder, 10)


@pytest.mark.parametrize("method", RECIPES)
def test_integers_and_scales_are_the_same_in_all_dialects(
    source: Bundle, samples: SampleSet, tmp_path: Path, method: str
) -> None:
    calibrate_bundle(source, tmp_path / "out", RECIPES[method], samples, threads=1, progress=silent)
    made = Bundle.open(tmp_path / "out")
    for role in {entry.role for entry in made.manifest.graphs}:
        wanted, dtypes = stored_in(made, role, "ort")
        assert any(dtype in (ir.DataType.INT4, ir.DataType.INT8) for dtype in dtypes.values()), role
        for dialect in DIALECTS[1:]:
            found, others = stored_in(made, role, dialect)
            assert others == dtypes, f"{role} in {dialect}"
            for name, array in wanted.items():
                assert np.array_equal(found[name], array), f"{name} of {role} in {dialect}"


def stored_in(
    bundle: Bundle, role: Role, dialect: Dialect
) -> tuple[dict[str, Array], dict[str, ir.DataType]]:
    """Every weight, scale and norm of a graph, parts put together, and what it is stored as."""
    parts: dict[str, dict[int, ir.TensorProtocol]] = defaultdict(dict)
    for name, value in ir.load(bundle.path_of(bundle.graph(role, dialect))).graph.initializers.items():
        if (match := STORED.fullmatch(name)) and value.const_value is not None:
            parts[match["name"]][int(match["part"] or 0)] = value.const_value
    arrays = {
        name: np.concatenate([np.atleast_1d(each[part].numpy()) for part in sorted(each)], axis=-1)
        for name, each in parts.items()
    }
    return arrays, {name: each[min(each)].dtype for name, each in parts.items()}
