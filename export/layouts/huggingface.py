"""The transformers layout: `deepseek_vl` and `deepseek_vl_hybrid`.

What a config leaves out has the default of transformers 5.23, written down here.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.spec import Activation, AdaptorSpec, ModelSpec, Role, SamSpec, SiglipSpec
from export.checkpoint import Checkpoint
from export.layouts.layout import LayoutName, Naming, Parts, Stems, refusing_bad_values
from export.layouts.llama import (
    MOST_LAYERS,
    decoder_from_section,
    decoder_stems,
    embed_stems,
    is_head_tied,
    tolerated_buffers,
)
from export.layouts.pixels import preprocess_from_transformers
from export.section import Section

MODEL = "model.language_model"
HEAD = "lm_head"
HIGH_TOWER = "model.high_res_vision_model.vision_encoder"
SIGLIP_BLOCK = {
    "norm1": ("layer_norm1",),
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "proj": ("self_attn.out_proj",),
    "norm2": ("layer_norm2",),
    "fc1": ("mlp.fc1",),
    "fc2": ("mlp.fc2",),
}
SAM_BLOCK = {
    "norm1": "layer_norm1",
    "qkv": "attn.qkv",
    "proj": "attn.proj",
    "norm2": "layer_norm2",
    "fc1": "mlp.lin1",
    "fc2": "mlp.lin2",
    "rel_h": "attn.rel_pos_h",
    "rel_w": "attn.rel_pos_w",
}
NECK = {"conv1": "conv1", "norm1": "layer_norm1", "conv2": "conv2", "norm2": "layer_norm2"}
ACTIVATIONS: dict[str, Activation] = {"gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh"}
POOLING_HEAD = (
    "probe",
    "attention.in_proj_weight",
    "attention.in_proj_bias",
    "attention.out_proj.weight",
    "attention.out_proj.bias",
    "layernorm.weight",
    "layernorm.bias",
    "mlp.fc1.weight",
    "mlp.fc1.bias",
    "mlp.fc2.weight",
    "mlp.fc2.bias",
)


@dataclass(frozen=True)
class TransformersLayout:
    """`siglip` is the prefix: converted files nest one more `vision_model` than transformers 5 writes."""

    siglip: str
    has_high: bool
    name: LayoutName = "transformers"

    def parts(self, checkpoint: Checkpoint) -> Parts:
        config = checkpoint.config
        text = config.section("text_config")
        low = siglip_from_section(config.section("vision_config"))
        high = sam_from_section(config.section("high_res_vision_config"), low.grid) if self.has_high else None
        says_tied = config.flag("tie_word_embeddings", True)
        is_tied = is_head_tied(checkpoint, f"{MODEL}.embed_tokens.weight", f"{HEAD}.weight", says_tied)
        decoder = decoder_from_section(text, is_tied)
        with refusing_bad_values():
            adaptor = AdaptorSpec(
                kind="mlp_gelu" if high is None else "hybrid_split_mlp_gelu",
                depth=2,
                low_width=low.width,
                high_width=0 if high is None else high.down_widths[1],
                width=decoder.width,
            )
        preprocess = preprocess_from_transformers(checkpoint, low, high)
        return Parts(
            low, high, adaptor, decoder, preprocess, config.integer("image_token_id", 100015, lowest=0)
        )

    def naming(self, spec: ModelSpec) -> Naming:
        stems: dict[Role, Stems] = {
            "vision_low": siglip_stems(spec.low, self.siglip),
            "adaptor": adaptor_stems(spec.adaptor),
            "embed": embed_stems(MODEL),
            "decoder": decoder_stems(spec.decoder, MODEL, HEAD),
        }
        if spec.high is not None:
            stems["vision_high"] = sam_stems(spec.high)
        tolerated = tolerated_buffers(spec.decoder, MODEL) | {f"{self.siglip}.embeddings.position_ids"}
        tolerated |= {f"{self.siglip}.head.{name}" for name in POOLING_HEAD}
        if spec.decoder.is_tied:
            tolerated.add(f"{HEAD}.weight")
        return Naming(stems, {}, frozenset(tolerated), frozenset({"vision_high"}))


def siglip_from_section(vision: Section) -> SiglipSpec:
    vision.choice("model_type", ("siglip_vision_model",), "siglip_vision_model")
    vision.choice("num_channels", (3,), 3)
    activation = vision.choice("hidden_act", tuple(ACTIVATIONS), "gelu_pytorch_tanh")
    with refusing_bad_values():
        return SiglipSpec(
            image_size=vision.side("image_size", 224),
            patch_size=vision.side("patch_size", 16),
            width=vision.integer("hidden_size", 768),
            layers=vision.integer("num_hidden_layers", 12, highest=MOST_LAYERS),
            heads=vision.integer("num_attention_heads", 12),
            mlp_width=vision.integer("intermediate_size", 3072),
            norm_eps=vision.number("layer_norm_eps", 1e-6),
            activation=ACTIVATIONS[activation],
        )


def sam_from_section(vision: Section, low_grid: int) -> SamSpec:
    vision.choice("model_type", ("sam_vision_model",), "sam_vision_model")
    vision.choice("num_channels", (3,), 3)
    vision.choice("hidden_act", ("gelu",), "gelu")
    for key in ("qkv_bias", "use_abs_pos", "use_rel_pos"):
        vision.choice(key, (True,), True)
    width, neck = vision.integer("hidden_size", 768), vision.integer("output_channels", 256)
    global_blocks = vision.integers("global_attn_indexes", (2, 5, 8, 11))
    if list(global_blocks) != sorted(set(global_blocks)):
        # The first named block feeds the side path, so their order carries meaning.
        vision.refuse("global_attn_indexes", "rising block numbers")
    with refusing_bad_values():
        return SamSpec(
            image_size=vision.side("image_size", 1024),
            patch_size=vision.side("patch_size", 16),
            width=width,
            layers=vision.integer("num_hidden_layers", 12, highest=MOST_LAYERS),
            heads=vision.integer("num_attention_heads", 12),
            mlp_width=vision.integer("mlp_dim", int(width * vision.number("mlp_ratio", 4.0))),
            window=vision.integer("window_size", 14),
            global_blocks=global_blocks,
            neck_width=neck,
            down_widths=(2 * neck, 4 * neck),
            resized_grid=4 * low_grid,
            norm_eps=vision.choice(
                "layer_norm_eps", (1e-6,), 1e-6
            ),  # the necks' is fixed, so the blocks' must equal it
        )


def siglip_stems(tower: SiglipSpec, prefix: str) -> Stems:
    stems: dict[str, tuple[str, ...]] = {
        "patch": (f"{prefix}.embeddings.patch_embedding",),
        "position": (f"{prefix}.embeddings.position_embedding.weight",),
        "norm": (f"{prefix}.post_layernorm",),
    }
    for block in range(tower.layers):
        layer = f"{prefix}.encoder.layers.{block}"
        stems |= {
            f"blocks.{block}.{ours}": tuple(f"{layer}.{part}" for part in theirs)
            for ours, theirs in SIGLIP_BLOCK.items()
        }
    return stems


def sam_stems(tower: SamSpec) -> Stems:
    stems = {
        "patch": (f"{HIGH_TOWER}.patch_embed.projection",),
        "position": (f"{HIGH_TOWER}.pos_embed",),
        "alpha": ("model.high_res_vision_alpha",),
        "down1": ("model.high_res_vision_proj.conv1",),
        "down2": ("model.high_res_vision_proj.conv2",),
    }
    for ours, theirs in NECK.items():
        stems |= {
            f"neck.{ours}": (f"{HIGH_TOWER}.neck.{theirs}",),
            f"side.{ours}": (f"model.high_res_vision_neck.{theirs}",),
        }
    for block in range(tower.layers):
        stems |= {
            f"blocks.{block}.{ours}": (f"{HIGH_TOWER}.layers.{block}.{theirs}",)
            for ours, theirs in SAM_BLOCK.items()
        }
    return stems


def adaptor_stems(adaptor: AdaptorSpec) -> Stems:
    if adaptor.kind == "mlp_gelu":
        return {"fc.0": ("model.aligner.linear1",), "fc.1": ("model.aligner.linear2",)}
    return {
        "high": ("model.aligner.high_res_vision_proj",),
        "low": ("model.aligner.vision_proj",),
        "fc.0": ("model.aligner.proj",),
    }
