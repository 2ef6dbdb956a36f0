from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from edge_runtime.errors import EdgeVLError
from edge_runtime.spec import ModelSpec
from export.checkpoint import Checkpoint
from export.config import spec_from_checkpoint
from export.layouts.detect import layout_from_checkpoint
from export.layouts.layout import Layout
from export.layouts.original import OriginalLayout
from export.layouts.parameters import parameters_from_spec
from export.modules.reference import Reference
from export.section import Section
from export.shard import TensorInfo
from export.weights import plan_from_checkpoint, tensors_from_naming
from tests.checkpoints import (
    HYBRID,
    PLAIN,
    SMALL_MODELS,
    SmallModel,
    SmallSam,
    edit_json,
    edit_tensors,
    idle_shapes,
    original_tensors,
    unfilled_model,
    write_original_checkpoint,
    write_transformers_checkpoint,
)

EMBEDDING = "model.language_model.embed_tokens.weight"


@pytest.fixture(scope="session")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every small model in both layouts: `<name>/transformers` and `<name>/original`."""
    home = tmp_path_factory.mktemp("twins")
    for name, small in SMALL_MODELS.items():
        write_transformers_checkpoint(home / name / "transformers", small)
        write_original_checkpoint(home / name / "original", small)
    return home


@pytest.fixture
def copied(twins: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Copies one of the twins, to be damaged."""
    return lambda name: Path(shutil.copytree(twins / name, tmp_path / "copy" / name))


def refusal(folder: Path) -> EdgeVLError:
    with Checkpoint.open(folder) as checkpoint, pytest.raises(EdgeVLError) as caught:
        plan_from_checkpoint(checkpoint, spec_from_checkpoint(checkpoint))
    return caught.value


def canonical(folder: Path) -> dict[str, Tensor]:
    """Every canonical parameter of a checkpoint, as `role name`."""
    with Checkpoint.open(folder) as checkpoint:
        plan = plan_from_checkpoint(checkpoint, spec_from_checkpoint(checkpoint))
        return {
            f"{role} {name}": plan.read(role, name) for role in plan.sources for name in plan.sources[role]
        }


# --- both layouts ---


@pytest.mark.parametrize("name", SMALL_MODELS)
def test_both_layouts_give_one_spec(twins: Path, name: str) -> None:
    with (
        Checkpoint.open(twins / name / "transformers") as one,
        Checkpoint.open(twins / name / "original") as other,
    ):
        assert layout_from_checkpoint(one).name == "transformers"
        assert layout_from_checkpoint(other).name == "original"
        assert spec_from_checkpoint(one) == spec_from_checkpoint(other)


@pytest.mark.parametrize("name", SMALL_MODELS)
def test_both_layouts_give_the_same_canonical_tensors(twins: Path, name: str) -> None:
    one, other = canonical(twins / name / "transformers"), canonical(twins / name / "original")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", SMALL_MODELS)
@pytest.mark.parametrize("layout", ["transformers", "original"])
def test_every_parameter_has_its_canonical_shape_and_is_nowhere_zero(
    twins: Path, name: str, layout: str
) -> None:
    folder = twins / name / layout
    tensors = canonical(folder)
    with Checkpoint.open(folder) as checkpoint:
        wanted = parameters_from_spec(spec_from_checkpoint(checkpoint))
    shapes = {
        f"{role} {key}": parameter.shape for role, held in wanted.items() for key, parameter in held.items()
    }
    assert {key: tuple(tensor.shape) for key, tensor in tensors.items()} == shapes
    assert all(bool(tensor.any()) for tensor in tensors.values())


