from __future__ import annotations

import json

import pytest

from demo.config_files import files_from_spec
from demo.sizes import SIZES
from edge_runtime.spec import ModelSpec


def text_of(size: str, layout: str) -> str:
    return json.dumps(files_from_spec(SIZES[size], layout)["config.json"])


@pytest.mark.parametrize("layout", ["original", "transformers"])
@pytest.mark.parametrize("spec", SIZES.values(), ids=SIZES)
def test_every_file_is_json(spec: ModelSpec, layout: str) -> None:
    files = files_from_spec(spec, layout)
    assert {"config.json", "preprocessor_config.json"} <= files.keys()
    assert json.loads(json.dumps(files)) is not None


@pytest.mark.parametrize("size", ["1.3b", "1.3b-hybrid", "7b"])
def test_published_towers_are_only_named_as_in_the_published_files(size: str) -> None:
    text = text_of(size, "original")
    assert "siglip_large_patch16_384" in text
    assert ("sam_b_downsample" in text) == (size != "1.3b")
    assert "mlp_width" not in text
    assert "downsample_channels" not in text


@pytest.mark.parametrize("size", ["tiny", "tiny-low"])
def test_other_towers_state_their_sizes(size: str) -> None:
    text = text_of(size, "original")
    assert "mlp_width" in text
    assert ("downsample_channels" in text) == (size == "tiny")


def test_the_transformers_layout_names_each_family() -> None:
    assert '"model_type": "deepseek_vl"' in text_of("1.3b", "transformers")
    assert '"model_type": "deepseek_vl_hybrid"' in text_of("1.3b-hybrid", "transformers")


def test_only_a_hybrid_leaves_normalising_to_its_towers() -> None:
    low, hybrid = (files_from_spec(SIZES[size], "original") for size in ("1.3b", "7b"))
    assert low["preprocessor_config.json"]["do_normalize"] is True
    assert hybrid["preprocessor_config.json"]["do_normalize"] is False
    assert (
        low["preprocessor_config.json"]["image_size"],
        hybrid["preprocessor_config.json"]["image_size"],
    ) == (384, 1024)
