"""Small random checkpoints on disk, in every layout, with nothing left at zero.

The transformers files are written by transformers itself; the original layout is renamed from them by a table
that is written here again from the fact sheet, so that it shares no line with the code under test.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor
from transformers import (
    DeepseekVLConfig,
    DeepseekVLForConditionalGeneration,
    DeepseekVLHybridConfig,
    DeepseekVLHybridForConditionalGeneration,
    PreTrainedModel,
)

BOS, EOS, IMAGE = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<image_placeholder>"
MERGES = (
    "t h",
    "th e",
    "Ġ the",
    "i n",
    "a n",
    "e r",
    "o n",
    "r e",
    "a t",
    "Ġ a",
    "Ġ i",
    "Ġ o",
    "U s",
    "Us er",
)
BOS_ID = 256 + len(MERGES)  # the specials follow the bytes and the merges, as in the published tokenizer
EOS_ID = BOS_ID + 1
IMAGE_ID = BOS_ID + 2
CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]


@dataclass(frozen=True)
class SmallSam:
    width: int
    layers: int
    heads: int
    image_size: int
    patch_size: int
    window: int
    global_blocks: tuple[int, ...]
    mlp_width: int
    neck_width: int


@dataclass(frozen=True)
class SmallModel:
    """The sizes of a random model. `high` is None without a SAM tower."""

    width: int = 64
    layers: int = 2
    heads: int = 4
    kv_heads: int = 4
    head_dim: int = 16
    mlp_width: int = 128
    vocab: int = 512
    rope_theta: float = 10000.0
    low_width: int = 48
    low_layers: int = 2
    low_heads: int = 4
    low_mlp_width: int = 96
    image_size: int = 96
    patch_size: int = 16
    high: SmallSam | None = None

    @property
    def grid(self) -> int:
        return self.image_size // self.patch_size

    @property
    def image_tokens(self) -> int:
        return self.grid**2


PLAIN = SmallModel()
# 94 pixels in patches of 14 leave 10 over; three query heads share a key head; theta is another.
GROUPED = SmallModel(
    width=48, layers=3, heads=6, kv_heads=2, head_dim=8, mlp_width=112, vocab=400, rope_theta=5000.0,
    low_width=40, low_layers=3, low_heads=5, low_mlp_width=72, image_size=94, patch_size=14,
)  # fmt: skip
# 16x16 in windows of 7 needs padding. In both hybrids SAM ends as wide as SigLIP is, which the original requires.
HYBRID = SmallModel(
    low_width=32, low_mlp_width=64,
    high=SmallSam(width=24, layers=4, heads=2, image_size=256, patch_size=16, window=7,
                  global_blocks=(1, 3), mlp_width=48, neck_width=8),
)  # fmt: skip
# 12x12 in windows of 4 needs none; the side path leaves after block 2.
WINDOWED = SmallModel(
    width=96, layers=2, heads=6, kv_heads=3, head_dim=16, mlp_width=160, vocab=320, rope_theta=20000.0,
    low_width=48, low_layers=1, low_heads=3, low_mlp_width=112, image_size=64, patch_size=16,
    high=SmallSam(width=36, layers=5, heads=3, image_size=96, patch_size=8, window=4,
                  global_blocks=(2, 4), mlp_width=80, neck_width=12),
)  # fmt: skip
SMALL_MODELS: Mapping[str, SmallModel] = {
    "plain": PLAIN,
    "grouped": GROUPED,
    "hybrid": HYBRID,
    "windowed": WINDOWED,
}


def model_from_small(small: SmallModel, seed: int = 0, is_tied: bool = False) -> PreTrainedModel:
    """A transformers model of these sizes in eval mode, every parameter random."""
    torch.manual_seed(seed)  # transformers draws from the global generator before we overwrite what it drew
    model = unfilled_model(small, is_tied)
    randomise(model, seed)
    return model.eval()


def unfilled_model(small: SmallModel, is_tied: bool = False) -> PreTrainedModel:
    """As transformers makes it; under `torch.device("meta")` a full-size one costs nothing."""
    common: dict[str, Any] = {
        "text_config": text_settings(small),
        "vision_config": low_settings(small),
        "image_token_id": IMAGE_ID,
        "tie_word_embeddings": is_tied,
    }
    if small.high is None:
        return DeepseekVLForConditionalGeneration(DeepseekVLConfig(**common))
    config = DeepseekVLHybridConfig(**common, high_res_vision_config=high_settings(small.high))
    return DeepseekVLHybridForConditionalGeneration(config)


def text_settings(small: SmallModel) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "hidden_size": small.width,
        "intermediate_size": small.mlp_width,
        "num_hidden_layers": small.layers,
        "num_attention_heads": small.heads,
        "num_key_value_heads": small.kv_heads,
        "head_dim": small.head_dim,
        "vocab_size": small.vocab,
        "max_position_embeddings": 2048,
        "rope_parameters": {"rope_type": "default", "rope_theta": small.rope_theta},
        "bos_token_id": BOS_ID,
        "eos_token_id": EOS_ID,
        "pad_token_id": EOS_ID,
    }


def low_settings(small: SmallModel) -> dict[str, Any]:
    return {
        "model_type": "siglip_vision_model",
        "hidden_size": small.low_width,
        "intermediate_size": small.low_mlp_width,
        "num_hidden_layers": small.low_layers,
        "num_attention_heads": small.low_heads,
        "image_size": small.image_size,
        "patch_size": small.patch_size,
        "hidden_act": "gelu",
        "vision_use_head": False,
    }


def high_settings(high: SmallSam) -> dict[str, Any]:
    return {
        "model_type": "sam_vision_model",
        "hidden_size": high.width,
        "mlp_dim": high.mlp_width,
        "num_hidden_layers": high.layers,
        "num_attention_heads": high.heads,
        "image_size": high.image_size,
        "patch_size": high.patch_size,
        "window_size": high.window,
        "global_attn_indexes": list(high.global_blocks),
        "output_channels": high.neck_width,
    }


@torch.no_grad()
def randomise(model: torch.nn.Module, seed: int) -> None:
    """Every parameter away from zero and from its usual start, with activations of order one."""
    draw = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=draw)
        parameter.copy_(scaled_noise(name, noise))


def scaled_noise(name: str, noise: Tensor) -> Tensor:
    if name.endswith("alpha"):
        return torch.full_like(noise, 0.37)
    if "norm" in name and name.endswith("weight"):
        return 1 + 0.2 * noise
    if noise.dim() == 1:
        return 0.1 * noise
    if any(part in name for part in ("pos_embed", "position_embedding", "rel_pos", "embed_tokens")):
        return 0.3 * noise
    if name == "lm_head.weight":
        return 0.3 * noise  # logits far enough apart for greedy decoding to be told apart
    fan_in = noise[0].numel()
    return noise / math.sqrt(fan_in)


def write_transformers_checkpoint(
    folder: Path,
    small: SmallModel = PLAIN,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    max_shard_size: str = "1GB",
    siglip: Literal["flat", "nested"] = "flat",
    is_tied: bool = False,
) -> tuple[PreTrainedModel, Path]:
    """A checkpoint by `save_pretrained`; `nested` has the SigLIP names of the published conversions."""
    model = model_from_small(small, seed, is_tied).to(dtype)
    model.save_pretrained(folder, max_shard_size=max_shard_size)
    if siglip == "nested":
        tensors = load_file(folder / "model.safetensors")
        flat = "model.vision_model."
        nested = {name.replace(flat, f"{flat}vision_model.", 1): value for name, value in tensors.items()}
        save_file(nested, folder / "model.safetensors", {"format": "pt"})
    settings = processor_settings(small, "size")
    if small.high is not None:
        high_size = {"height": small.high.image_size, "width": small.high.image_size}
        settings |= {
            "high_res_size": high_size,
            "high_res_image_mean": CLIP_MEAN,
            "high_res_image_std": CLIP_STD,
        }
        settings |= {"resample": 2, "high_res_resample": 3}
    settings["size"] = {"height": small.image_size, "width": small.image_size}
    write_json(folder / "preprocessor_config.json", settings)
    write_tokenizer(folder)
    return model, folder


def write_original_checkpoint(
    folder: Path,
    small: SmallModel = PLAIN,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    files: int = 1,
) -> tuple[PreTrainedModel, Path]:
    """The same weights as `write_transformers_checkpoint` of this seed, as DeepSeek lays them out."""
    folder.mkdir(parents=True, exist_ok=True)
    model = model_from_small(small, seed).to(dtype)
    tensors = original_tensors(model.state_dict(), small)
    draw = torch.Generator().manual_seed(seed + 1)
    for name, shape in idle_shapes(small).items():
        tensors[name] = torch.randn(shape, generator=draw).to(dtype)
    write_shards(folder, {name: value.contiguous() for name, value in tensors.items()}, files)
    write_json(folder / "config.json", original_config(small))
    settings = processor_settings(small, "image_size")
    if small.high is not None:
        settings |= {"image_mean": CLIP_MEAN, "image_std": CLIP_STD, "do_normalize": False}
    write_json(folder / "preprocessor_config.json", settings)
    processor = {
        "processor_class": "VLChatProcessor",
        "image_tag": IMAGE,
        "num_image_tokens": small.image_tokens,
    }
    write_json(folder / "processor_config.json", processor)
    write_tokenizer(folder)
    return model, folder


def processor_settings(small: SmallModel, size_key: str) -> dict[str, Any]:
    return {
        size_key: small.image_size if small.high is None else small.high.image_size,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "do_normalize": True,
        "min_size": 14,
        "rescale_factor": 1 / 255,
    }


def write_shards(folder: Path, tensors: Mapping[str, Tensor], files: int) -> None:
    if files == 1:
        save_file(dict(tensors), folder / "model.safetensors", {"format": "pt"})
        return
    weight_map = {name: f"part-{place % files}.safetensors" for place, name in enumerate(tensors)}
    for file in sorted(set(weight_map.values())):
        save_file({name: tensors[name] for name in tensors if weight_map[name] == file}, folder / file)
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})


# transformers name -> original name, after models.md 5.2; LOW is the SigLIP tower, HIGH the SAM tower.
RENAMES: tuple[tuple[str, str], ...] = (
    (r"model\.vision_model\.embeddings\.patch_embedding\.(\w+)", r"LOW.patch_embed.proj.\1"),
    (r"model\.vision_model\.embeddings\.position_embedding\.weight", r"LOW.pos_embed"),
    (
        r"model\.vision_model\.encoder\.layers\.(\d+)\.self_attn\.out_proj\.(\w+)",
        r"LOW.blocks.\1.attn.proj.\2",
    ),
    (r"model\.vision_model\.encoder\.layers\.(\d+)\.self_attn\.qkv\.(\w+)", r"LOW.blocks.\1.attn.qkv.\2"),
    (r"model\.vision_model\.encoder\.layers\.(\d+)\.layer_norm(\d)\.(\w+)", r"LOW.blocks.\1.norm\2.\3"),
    (r"model\.vision_model\.encoder\.layers\.(\d+)\.mlp\.fc(\d)\.(\w+)", r"LOW.blocks.\1.mlp.fc\2.\3"),
    (r"model\.vision_model\.post_layernorm\.(\w+)", r"LOW.norm.\1"),
    (r"model\.high_res_vision_model\.vision_encoder\.pos_embed", r"HIGH.pos_embed"),
    (
        r"model\.high_res_vision_model\.vision_encoder\.patch_embed\.projection\.(\w+)",
        r"HIGH.patch_embed.proj.\1",
    ),
    (
        r"model\.high_res_vision_model\.vision_encoder\.layers\.(\d+)\.layer_norm(\d)\.(\w+)",
        r"HIGH.blocks.\1.norm\2.\3",
    ),
    (
        r"model\.high_res_vision_model\.vision_encoder\.layers\.(\d+)\.(attn|mlp)\.(.+)",
        r"HIGH.blocks.\1.\2.\3",
    ),
    (r"model\.high_res_vision_model\.vision_encoder\.neck\.conv1\.(\w+)", r"HIGH.neck.0.\1"),
    (r"model\.high_res_vision_model\.vision_encoder\.neck\.layer_norm1\.(\w+)", r"HIGH.neck.1.\1"),
    (r"model\.high_res_vision_model\.vision_encoder\.neck\.conv2\.(\w+)", r"HIGH.neck.2.\1"),
    (r"model\.high_res_vision_model\.vision_encoder\.neck\.layer_norm2\.(\w+)", r"HIGH.neck.3.\1"),
    (r"model\.high_res_vision_neck\.conv1\.(\w+)", r"HIGH.neck_hd.0.\1"),
    (r"model\.high_res_vision_neck\.layer_norm1\.(\w+)", r"HIGH.neck_hd.1.\1"),
    (r"model\.high_res_vision_neck\.conv2\.(\w+)", r"HIGH.neck_hd.2.\1"),
    (r"model\.high_res_vision_neck\.layer_norm2\.(\w+)", r"HIGH.neck_hd.3.\1"),
    (r"model\.high_res_vision_proj\.conv1\.weight", r"HIGH.downsamples.0.weight"),
    (r"model\.high_res_vision_proj\.conv2\.weight", r"HIGH.downsamples.1.weight"),
    (r"model\.high_res_vision_alpha", r"HIGH.hd_alpha_downsamples"),
    (r"model\.aligner\.linear1\.(\w+)", r"aligner.layers.0.\1"),
    (r"model\.aligner\.linear2\.(\w+)", r"aligner.layers.2.\1"),
    (r"model\.aligner\.high_res_vision_proj\.(\w+)", r"aligner.high_up_proj.\1"),
    (r"model\.aligner\.vision_proj\.(\w+)", r"aligner.low_up_proj.\1"),
    (r"model\.aligner\.proj\.(\w+)", r"aligner.layers.1.\1"),
    (r"model\.language_model\.(.+)", r"language_model.model.\1"),
    (r"lm_head\.weight", r"language_model.lm_head.weight"),
)


def low_tower(small: SmallModel) -> str:
    return "vision_model.vision_tower" if small.high is None else "vision_model.vision_tower_low.vision_tower"


def original_tensors(state: Mapping[str, Tensor], small: SmallModel) -> dict[str, Tensor]:
    """The state of a transformers model under the original names, without the tensors that never run."""
    low = low_tower(small)
    high = "vision_model.vision_tower_high.vision_tower"
    joined = dict(state)
    for name in state:
        if ".self_attn.q_proj." in name and name.startswith("model.vision_model."):
            thirds = [joined.pop(name.replace(".q_proj.", f".{part}_proj.")) for part in "qkv"]
            joined[name.replace(".q_proj.", ".qkv.")] = torch.cat(thirds)
    tensors = {original_name(name).replace("LOW", low).replace("HIGH", high): joined[name] for name in joined}
    tensors[f"{low}.pos_embed"] = tensors[f"{low}.pos_embed"].unsqueeze(0)
    return tensors


def original_name(name: str) -> str:
    found = [re.sub(pattern, target, name) for pattern, target in RENAMES if re.fullmatch(pattern, name)]
    assert len(found) == 1, f"{name} matches {len(found)} rows of the table"
    return found[0]


def idle_shapes(small: SmallModel) -> dict[str, tuple[int, ...]]:
    """The tensors that the original files hold and that never run."""
    width, inner = small.low_width, small.low_mlp_width
    shapes: dict[str, tuple[int, ...]] = {
        "latent": (1, 1, width),
        "q.weight": (width, width),
        "q.bias": (width,),
        "kv.weight": (2 * width, width),
        "kv.bias": (2 * width,),
        "proj.weight": (width, width),
        "proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
        "mlp.fc1.weight": (inner, width),
        "mlp.fc1.bias": (inner,),
        "mlp.fc2.weight": (width, inner),
        "mlp.fc2.bias": (width,),
    }
    idle = {f"{low_tower(small)}.attn_pool.{name}": shape for name, shape in shapes.items()}
    if small.high is not None:
        for norm, wide in (("high", 4 * small.high.neck_width), ("low", width)):
            idle |= {f"vision_model.{norm}_layer_norm.{kind}": (wide,) for kind in ("weight", "bias")}
    return idle


def original_config(small: SmallModel) -> dict[str, Any]:
    """A config.json as the original code wrote it, with the sizes that its registry would know."""
    low: dict[str, Any] = {
        "image_size": small.image_size,
        "model_name": "siglip_large_patch16_384",
        "select_feature": "same",
        "select_layer": -1,
        "width": small.low_width,
        "layers": small.low_layers,
        "heads": small.low_heads,
        "patch_size": small.patch_size,
    }
    vision: dict[str, Any] = {"cls": "CLIPVisionTower", "model_type": "vision", "params": low}
    projector = "mlp_gelu"
    if small.high is not None:
        low |= {
            "pixel_mean": [0.5] * 3,
            "pixel_std": [0.5] * 3,
            "ckpt_path": "",
            "output_dim": small.low_width,
        }
        params = {"concat_type": "tuple", "high_res_cfg": original_high(small.high), "low_res_cfg": low}
        vision |= {"cls": "HybridVisionTower", "params": params}
        projector = "low_high_hybrid_split_mlp_gelu"
    aligner = {"projector_type": projector, "depth": 2, "input_dim": small.low_width, "n_embed": small.width}
    language = {
        "model_type": "llama",
        "hidden_size": small.width,
        "intermediate_size": small.mlp_width,
        "num_hidden_layers": small.layers,
        "num_attention_heads": small.heads,
        "num_key_value_heads": small.kv_heads,
        "head_dim": small.head_dim,
        "vocab_size": small.vocab,
        "max_position_embeddings": 2048,
        "rope_theta": small.rope_theta,
        "torch_dtype": "bfloat16",
    }
    return {
        "model_type": "multi_modality",
        "architectures": ["MultiModalityCausalLM"],
        "torch_dtype": "bfloat16",
        "vision_config": vision,
        "aligner_config": {"cls": "MlpProjector", "model_type": "aligner", "params": aligner},
        "language_config": language,
    }


def original_high(high: SmallSam) -> dict[str, Any]:
    return {
        "image_size": high.image_size,
        "model_name": "sam_b_downsample",
        "pixel_mean": CLIP_MEAN,
        "pixel_std": CLIP_STD,
        "output_dim": 4 * high.neck_width,
        "select_feature": "same",
        "select_layer": -1,
        "ckpt_path": "",
        "width": high.width,
        "layers": high.layers,
    }


def write_tokenizer(folder: Path) -> None:
    """A byte-level BPE with a few merges and DeepSeek-VL's special tokens."""
    tokens = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens += [merge.replace(" ", "") for merge in MERGES] + [BOS, EOS, IMAGE]
    vocabulary = {token: place for place, token in enumerate(tokens)}
    pairs = [(left, right) for left, right in (merge.split(" ") for merge in MERGES)]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in (BOS, EOS, IMAGE)])
    assert [tokenizer.token_to_id(token) for token in (BOS, EOS, IMAGE)] == [BOS_ID, EOS_ID, IMAGE_ID]
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "LlamaTokenizerFast",
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": {"__type": "AddedToken", "content": BOS},
        "eos_token": EOS,
        "pad_token": EOS,
    }
    write_json(folder / "tokenizer_config.json", settings)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2), encoding="utf-8")


def edit_json(path: Path, **changes: Any) -> None:
    """Sets top-level keys of a JSON file; for the tests that damage a checkpoint."""
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | changes)


def edit_tensors(path: Path, drop: tuple[str, ...] = (), add: Mapping[str, Tensor] | None = None) -> None:
    """Removes and adds (or replaces) tensors of a safetensors file."""
    # Mapped tensors would still point into the file while it is written, so they are copied.
    kept = {name: value.clone() for name, value in load_file(path).items() if name not in drop}
    save_file(kept | dict(add or {}), path, {"format": "pt"})