def test_joined_and_turned_parameters_hold_the_right_numbers(twins: Path) -> None:
    folder = twins / "hybrid" / "transformers"
    stored, tensors = load_file(folder / "model.safetensors"), canonical(folder)
    layer = "model.vision_model.encoder.layers.1.self_attn"
    thirds = [stored[f"{layer}.{part}_proj.weight"] for part in "qkv"]
    x = torch.randn(3, 32, generator=torch.Generator().manual_seed(1))
    wanted = torch.cat([x @ third.T for third in thirds], dim=1)
    assert torch.allclose(x @ tensors["vision_low blocks.1.qkv.weight"], wanted, atol=1e-5)
    assert torch.equal(tensors["decoder head.weight"], stored["lm_head.weight"].T)
    assert torch.equal(
        tensors["vision_high side.conv2.weight"], stored["model.high_res_vision_neck.conv2.weight"]
    )


@pytest.mark.parametrize("layout", ["transformers", "original"])
def test_the_reference_modules_take_a_plan_and_answer_as_transformers_does(twins: Path, layout: str) -> None:
    model = unfilled_model(HYBRID)
    model.load_state_dict(load_file(twins / "hybrid" / "transformers" / "model.safetensors"))
    draw = torch.Generator().manual_seed(2)
    low, high = torch.randn(1, 3, 96, 96, generator=draw), torch.randn(1, 3, 256, 256, generator=draw)
    with Checkpoint.open(twins / "hybrid" / layout) as checkpoint, torch.inference_mode():
        spec = spec_from_checkpoint(checkpoint)
        reference = Reference.load(spec, plan_from_checkpoint(checkpoint, spec).state_dict)
        wanted = model.eval().model.get_image_features(low, high).pooler_output
        assert (reference.vision(low, high) - wanted).abs().max() < 1e-4
        ids = torch.tensor([[3, 141, 59, 26, 5, 35]])
        logits = reference.logits(reference.embed(ids))
        assert (logits - model(ids).logits).abs().max() < 1e-4


def test_a_single_parameter_is_a_view_of_the_file(twins: Path) -> None:
    with Checkpoint.open(twins / "plain" / "original") as checkpoint:
        plan = plan_from_checkpoint(checkpoint, spec_from_checkpoint(checkpoint))
        for role, name in (
            ("decoder", "head.weight"),
            ("vision_low", "position"),
            ("vision_low", "patch.weight"),
        ):
            (tensor,) = plan.sources[role][name].tensors  # type: ignore[index]
            assert plan.read(role, name).data_ptr() == checkpoint.read(tensor).data_ptr()  # type: ignore[arg-type]


def test_a_state_dict_has_the_type_that_was_asked_for(tmp_path: Path) -> None:
    _, folder = write_original_checkpoint(tmp_path / "bf16", PLAIN, dtype=torch.bfloat16)
    with Checkpoint.open(folder) as checkpoint:
        plan = plan_from_checkpoint(checkpoint, spec_from_checkpoint(checkpoint))
        assert {tensor.dtype for tensor in plan.state_dict("decoder", torch.float32).values()} == {
            torch.float32
        }
        stored = plan.read("adaptor", "fc.1.weight")
        assert stored.dtype == torch.bfloat16
        assert torch.equal(plan.state_dict("adaptor", torch.float32)["fc.1.weight"], stored.float())


def test_nested_siglip_names_mean_the_same(twins: Path, tmp_path: Path) -> None:
    _, nested = write_transformers_checkpoint(tmp_path / "nested", PLAIN, siglip="nested")
    assert "model.vision_model.vision_model.post_layernorm.bias" in load_file(nested / "model.safetensors")
    one, other = canonical(nested), canonical(twins / "plain" / "transformers")
    assert all(torch.equal(one[key], other[key]) for key in other)


def test_shards_mean_the_same(twins: Path, tmp_path: Path) -> None:
    _, ours = write_original_checkpoint(tmp_path / "ours", PLAIN, files=3)
    _, theirs = write_transformers_checkpoint(tmp_path / "theirs", PLAIN, max_shard_size="100KB")
    assert len(list(theirs.glob("*.safetensors"))) > 1
    whole = canonical(twins / "plain" / "transformers")
    for sharded in (canonical(ours), canonical(theirs)):
        assert all(torch.equal(sharded[key], whole[key]) for key in whole)


# --- the published sizes ---

