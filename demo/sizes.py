"""The sizes a random checkpoint can have: three published or planned ones, and one for a laptop's second."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.spec import (
    AdaptorSpec,
    DecoderSpec,
    ModelSpec,
    PixelSpec,
    PreprocessSpec,
    PromptSpec,
    SamSpec,
    SiglipSpec,
)
from export.layouts.pixels import CLIP_MEAN, CLIP_STD, HALF
from export.prompt import BEGIN, END, IMAGE, SYSTEM

SIGLIP_L = SiglipSpec(384, 16, 1024, 24, 16, 4096, 1e-6, "gelu")
SAM_B = SamSpec(1024, 16, 768, 12, 12, 3072, 14, (2, 5, 8, 11), 256, (512, 1024), 96, 1e-6)
TINY_SIGLIP = SiglipSpec(64, 16, 48, 2, 4, 96, 1e-6, "gelu")
TINY_SAM = SamSpec(128, 16, 32, 3, 2, 64, 3, (1, 2), 12, (24, 48), 16, 1e-6)
DEMO_SIGLIP = SiglipSpec(32, 2, 96, 4, 3, 384, 1e-6, "gelu")
DEMO_SAM = SamSpec(192, 12, 96, 4, 3, 384, 8, (2,), 64, (128, 256), 64, 1e-6)
HIGH_PIXELS = (CLIP_MEAN, CLIP_STD)
DEMO_IDS = (1149, 1150, 1151)
TINY_IDS = (508, 509, 510)
PUBLISHED_IDS = (100000, 100001, 100015)


@dataclass(frozen=True)
class DecoderSize:
    width: int
    layers: int
    heads: int
    mlp_width: int
    vocab: int
    max_positions: int


LLAMA_1B = DecoderSize(2048, 24, 16, 5632, 102400, 16384)
LLAMA_7B = DecoderSize(4096, 30, 32, 11008, 102400, 16384)
DEMO_LLAMA = DecoderSize(192, 5, 6, 512, 1152, 2048)
TINY_LLAMA = DecoderSize(64, 2, 4, 128, 512, 2048)


def spec_from_parts(
    low: SiglipSpec, high: SamSpec | None, decoder: DecoderSize, ids: tuple[int, int, int]
) -> ModelSpec:
    bos_id, eos_id, image_id = ids
    mean = HALF if high is None else CLIP_MEAN
    red, green, blue = (int(value * 255) for value in mean)
    return ModelSpec(
        family="deepseek_vl",
        low=low,
        high=high,
        adaptor=AdaptorSpec(
            kind="mlp_gelu" if high is None else "hybrid_split_mlp_gelu",
            depth=2,
            low_width=low.width,
            high_width=0 if high is None else high.down_widths[1],
            width=decoder.width,
        ),
        decoder=DecoderSpec(
            width=decoder.width,
            layers=decoder.layers,
            heads=decoder.heads,
            kv_heads=decoder.heads,
            head_dim=decoder.width // decoder.heads,
            mlp_width=decoder.mlp_width,
            vocab=decoder.vocab,
            max_positions=decoder.max_positions,
            rope_theta=10000.0,
            norm_eps=1e-6,
            is_tied=False,
        ),
        preprocess=PreprocessSpec(
            low=PixelSpec(low.image_size, HALF, HALF),
            high=None if high is None else PixelSpec(high.image_size, *HIGH_PIXELS),
            background=(red, green, blue),
            min_side=14,
        ),
        prompt=PromptSpec(
            system=SYSTEM,
            user="User",
            assistant="Assistant",
            separator="\n\n",
            end=END,
            stop_strings=("User:", END),
            image_mark=IMAGE,
            image_id=image_id,
            bos_id=bos_id,
            eos_id=eos_id,
        ),
    )


SIZES: dict[str, ModelSpec] = {
    "tiny": spec_from_parts(TINY_SIGLIP, TINY_SAM, TINY_LLAMA, TINY_IDS),
    "tiny-low": spec_from_parts(TINY_SIGLIP, None, TINY_LLAMA, TINY_IDS),
    "1.3b": spec_from_parts(SIGLIP_L, None, LLAMA_1B, PUBLISHED_IDS),
    "1.3b-hybrid": spec_from_parts(SIGLIP_L, SAM_B, LLAMA_1B, PUBLISHED_IDS),
    "7b": spec_from_parts(SIGLIP_L, SAM_B, LLAMA_7B, PUBLISHED_IDS),
}
# What `demo.train` trains, with and without the high-resolution tower.
DEMO_HYBRID = spec_from_parts(DEMO_SIGLIP, DEMO_SAM, DEMO_LLAMA, DEMO_IDS)
DEMO_LOW = spec_from_parts(DEMO_SIGLIP, None, DEMO_LLAMA, DEMO_IDS)
SPECIAL_TOKENS = (BEGIN, END, IMAGE)
