from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from edge_runtime.errors import EdgeVLError
from edge_runtime.prompt import ImageRef, PromptFormat, PromptTokens, Turn
from edge_runtime.spec import ModelSpec, PixelSpec
from edge_runtime.tokenizer import Tokenizer as RuntimeTokenizer
from export.checkpoint import Checkpoint
from export.config import spec_from_checkpoint
from export.section import Section
from export.weights import plan_from_checkpoint
from tests.checkpoints import (
    BOS_ID,
    CLIP_MEAN,
    CLIP_STD,
    EOS,
    EOS_ID,
    HYBRID,
    IMAGE,
    IMAGE_ID,
    PLAIN,
    edit_json,
    write_json,
    write_original_checkpoint,
    write_transformers_checkpoint,
)

KINDS = ("plain/original", "plain/transformers", "hybrid/original", "hybrid/transformers")
Copies = Callable[[str], Path]
Path3 = tuple[str, ...]
CAT, DOG = ImageRef(b"cat"), ImageRef(b"dog")


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("configs")
    for name, small in (("plain", PLAIN), ("hybrid", HYBRID)):
        write_original_checkpoint(home / name / "original", small)
        write_transformers_checkpoint(home / name / "transformers", small)
    return home


@pytest.fixture
def copied(home: Path, tmp_path: Path) -> Copies:
    return lambda name: Path(shutil.copytree(home / name, tmp_path / "copy" / name))


def spec_of(folder: Path) -> ModelSpec:
    with Checkpoint.open(folder) as checkpoint:
        return spec_from_checkpoint(checkpoint)


def refusal(folder: Path) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        spec_of(folder)
    return caught.value