PUBLISHED_1B = SmallModel(
    width=2048, layers=24, heads=16, kv_heads=16, head_dim=128, mlp_width=5632, vocab=102400,
    low_width=1024, low_layers=24, low_heads=16, low_mlp_width=4096, image_size=384, patch_size=16,
)  # fmt: skip
SAM_B = SmallSam(
    width=768, layers=12, heads=12, image_size=1024, patch_size=16, window=14,
    global_blocks=(2, 5, 8, 11), mlp_width=3072, neck_width=256,
)  # fmt: skip
PUBLISHED_7B = replace(
    PUBLISHED_1B, width=4096, layers=30, heads=32, kv_heads=32, mlp_width=11008, high=SAM_B
)  # fmt: skip
HEADLINE = replace(PUBLISHED_1B, high=SAM_B)  # SAM-B and SigLIP-L in front of the 1.3B decoder

LOW_CONFIG = {
    "image_size": 384,
    "model_name": "siglip_large_patch16_384",
    "select_feature": "same",
    "select_layer": -1,
}
HIGH_CONFIG = {
    "image_size": 1024,
    "model_name": "sam_b_downsample",
    "select_feature": "same",
    "select_layer": -1,
}
TOWERS = {"concat_type": "tuple", "high_res_cfg": HIGH_CONFIG, "low_res_cfg": LOW_CONFIG}
LANGUAGE_7B = {
    "model_type": "llama",
    "num_hidden_layers": 30,
    "vocab_size": 102400,
    "max_position_embeddings": 16384,
}
LANGUAGE_1B = LANGUAGE_7B | {
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
}


