"""The original layout: `multi_modality`, as DeepSeek published it."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.errors import EdgeVLError
from edge_runtime.spec import AdaptorSpec, ModelSpec, Role, SamSpec, SiglipSpec
from export.checkpoint import Checkpoint
from export.layouts.layout import (
    LayoutName,
    Naming,
    Parts,
    Shape,
    Stems,
    refusing_bad_values,
    shape_of,
)
from export.layouts.llama import (
    decoder_from_section,
    decoder_stems,
    embed_stems,
    is_head_tied,
    tolerated_buffers,
)
from export.layouts.original_towers import sam_from_original, siglip_from_original
from export.layouts.pixels import preprocess_from_original
from export.section import Section

ONLY_TOWER = "vision_model.vision_tower"
LOW_TOWER = "vision_model.vision_tower_low.vision_tower"
HIGH_TOWER = "vision_model.vision_tower_high.vision_tower"
MODEL = "language_model.model"
HEAD = "language_model.lm_head"
BLOCK = {"norm1": "norm1", "qkv": "attn.qkv", "proj": "attn.proj", "norm2": "norm2"}
SIGLIP_BLOCK = BLOCK | {"fc1": "mlp.fc1", "fc2": "mlp.fc2"}
SAM_BLOCK = BLOCK | {
    "fc1": "mlp.lin1",
    "fc2": "mlp.lin2",
    "rel_h": "attn.rel_pos_h",
    "rel_w": "attn.rel_pos_w",
}
NECK = {"conv1": "0", "norm1": "1", "conv2": "2", "norm2": "3"}
DEEPEST_ADAPTOR = 16


@dataclass(frozen=True)
class OriginalLayout:
    """SigLIP alone (1.3B) or SAM-B beside it (7B, and the hybrid 1.3B)."""

    has_high: bool
    name: LayoutName = "original"

    @property
    def low_tower(self) -> str:
        return LOW_TOWER if self.has_high else ONLY_TOWER

    def parts(self, checkpoint: Checkpoint) -> Parts:
        config = checkpoint.config
        for key in ("vision_config", "aligner_config", "language_config"):
            if not config.has(key):
                config.refuse(key, "the sub-configuration that goes with these tensors")
        vision = config.section("vision_config")
        wanted = "HybridVisionTower" if self.has_high else "CLIPVisionTower"
        vision.choice("cls", (wanted,), wanted)
        params = vision.section("params")
        low_params = params.section("low_res_cfg") if self.has_high else params
        low = siglip_from_original(checkpoint, low_params, self.low_tower)
        high: SamSpec | None = None
        if self.has_high:
            params.choice("concat_type", ("tuple",), "tuple")
            high = sam_from_original(checkpoint, params.section("high_res_cfg"), HIGH_TOWER, low.grid)
        language = config.section("language_config")
        says_tied = language.flag("tie_word_embeddings", False)
        is_tied = is_head_tied(checkpoint, f"{MODEL}.embed_tokens.weight", f"{HEAD}.weight", says_tied)
        image_id = config.integer("image_token_id", lowest=0) if config.has("image_token_id") else None
        return Parts(
            low=low,
            high=high,
            adaptor=adaptor_from_original(checkpoint, config.section("aligner_config"), high),
            decoder=decoder_from_section(language, is_tied),
            preprocess=preprocess_from_original(checkpoint, low, high, params),
            image_id=image_id,
        )

    def naming(self, spec: ModelSpec) -> Naming:
        stems: dict[Role, Stems] = {
            "vision_low": siglip_stems(spec.low, self.low_tower),
            "adaptor": adaptor_stems(spec.adaptor),
            "embed": embed_stems(MODEL),
            "decoder": decoder_stems(spec.decoder, MODEL, HEAD),
        }
        discarded = attention_pool(spec.low, f"{self.low_tower}.attn_pool")
        if spec.high is not None:
            stems["vision_high"] = sam_stems(spec.high, HIGH_TOWER)
            discarded |= unused_norms(spec.high.down_widths[1], spec.low.width)
        tolerated = tolerated_buffers(spec.decoder, MODEL)
        if spec.decoder.is_tied:
            tolerated.add(f"{HEAD}.weight")
        return Naming(stems, discarded, frozenset(tolerated), frozenset({"vision_low", "vision_high"}))


def adaptor_from_original(checkpoint: Checkpoint, aligner: Section, high: SamSpec | None) -> AdaptorSpec:
    aligner.choice("cls", ("MlpProjector",), "MlpProjector")
    params = aligner.section("params")
    kind = "mlp_gelu" if high is None else "low_high_hybrid_split_mlp_gelu"
    if not params.has("projector_type"):
        params.refuse("projector_type", repr(kind))
    params.choice("projector_type", (kind,), kind)
    first = "aligner.layers.0" if high is None else "aligner.low_up_proj"
    low_width = shape_of(checkpoint, f"{first}.weight", 2)[1]
    high_width = 0 if high is None else shape_of(checkpoint, "aligner.high_up_proj.weight", 2)[1]
    check_input_width(params, low_width, high_width)
    with refusing_bad_values():
        return AdaptorSpec(
            kind="mlp_gelu" if high is None else "hybrid_split_mlp_gelu",
            depth=params.integer("depth", 1, highest=DEEPEST_ADAPTOR),
            low_width=low_width,
            high_width=high_width,
            width=params.integer("n_embed"),
        )


def check_input_width(params: Section, low_width: int, high_width: int) -> None:
    wanted = params.integer("input_dim", low_width)
    if wanted != low_width or high_width not in (0, wanted):
        why = f"the aligner's tensors take {low_width} and {high_width} features, config.json says {wanted}"
        fix = "check that config.json and the weights belong together"
        raise EdgeVLError("EVL-CHECKPOINT-SHAPE", "the aligner does not fit config.json", why, fix)


def siglip_stems(tower: SiglipSpec, prefix: str) -> Stems:
    stems = {
        "patch": (f"{prefix}.patch_embed.proj",),
        "position": (f"{prefix}.pos_embed",),
        "norm": (f"{prefix}.norm",),
    }
    for block in range(tower.layers):
        stems |= {
            f"blocks.{block}.{ours}": (f"{prefix}.blocks.{block}.{theirs}",)
            for ours, theirs in SIGLIP_BLOCK.items()
        }
    return stems


def sam_stems(tower: SamSpec, prefix: str) -> Stems:
    stems = {
        "patch": (f"{prefix}.patch_embed.proj",),
        "position": (f"{prefix}.pos_embed",),
        "alpha": (f"{prefix}.hd_alpha_downsamples",),
        "down1": (f"{prefix}.downsamples.0",),
        "down2": (f"{prefix}.downsamples.1",),
    }
    for ours, theirs in NECK.items():
        stems |= {
            f"neck.{ours}": (f"{prefix}.neck.{theirs}",),
            f"side.{ours}": (f"{prefix}.neck_hd.{theirs}",),
        }
    for block in range(tower.layers):
        stems |= {
            f"blocks.{block}.{ours}": (f"{prefix}.blocks.{block}.{theirs}",)
            for ours, theirs in SAM_BLOCK.items()
        }
    return stems


def adaptor_stems(adaptor: AdaptorSpec) -> Stems:
    # The aligner is a torch Sequential whose odd or even places are activations.
    if adaptor.kind == "mlp_gelu":
        return {f"fc.{layer}": (f"aligner.layers.{2 * layer}",) for layer in range(adaptor.depth)}
    stems = {"high": ("aligner.high_up_proj",), "low": ("aligner.low_up_proj",)}
    return stems | {f"fc.{layer}": (f"aligner.layers.{2 * layer + 1}",) for layer in range(adaptor.depth - 1)}


def attention_pool(tower: SiglipSpec, prefix: str) -> dict[str, Shape]:
    """SigLIP's pooling head: in the files, never run."""
    width, mlp_width = tower.width, tower.mlp_width
    modules: dict[str, Shape] = {
        "q": (width, width),
        "kv": (2 * width, width),
        "proj": (width, width),
        "mlp.fc1": (mlp_width, width),
        "mlp.fc2": (width, mlp_width),
    }
    shapes: dict[str, Shape] = {f"{prefix}.latent": (1, 1, width)}
    for module, shape in modules.items():
        shapes |= {f"{prefix}.{module}.weight": shape, f"{prefix}.{module}.bias": shape[:1]}
    return shapes | {f"{prefix}.norm.weight": (width,), f"{prefix}.norm.bias": (width,)}


def unused_norms(high_width: int, low_width: int) -> dict[str, Shape]:
    widths = {"high_layer_norm": high_width, "low_layer_norm": low_width}
    return {
        f"vision_model.{name}.{kind}": (width,)
        for name, width in widths.items()
        for kind in ("weight", "bias")
    }