def edit_config(folder: Path, *place: str, value: object) -> None:
    """Sets one value deep in config.json; None takes it away."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    section = config
    for key in place[:-1]:
        section = section.setdefault(key, {})
    section[place[-1]] = value
    if value is None:
        del section[place[-1]]
    write_json(folder / "config.json", config)


# --- the decoder ---


def test_keys_of_llamas_defaults_may_be_left_out(copied: Copies) -> None:
    folder = copied("plain/original")
    for key in ("num_key_value_heads", "head_dim", "rope_theta"):
        edit_config(folder, "language_config", key, value=None)
    assert spec_of(folder).decoder == spec_of(folder.parent.parent / "plain" / "original").decoder
    decoder = spec_of(folder).decoder
    assert (decoder.kv_heads, decoder.head_dim, decoder.rope_theta) == (4, 16, 10000.0)


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_theta": 7000.0},
        {"rope_parameters": {"rope_theta": 7000.0, "rope_type": "default"}, "rope_theta": 5.0},
        {"rope_parameters": {"rope_theta": 7000}, "rope_scaling": None},
        {"rope_theta": 7000, "rope_scaling": {"type": "default"}},
    ],
)
def test_the_rotary_base_is_read_from_either_spelling(copied: Copies, rope: dict[str, Any]) -> None:
    folder = copied("plain/transformers")
    edit_config(folder, "text_config", "rope_parameters", value=None)
    for key, value in rope.items():
        edit_config(folder, "text_config", key, value={} if value is None else value)
    assert spec_of(folder).decoder.rope_theta == 7000.0


@pytest.mark.parametrize(
    ("key", "value", "mention"),
    [
        ("hidden_act", "gelu", "hidden_act"),
        ("attention_bias", True, "attention_bias"),
        ("mlp_bias", True, "mlp_bias"),
        ("model_type", "deepseek_v2", "model_type"),
        ("rope_scaling", {"type": "linear", "factor": 2.0}, "rope_scaling"),
        ("rope_parameters", {"rope_type": "yarn", "factor": 4.0}, "rope_parameters"),
        ("partial_rotary_factor", 0.5, "partial_rotary_factor"),
        ("hidden_size", "64", "hidden_size"),
        ("hidden_size", True, "hidden_size"),
        ("hidden_size", -64, "hidden_size"),
        ("hidden_size", 10**30, "hidden_size"),
        ("hidden_size", 63, "multiple"),
        ("num_hidden_layers", 10**8, "num_hidden_layers"),
        ("num_key_value_heads", 3, "KV heads"),
        ("rms_norm_eps", float("nan"), "rms_norm_eps"),
        ("rms_norm_eps", 0, "rms_norm_eps"),
        ("rope_theta", float("inf"), "rope_theta"),
    ],
)
@pytest.mark.parametrize("layout", ["original", "transformers"])
def test_a_decoder_that_is_not_ours_is_refused(
    copied: Copies, layout: str, key: str, value: object, mention: str
) -> None:
    folder = copied(f"plain/{layout}")
    text = "language_config" if layout == "original" else "text_config"
    edit_config(folder, text, "head_dim", value=None)
    edit_config(folder, text, key, value=value)
    error = refusal(folder)
    assert error.code == "EVL-CHECKPOINT-CONFIG"
    assert mention in str(error)


# --- the towers ---

PARAMS = ("vision_config", "params")
HIGH = (*PARAMS, "high_res_cfg")


@pytest.mark.parametrize(
    ("name", "place", "value", "code"),
    [
        ("plain/original", (*PARAMS, "select_layer"), -2, "EVL-CHECKPOINT-CONFIG"),
        ("hybrid/original", (*HIGH, "select_feature"), "patch", "EVL-CHECKPOINT-CONFIG"),
        ("plain/original", (*PARAMS, "image_size"), [96, 64], "EVL-CHECKPOINT-CONFIG"),
        ("hybrid/original", (*HIGH, "image_size"), [256, 256, 3], "EVL-CHECKPOINT-CONFIG"),
        ("plain/original", (*PARAMS, "model_name"), "clip_large", "EVL-CHECKPOINT-CONFIG"),
        ("plain/original", (*PARAMS, "model_name"), None, "EVL-CHECKPOINT-CONFIG"),
        ("plain/original", (*PARAMS, "heads"), None, "EVL-CHECKPOINT-CONFIG"),
        ("plain/original", (*PARAMS, "heads"), 5, "EVL-CHECKPOINT-CONFIG"),
        ("plain/original", (*PARAMS, "width"), 64, "EVL-CHECKPOINT-SHAPE"),
        ("plain/original", (*PARAMS, "layers"), 3, "EVL-CHECKPOINT-SHAPE"),
        ("plain/original", (*PARAMS, "image_size"), 384, "EVL-CHECKPOINT-SHAPE"),
        ("plain/original", ("vision_config", "cls"), "HybridVisionTower", "EVL-CHECKPOINT-CONFIG"),
        ("plain/original", ("vision_config",), None, "EVL-CHECKPOINT-CONFIG"),
        ("plain/original", ("language_config",), [1], "EVL-CHECKPOINT-CONFIG"),
        ("plain/original", ("aligner_config", "cls"), "Other", "EVL-CHECKPOINT-CONFIG"),
        ("plain/original", ("aligner_config", "params", "projector_type"), "linear", "EVL-CHECKPOINT-CONFIG"),
        ("plain/original", ("aligner_config", "params", "projector_type"), None, "EVL-CHECKPOINT-CONFIG"),
        ("plain/original", ("aligner_config", "params", "n_embed"), 63, "EVL-CHECKPOINT-CONFIG"),
        ("plain/original", ("aligner_config", "params", "input_dim"), 47, "EVL-CHECKPOINT-SHAPE"),
        ("hybrid/original", (*PARAMS, "concat_type"), "feature", "EVL-CHECKPOINT-CONFIG"),
        ("hybrid/original", (*HIGH, "select_layer"), 3, "EVL-CHECKPOINT-CONFIG"),
        ("hybrid/original", (*HIGH, "model_name"), "sam_vit_h", "EVL-CHECKPOINT-CONFIG"),
        ("hybrid/original", (*HIGH, "image_size"), 1024, "EVL-CHECKPOINT-SHAPE"),
        ("hybrid/original", (*HIGH, "window_size"), 14, "EVL-CHECKPOINT-SHAPE"),
        ("hybrid/original", (*HIGH, "heads"), 4, "EVL-CHECKPOINT-SHAPE"),
        ("hybrid/original", (*HIGH, "global_attn_indexes"), [0, 1], "EVL-CHECKPOINT-SHAPE"),
        ("plain/transformers", ("vision_config", "hidden_act"), "relu", "EVL-CHECKPOINT-CONFIG"),
        ("plain/transformers", ("vision_config", "num_channels"), 1, "EVL-CHECKPOINT-CONFIG"),
        ("plain/transformers", ("vision_config", "image_size"), [96, 64], "EVL-CHECKPOINT-CONFIG"),
        ("hybrid/transformers", ("high_res_vision_config", "use_rel_pos"), False, "EVL-CHECKPOINT-CONFIG"),
        ("hybrid/transformers", ("high_res_vision_config", "layer_norm_eps"), 1e-5, "EVL-CHECKPOINT-CONFIG"),
        ("hybrid/transformers", ("high_res_vision_config", "global_attn_indexes"), [3, 1], "EVL-CHECKPOINT-CONFIG"),
        ("hybrid/transformers", ("high_res_vision_config", "global_attn_indexes"), [9], "EVL-CHECKPOINT-CONFIG"),
    ],
)  # fmt: skip
def test_a_tower_that_is_not_ours_is_refused(
    copied: Copies, name: str, place: Path3, value: object, code: str
) -> None:
    folder = copied(name)
    edit_config(folder, *place, value=value)
    error = refusal(folder)
    assert error.code == code
    assert error.fix


@pytest.mark.parametrize(
    ("name", "place"), [("plain/original", PARAMS), ("hybrid/original", (*PARAMS, "low_res_cfg"))]
)
@pytest.mark.parametrize("feature", ["patch", "same", "cls_patch", None])
def test_siglips_select_feature_says_nothing(
    copied: Copies, home: Path, name: str, place: Path3, feature: str | None
) -> None:
    folder = copied(name)
    edit_config(folder, *place, "select_feature", value=feature)
    assert spec_of(folder) == spec_of(home / name)


@pytest.mark.parametrize(
    ("name", "place", "side"),
    [
        ("plain/original", PARAMS, 96),
        ("hybrid/original", (*PARAMS, "low_res_cfg"), 96),
        ("hybrid/original", HIGH, 256),
    ],
)
def test_a_towers_image_size_may_be_a_pair(
    copied: Copies, home: Path, name: str, place: Path3, side: int
) -> None:
    folder = copied(name)
    edit_config(folder, *place, "image_size", value=[side, side])
    assert spec_of(folder) == spec_of(home / name)


def test_sams_window_and_global_blocks_are_told_by_its_shapes(home: Path) -> None:
    high = spec_of(home / "hybrid" / "original").high
    assert high is not None
    assert (high.window, high.global_blocks, high.heads) == (7, (1, 3), 2)
    assert (high.neck_width, high.down_widths, high.resized_grid) == (8, (16, 32), 24)


def test_transformers_defaults_apply_to_what_its_configs_leave_out(copied: Copies) -> None:
    folder = copied("hybrid/transformers")
    for key in ("vision_config", "high_res_vision_config", "text_config"):
        edit_config(folder, key, value={})
    edit_config(folder, "vision_config", value={"num_attention_heads": 16, "image_size": 384})
    (folder / "preprocessor_config.json").unlink()
    spec = spec_of(folder)
    low, high = spec.low, spec.high
    assert (low.width, low.layers, low.mlp_width, low.patch_size, low.activation) == (
        768,
        12,
        3072,
        16,
        "gelu_tanh",
    )
    assert high is not None
    assert (high.width, high.layers, high.heads, high.mlp_width, high.window) == (768, 12, 12, 3072, 14)
    assert (high.image_size, high.neck_width, high.global_blocks) == (1024, 256, (2, 5, 8, 11))
    assert (spec.decoder.width, spec.decoder.layers, spec.decoder.vocab) == (4096, 32, 32000)


# --- pixels ---

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CLIP = (tuple(CLIP_MEAN), tuple(CLIP_STD))


def normalisation(pixels: PixelSpec | None) -> tuple[object, object]:
    assert pixels is not None
    return pixels.mean, pixels.std


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("has_file", [True, False])
def test_the_published_normalisation_holds_with_and_without_the_processors_file(
    copied: Copies, name: str, has_file: bool
) -> None:
    folder = copied(name)
    if not has_file:
        (folder / "preprocessor_config.json").unlink()
    preprocess = spec_of(folder).preprocess
    assert normalisation(preprocess.low) == HALF
    assert preprocess.min_side == 14
    if name.startswith("hybrid"):
        assert normalisation(preprocess.high) == CLIP
        assert (preprocess.background, preprocess.canvas) == ((122, 116, 104), 256)
    else:
        assert (preprocess.background, preprocess.canvas) == ((127, 127, 127), 96)


def test_towers_that_state_no_normalisation_have_the_published_one(copied: Copies) -> None:
    folder = copied("hybrid/original")
    for tower in ("high_res_cfg", "low_res_cfg"):
        for key in ("pixel_mean", "pixel_std"):
            edit_config(folder, *PARAMS, tower, key, value=None)
    preprocess = spec_of(folder).preprocess
    assert (normalisation(preprocess.low), normalisation(preprocess.high)) == (HALF, CLIP)


def test_a_processor_and_a_tower_that_both_normalise_act_as_one_step(copied: Copies) -> None:
    folder = copied("hybrid/original")
    edit_json(
        folder / "preprocessor_config.json", do_normalize=True, image_mean=[0.2] * 3, image_std=[0.4] * 3
    )
    low = spec_of(folder).preprocess.low
    x = 0.9
    assert (x - low.mean[0]) / low.std[0] == pytest.approx(((x - 0.2) / 0.4 - 0.5) / 0.5)


def test_a_processor_that_does_not_normalise_leaves_values_alone(copied: Copies) -> None:
    folder = copied("plain/transformers")
    edit_json(folder / "preprocessor_config.json", do_normalize=False)
    assert normalisation(spec_of(folder).preprocess.low) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def test_the_background_is_the_mean_truncated_or_what_the_file_states(copied: Copies) -> None:
    folder = copied("plain/original")
    edit_json(folder / "preprocessor_config.json", image_mean=[0.1, 0.5, 0.999])
    assert spec_of(folder).preprocess.background == (25, 127, 254)
    edit_json(folder / "preprocessor_config.json", background_color=[1, 2, 3])
    assert spec_of(folder).preprocess.background == (1, 2, 3)


def test_the_image_processor_may_lie_inside_the_processors_file(copied: Copies) -> None:
    folder = copied("plain/transformers")
    (folder / "preprocessor_config.json").unlink()
    write_json(
        folder / "processor_config.json", {"image_processor": {"image_mean": [0.25] * 3, "min_size": 9}}
    )
    preprocess = spec_of(folder).preprocess
    assert (preprocess.low.mean, preprocess.min_side) == ((0.25, 0.25, 0.25), 9)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("plain/original", {"image_size": 384}),
        ("plain/original", {"image_mean": [0.5, 0.5]}),
        ("plain/original", {"image_std": [0.5, 0.0, 0.5]}),
        ("plain/original", {"image_mean": [float("nan")] * 3}),
        ("plain/original", {"rescale_factor": 1.0}),
        ("plain/original", {"do_resize": False}),
        ("plain/original", {"resample": 2}),
        ("plain/original", {"min_size": 97}),
        ("plain/original", {"background_color": [300, 0, 0]}),
        ("plain/original", {"background_color": [1, 2]}),
        ("plain/transformers", {"size": {"height": 96, "width": 48}}),
        ("plain/transformers", {"do_pad": False}),
        ("hybrid/transformers", {"high_res_size": {"height": 64, "width": 64}}),
        ("hybrid/transformers", {"high_res_resample": 0}),
        ("hybrid/transformers", {"high_res_image_std": [-1.0, 1.0, 1.0]}),
    ],
)
def test_a_processor_with_another_rule_is_refused(copied: Copies, name: str, changes: dict[str, Any]) -> None:
    folder = copied(name)
    edit_json(folder / "preprocessor_config.json", **changes)
    assert refusal(folder).code == "EVL-CHECKPOINT-CONFIG"


def test_a_processor_that_counts_other_image_tokens_is_refused(copied: Copies) -> None:
    folder = copied("plain/original")
    edit_json(folder / "processor_config.json", num_image_tokens=576)
    error = refusal(folder)
    assert error.code == "EVL-CHECKPOINT-CONFIG"
    assert "576" in error.why
    assert "36" in error.why


# --- the prompt ---


def test_the_prompt_is_deepseek_vls_with_the_tokenizers_ids(home: Path) -> None:
    prompt = spec_of(home / "plain" / "transformers").prompt
    assert prompt.system.startswith("You are a helpful language and vision assistant. You are able")
    assert (prompt.user, prompt.assistant, prompt.separator) == ("User", "Assistant", "\n\n")
    assert (prompt.end, prompt.stop_strings) == (EOS, ("User:", EOS))
    assert (prompt.image_mark, prompt.image_id) == (IMAGE, IMAGE_ID)
    assert (prompt.bos_id, prompt.eos_id) == (BOS_ID, EOS_ID)


def test_the_special_tokens_are_known_without_tokenizer_config(copied: Copies) -> None:
    folder = copied("plain/original")
    (folder / "tokenizer_config.json").unlink()
    prompt = spec_of(folder).prompt
    assert (prompt.bos_id, prompt.eos_id) == (BOS_ID, EOS_ID)


def rename_token(folder: Path, old: str, new: str) -> None:
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    (folder / "tokenizer.json").write_text(text.replace(old, new), encoding="utf-8")


def test_other_special_tokens_are_found_by_the_name_that_the_tokenizer_gives_them(copied: Copies) -> None:
    folder = copied("plain/original")
    rename_token(folder, EOS, "<end>")
    edit_json(folder / "tokenizer_config.json", eos_token={"content": "<end>"})
    prompt = spec_of(folder).prompt
    assert (prompt.eos_id, prompt.end, prompt.stop_strings) == (EOS_ID, "<end>", ("User:", "<end>"))


def test_ids_of_the_configs_help_where_no_token_is_named(copied: Copies) -> None:
    folder = copied("plain/original")
    rename_token(folder, EOS, "<end>")
    (folder / "tokenizer_config.json").unlink()
    edit_config(folder, "language_config", "eos_token_id", value=EOS_ID)
    assert spec_of(folder).prompt.end == "<end>"


def test_class_defaults_that_transformers_copied_do_not_count(copied: Copies) -> None:
    folder = copied("plain/transformers")
    write_json(folder / "generation_config.json", {"_from_model_config": True, "eos_token_id": 2})
    assert spec_of(folder).prompt.eos_id == EOS_ID


def no_image_token(folder: Path) -> None:
    rename_token(folder, IMAGE, "<picture>")


def remove_image_token(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["model"]["vocab"][IMAGE]
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] != IMAGE]
    write_json(path, content)


def form_of(folder: Path) -> PromptFormat:
    spec = spec_of(folder)
    return PromptFormat(RuntimeTokenizer.open(folder / "tokenizer.json"), spec.prompt, spec.image_tokens)


@pytest.mark.parametrize("name", ["plain/original", "plain/transformers"])
def test_an_image_token_that_the_processor_would_add_is_no_token_of_the_tokenizer(
    copied: Copies, home: Path, name: str
) -> None:
    folder = copied(name)
    remove_image_token(folder)
    assert form_of(folder).tokenizer.id_of(IMAGE) is None
    assert spec_of(folder) == spec_of(home / name)


def test_an_added_image_token_is_the_next_after_the_last(copied: Copies) -> None:
    folder = copied("plain/original")
    remove_image_token(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens([f"extra{count}" for count in range(20)])
    tokenizer.save(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens([IMAGE])  # as the original's processor does
    assert spec_of(folder).prompt.image_id == tokenizer.token_to_id(IMAGE) == EOS_ID + 21


def test_an_added_image_token_has_the_id_that_the_config_states(copied: Copies) -> None:
    folder = copied("plain/transformers")
    remove_image_token(folder)
    edit_json(folder / "config.json", image_token_id=400)
    assert spec_of(folder).prompt.image_id == 400


PROMPTS: tuple[Callable[[PromptFormat], PromptTokens], ...] = (
    lambda form: form.chat_prompt_tokens([Turn("user", f"the {IMAGE} on {IMAGE} at", (CAT, DOG))]),
    lambda form: form.chat_prompt_tokens([Turn("user", "in the", (CAT,))]),
    lambda form: form.chat_prompt_tokens(
        [Turn("user", f"{IMAGE}", (CAT,)), Turn("assistant", f"an {IMAGE}"), Turn("user", "on")],
        system=f"there is {IMAGE} here",
    ),
    lambda form: form.raw_prompt_tokens(f"User: {IMAGE}the <image>{EOS}", [CAT, DOG]),
)


@pytest.mark.parametrize("prompt", PROMPTS, ids=["marks", "no mark", "marks outside of users' texts", "raw"])
def test_prompts_are_the_same_with_and_without_the_image_token_in_the_tokenizer(
    copied: Copies, home: Path, prompt: Callable[[PromptFormat], PromptTokens]
) -> None:
    folder = copied("plain/original")
    remove_image_token(folder)
    with_token, without = prompt(form_of(home / "plain" / "original")), prompt(form_of(folder))
    assert without == with_token
    assert without.ids.count(IMAGE_ID) == without.image_token_count > 0


def test_marks_without_images_are_refused_though_the_tokenizer_lacks_the_token(copied: Copies) -> None:
    folder = copied("plain/original")
    remove_image_token(folder)
    with pytest.raises(EdgeVLError) as caught:
        form_of(folder).chat_prompt_tokens([Turn("user", f"the {IMAGE}")])
    assert caught.value.code == "EVL-PROMPT-IMAGES"


def image_id_beyond_the_table(folder: Path) -> None:
    remove_image_token(folder)
    edit_json(folder / "config.json", image_token_id=512)


def image_id_of_another_token(folder: Path) -> None:
    remove_image_token(folder)
    edit_json(folder / "config.json", image_token_id=EOS_ID)


def no_end_token(folder: Path) -> None:
    rename_token(folder, EOS, "<end>")
    (folder / "tokenizer_config.json").unlink()
    (folder / "generation_config.json").unlink()
    edit_config(folder, "text_config", "eos_token_id", value=None)


def named_end_is_absent(folder: Path) -> None:
    edit_json(folder / "tokenizer_config.json", eos_token="<end>")


def other_image_id(folder: Path) -> None:
    edit_json(folder / "config.json", image_token_id=IMAGE_ID - 1)


def image_id_left_out(folder: Path) -> None:
    edit_config(folder, "image_token_id", value=None)  # transformers then takes 100015


def other_end(folder: Path) -> None:
    write_json(folder / "generation_config.json", {"eos_token_id": [5, 6]})


def broken_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"model": {}}', encoding="utf-8")


def too_many_tokens(folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens([f"extra{count}" for count in range(512 - IMAGE_ID)])
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.mark.parametrize(
    ("damage", "mention"),
    [
        (no_image_token, IMAGE),
        (image_id_beyond_the_table, "512"),
        (image_id_of_another_token, EOS),
        (no_end_token, "eos"),
        (named_end_is_absent, "<end>"),
        (other_image_id, str(IMAGE_ID - 1)),
        (image_id_left_out, "100015"),
        (other_end, "[5, 6]"),
        (broken_tokenizer, "tokenizer.json"),
        (too_many_tokens, "512"),
    ],
)
def test_a_tokenizer_that_does_not_fit_is_refused(
    copied: Copies, damage: Callable[[Path], None], mention: str
) -> None:
    folder = copied("plain/transformers")
    damage(folder)
    error = refusal(folder)
    assert error.code == "EVL-CHECKPOINT-TOKENIZER"
    assert mention in str(error)


def test_a_full_table_has_no_row_for_an_added_image_token(copied: Copies) -> None:
    folder = copied("plain/original")
    remove_image_token(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens([f"extra{count}" for count in range(512 - IMAGE_ID)])
    tokenizer.save(str(folder / "tokenizer.json"))
    error = refusal(folder)
    assert error.code == "EVL-CHECKPOINT-TOKENIZER"
    assert "512" in error.why
    assert IMAGE in error.why


@pytest.mark.parametrize(
    ("file", "key", "meant", "other"),
    [
        ("tokenizer_config.json", "add_bos_token", True, False),
        ("processor_config.json", "add_special_token", False, True),
        ("processor_config.json", "sft_format", "deepseek", "plain"),
    ],
)
@pytest.mark.parametrize("name", ["plain/original", "plain/transformers"])
def test_prompts_of_another_form_are_refused(
    copied: Copies, name: str, file: str, key: str, meant: object, other: object
) -> None:
    folder = copied(name)
    if not (folder / file).exists():
        write_json(folder / file, {})
    for value in (meant, None):
        edit_json(folder / file, **{key: value})
        spec_of(folder)
    edit_json(folder / file, **{key: other})
    error = refusal(folder)
    assert error.code == "EVL-CHECKPOINT-CONFIG"
    assert key in error.what


# --- whatever else config.json may hold ---


def places(section: dict[str, Any], above: Path3 = ()) -> Iterator[Path3]:
    for key, value in section.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from places(value, (*above, key))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2)
)


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_anywhere_gives_a_spec_or_a_refusal(home: Path, name: str, data: st.DataObject) -> None:
    with Checkpoint.open(home / name) as checkpoint:
        config = copy.deepcopy(dict(checkpoint.config.values))
        place = data.draw(st.sampled_from(list(places(config))))
        section: Any = config
        for key in place[:-1]:
            section = section[key]
        section[place[-1]] = data.draw(VALUES)
        checkpoint.config = Section("config.json", config)
        with suppress(EdgeVLError):  # any other exception is the bug looked for
            plan_from_checkpoint(checkpoint, spec_from_checkpoint(checkpoint))