class NamesOnly:
    """A shard that knows every tensor of a full-size model and holds none."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.tensors = {name: TensorInfo(shape, torch.bfloat16, "model") for name, shape in shapes.items()}

    def read(self, name: str) -> Tensor:
        raise AssertionError(f"nobody needs the numbers of {name}")

    def close(self) -> None:
        pass


def published_shapes(small: SmallModel) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        tensors = original_tensors(unfilled_model(small).state_dict(), small)
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()} | idle_shapes(small)


def published_checkpoint(small: SmallModel, language: Mapping[str, Any], folder: Path) -> Checkpoint:
    """A checkpoint whose config.json is as sparse as the published one."""
    vision: dict[str, Any] = {"cls": "CLIPVisionTower", "params": LOW_CONFIG}
    if small.high is not None:
        vision = {"cls": "HybridVisionTower", "params": TOWERS}
    kind = "mlp_gelu" if small.high is None else "low_high_hybrid_split_mlp_gelu"
    aligner = {"projector_type": kind, "depth": 2, "input_dim": 1024, "n_embed": small.width}
    config = {
        "model_type": "multi_modality",
        "vision_config": vision,
        "aligner_config": {"cls": "MlpProjector", "params": aligner},
        "language_config": dict(language),
    }
    return Checkpoint(folder, Section("config.json", config), {"model": NamesOnly(published_shapes(small))})


@pytest.fixture
def tokenizer_folder(twins: Path, tmp_path: Path) -> Path:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(twins / "plain" / "original" / name, tmp_path / name)
    return tmp_path


def listed_tensors(layout: Layout, spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    return tensors_from_naming(layout.naming(spec), spec)


@pytest.mark.parametrize(
    ("small", "language", "tensors", "parameters"),
    [(PUBLISHED_1B, LANGUAGE_1B, 529, 1_975_235_584), (PUBLISHED_7B, LANGUAGE_7B, 775, 7_343_990_017)],
    ids=["1.3B", "7B"],
)
def test_the_published_models_have_the_published_counts(
    tokenizer_folder: Path, small: SmallModel, language: Mapping[str, Any], tensors: int, parameters: int
) -> None:
    checkpoint = published_checkpoint(small, language, tokenizer_folder)
    spec = spec_from_checkpoint(checkpoint)
    listing = listed_tensors(OriginalLayout(spec.high is not None), spec)
    assert len(listing) == tensors
    assert sum(math.prod(shape) for shape in listing.values()) == parameters
    assert listing == published_shapes(small)
    plan_from_checkpoint(checkpoint, spec)


def test_the_sparse_7b_config_takes_llamas_defaults(tokenizer_folder: Path) -> None:
    spec = spec_from_checkpoint(published_checkpoint(PUBLISHED_7B, LANGUAGE_7B, tokenizer_folder))
    decoder = spec.decoder
    assert (decoder.width, decoder.heads, decoder.kv_heads, decoder.mlp_width) == (4096, 32, 32, 11008)
    assert (decoder.layers, decoder.vocab, decoder.max_positions) == (30, 102400, 16384)
    assert (decoder.rope_theta, decoder.norm_eps, decoder.is_tied) == (10000.0, 1e-6, False)
    assert spec.high is not None
    assert (spec.high.window, spec.high.global_blocks, spec.high.resized_grid) == (14, (2, 5, 8, 11), 96)
    assert (spec.image_tokens, spec.preprocess.canvas) == (576, 1024)
    assert spec.preprocess.background == (122, 116, 104)


def test_the_headline_hybrid_is_two_towers_before_the_small_decoder(tokenizer_folder: Path) -> None:
    checkpoint = published_checkpoint(HEADLINE, LANGUAGE_1B, tokenizer_folder)
    spec = spec_from_checkpoint(checkpoint)
    plan_from_checkpoint(checkpoint, spec)
    assert spec.roles == ("vision_high", "vision_low", "adaptor", "embed", "decoder")
    assert (spec.decoder.width, spec.adaptor.high_width, spec.adaptor.kind) == (
        2048,
        1024,
        "hybrid_split_mlp_gelu",
    )


def test_a_published_tower_with_its_last_block_cut_off_is_refused(tokenizer_folder: Path) -> None:
    whole = published_checkpoint(PUBLISHED_1B, LANGUAGE_1B, tokenizer_folder)
    kept = {name: info.shape for name, info in whole.tensors.items() if ".blocks.23." not in name}
    cut = Checkpoint(tokenizer_folder, whole.config, {"model": NamesOnly(kept)})
    with pytest.raises(EdgeVLError, match="layers is 23, not 24") as caught:
        spec_from_checkpoint(cut)
    assert caught.value.code == "EVL-CHECKPOINT-SHAPE"


# --- strictness ---

LOW_BLOCK = "vision_model.vision_tower.blocks.1.mlp.fc2.bias"


@pytest.mark.parametrize(
    "name", ["plain/original", "plain/transformers", "hybrid/original", "hybrid/transformers"]
)
def test_any_one_missing_tensor_is_named(copied: Callable[[str], Path], name: str) -> None:
    folder = copied(name)
    with Checkpoint.open(folder) as checkpoint:
        used = [
            tensor
            for role in plan_from_checkpoint(checkpoint, spec_from_checkpoint(checkpoint)).sources.values()
            for source in role.values()
            for tensor in source.tensors
        ]
        whole = Checkpoint(folder, checkpoint.config, {"model": NamesOnly(shapes_of(checkpoint))})
    for lost in used:
        kept = {tensor: info.shape for tensor, info in whole.tensors.items() if tensor != lost}
        part = Checkpoint(folder, whole.config, {"model": NamesOnly(kept)})
        with pytest.raises(EdgeVLError) as caught:
            plan_from_checkpoint(part, spec_from_checkpoint(part))
        assert caught.value.code == "EVL-CHECKPOINT-TENSORS"
        assert lost in caught.value.why


def shapes_of(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    return {name: info.shape for name, info in checkpoint.tensors.items()}


@pytest.mark.parametrize("name", ["plain/original", "hybrid/transformers", "windowed/original"])
def test_any_one_misshapen_tensor_is_refused(copied: Callable[[str], Path], name: str) -> None:
    folder = copied(name)
    with Checkpoint.open(folder) as checkpoint:
        shapes, config = shapes_of(checkpoint), checkpoint.config
        spec = spec_from_checkpoint(checkpoint)
        idle = layout_from_checkpoint(checkpoint).naming(spec).discarded
    for bent in shapes.keys() - idle.keys():
        longer = {bent: (*shapes[bent][:-1], shapes[bent][-1] + 2)}
        part = Checkpoint(folder, config, {"model": NamesOnly(shapes | longer)})
        with pytest.raises(EdgeVLError) as caught:
            plan_from_checkpoint(part, spec_from_checkpoint(part))
        assert caught.value.code in ("EVL-CHECKPOINT-SHAPE", "EVL-CHECKPOINT-TENSORS"), bent


def test_missing_and_extra_tensors_are_listed_together(copied: Callable[[str], Path]) -> None:
    folder = copied("plain/original")
    edit_tensors(folder / "model.safetensors", (LOW_BLOCK,), {"adapter.weight": torch.ones(2)})
    error = refusal(folder)
    assert error.code == "EVL-CHECKPOINT-TENSORS"
    assert f"1 missing: {LOW_BLOCK}" in error.why
    assert "1 extra: adapter.weight" in error.why


def test_a_misshapen_tensor_is_named_with_both_shapes(copied: Callable[[str], Path]) -> None:
    folder = copied("plain/transformers")
    edit_tensors(folder / "model.safetensors", (), {"model.aligner.linear1.bias": torch.ones(63)})
    error = refusal(folder)
    assert error.code == "EVL-CHECKPOINT-SHAPE"
    assert "model.aligner.linear1.bias is [63], not [64]" in error.why


def test_a_long_list_of_missing_tensors_is_cut_and_counted(copied: Callable[[str], Path]) -> None:
    folder = copied("plain/transformers")
    names = tuple(
        name for name in load_file(folder / "model.safetensors") if "language_model.layers.1" in name
    )
    edit_tensors(folder / "model.safetensors", names)
    assert f"{len(names)} missing:" in refusal(folder).why
    assert f"and {len(names) - 5} more" in refusal(folder).why


def test_weights_that_are_already_quantised_are_refused(copied: Callable[[str], Path]) -> None:
    folder = copied("plain/transformers")
    weight = load_file(folder / "model.safetensors")["model.aligner.linear1.weight"].to(torch.float8_e4m3fn)
    edit_tensors(folder / "model.safetensors", (), {"model.aligner.linear1.weight": weight})
    error = refusal(folder)
    assert error.code == "EVL-CHECKPOINT-DTYPE"
    assert "float8_e4m3fn" in error.why


def test_buffers_that_old_versions_saved_do_no_harm(copied: Callable[[str], Path]) -> None:
    folder = copied("plain/original")
    name = "language_model.model.layers.1.self_attn.rotary_emb.inv_freq"
    edit_tensors(folder / "model.safetensors", (), {name: torch.ones(8)})
    assert canonical(folder)


def test_position_ids_and_a_pooling_head_do_no_harm(copied: Callable[[str], Path]) -> None:
    folder = copied("plain/transformers")
    tower = "model.vision_model"
    idle = {
        f"{tower}.embeddings.position_ids": torch.arange(36)[None],
        f"{tower}.head.probe": torch.ones(1, 1, 48),
    }
    edit_tensors(folder / "model.safetensors", (), idle)
    assert canonical(folder)


def test_the_published_idle_tensors_may_be_absent(copied: Callable[[str], Path]) -> None:
    folder = copied("hybrid/original")
    edit_tensors(folder / "model.safetensors", tuple(idle_shapes(HYBRID)))
    assert canonical(folder)


# --- the LM head ---


def test_a_tied_head_needs_no_tensor(tmp_path: Path) -> None:
    _, folder = write_transformers_checkpoint(tmp_path / "tied", PLAIN, is_tied=True)
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    with Checkpoint.open(folder) as checkpoint:
        assert spec_from_checkpoint(checkpoint).decoder.is_tied
    tensors = canonical(folder)
    assert torch.equal(tensors["decoder head.weight"], tensors["embed weight"].T)


def test_two_equal_tables_are_tied_where_the_config_says_so(copied: Callable[[str], Path]) -> None:
    folder = copied("plain/transformers")
    edit_json(folder / "config.json", tie_word_embeddings=True)
    table = load_file(folder / "model.safetensors")[EMBEDDING].clone()
    edit_tensors(folder / "model.safetensors", (), {"lm_head.weight": table})
    with Checkpoint.open(folder) as checkpoint:
        spec = spec_from_checkpoint(checkpoint)
        assert spec.decoder.is_tied
        plan_from_checkpoint(checkpoint, spec)


def test_two_tables_that_differ_are_untied_whatever_the_config_says(copied: Callable[[str], Path]) -> None:
    folder = copied("plain/transformers")
    edit_json(folder / "config.json", tie_word_embeddings=None)  # absent: transformers' own default is true
    with Checkpoint.open(folder) as checkpoint:
        assert not spec_from_checkpoint(checkpoint).decoder.is_tied
    stored = load_file(folder / "model.safetensors")
    assert torch.equal(canonical(folder)["decoder head.weight"], stored["lm_head.weight"].T)


def test_an_untied_model_without_its_head_is_refused(copied: Callable[[str], Path]) -> None:
    folder = copied("plain/transformers")
    edit_tensors(folder / "model.safetensors", ("lm_head.weight",))
    assert "1 missing: lm_head.weight" in refusal(folder).why


# --- relatives ---


@pytest.mark.parametrize(
    "name",
    ["gen_vision_model.decoder.conv_in.weight", "gen_head.vision_head.weight", "gen_aligner.layers.0.bias"],
)
def test_janus_is_refused_by_its_tensors(copied: Callable[[str], Path], name: str) -> None:
    folder = copied("plain/original")
    edit_tensors(folder / "model.safetensors", (), {name: torch.ones(1)})
    error = refusal(folder)
    assert error.code == "EVL-CHECKPOINT-JANUS"
    assert "Janus" in error.what


def test_janus_is_refused_by_its_sub_configs(copied: Callable[[str], Path]) -> None:
    folder = copied("plain/original")
    edit_json(folder / "config.json", gen_vision_config={"cls": "VQ-16"})
    assert refusal(folder).code == "EVL-CHECKPOINT-JANUS"


@pytest.mark.parametrize(
    ("model_type", "names", "code", "mention"),
    [
        ("deepseek_vl_v2", ("language.model.norm.weight", "projector.layers.0.bias", "vision.norm.bias"),
         "EVL-CHECKPOINT-VL2", "not supported yet"),
        ("deepseek_vl_v2", ("model.sam_model.neck.0.weight", "model.projector.layers.weight"),
         "EVL-CHECKPOINT-OCR", "DeepSeek-OCR"),
        ("llama", ("model.embed_tokens.weight", "lm_head.weight"), "EVL-CHECKPOINT-UNKNOWN-MODEL", "llama"),
        ("multi_modality", ("language_model.model.norm.weight",), "EVL-CHECKPOINT-UNKNOWN-MODEL", "multi_modality"),
    ],
    ids=["VL2", "OCR", "a language model", "a language model that says it is more"],
)  # fmt: skip
def test_other_models_are_refused_by_name(
    twins: Path, model_type: str, names: tuple[str, ...], code: str, mention: str
) -> None:
    shard = NamesOnly(dict.fromkeys(names, (1,)))
    config = Section("config.json", {"model_type": model_type})
    with pytest.raises(EdgeVLError) as caught:
        layout_from_checkpoint(Checkpoint(twins, config, {"model": shard}))
    assert caught.value.code == code
    assert mention in str(caught.value)
    assert "DeepSeek-VL 1.3B and 7B" in caught.value.fix


@pytest.mark.parametrize("model_type", ["multi_modality", "deepseek_vl_v2", "something", None])
def test_model_type_decides_nothing(copied: Callable[[str], Path], model_type: str | None) -> None:
    for name in ("plain/original", "hybrid/transformers"):
        folder = copied(name)
        edit_json(folder / "config.json", model_type=model_type)
        assert canonical(folder)
