"""Tiny random transformers models, our spec of them, and their weights under our names."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    DeepseekVLConfig,
    DeepseekVLForConditionalGeneration,
    DeepseekVLHybridConfig,
    DeepseekVLHybridForConditionalGeneration,
)

from edge_runtime.spec import (
    AdaptorSpec,
    DecoderSpec,
    ModelSpec,
    PixelSpec,
    PreprocessSpec,
    PromptSpec,
    Role,
    SamSpec,
    SiglipSpec,
)
from export.modules.reference import Reference
from tests.export.modules_state import State, adaptor_state, decoder_state, high_state, low_state

BAR = 1e-4
EOS = 2


@dataclass(frozen=True)
class Sizes:
    """What varies between random models. `sam` is None for a model without that tower."""

    low: dict[str, int]
    text: dict[str, Any]
    sam: dict[str, Any] | None = None

    @property
    def vocab(self) -> int:
        return int(self.text["vocab_size"])

    @property
    def image_id(self) -> int:
        return self.vocab - 12


def low(hidden: int, heads: int, layers: int, image: int, patch: int) -> dict[str, int]:
    return {
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden + 8,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "image_size": image,
        "patch_size": patch,
    }


def text(hidden: int, heads: int, kv_heads: int, head_dim: int, layers: int, theta: float) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "vocab_size": 320,
        "max_position_embeddings": 512,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
    }


def sam(
    hidden: int, heads: int, layers: int, image: int, patch: int, window: int, whole: Sequence[int]
) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "output_channels": 8,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "image_size": image,
        "patch_size": patch,
        "window_size": window,
        "global_attn_indexes": list(whole),
        "mlp_dim": 2 * hidden,
    }


PLAIN = {
    "square": Sizes(low(48, 4, 2, 96, 16), text(64, 4, 4, 16, 2, 10000.0)),
    "ragged-patches": Sizes(low(40, 5, 3, 75, 14), text(60, 6, 2, 24, 3, 5000.0)),
    "one-kv-head": Sizes(low(32, 2, 1, 40, 8), text(48, 3, 1, 16, 2, 10000.0)),
}
HYBRID = {
    "padded-windows": Sizes(
        low(48, 4, 2, 96, 16), text(64, 4, 4, 16, 2, 10000.0), sam(24, 2, 4, 256, 16, 7, [1, 3])
    ),
    "whole-windows": Sizes(
        low(40, 5, 2, 60, 12), text(60, 6, 2, 24, 2, 5000.0), sam(36, 3, 5, 96, 8, 4, [2, 4])
    ),
    "window-wider-than-grid": Sizes(
        low(32, 2, 1, 48, 12), text(48, 3, 1, 16, 3, 10000.0), sam(32, 4, 3, 80, 16, 6, [0])
    ),
}
EVERY = {**PLAIN, **HYBRID}


@dataclass(frozen=True)
class Oracle:
    """A transformers model with nothing left at zero, and our reference with the same weights."""

    sizes: Sizes
    spec: ModelSpec
    model: Any
    states: Mapping[Role, State] = field(repr=False)

    def reference(self, dtype: torch.dtype = torch.float32) -> Reference:
        return Reference.load(self.spec, self.read, dtype)

    def read(self, role: Role, dtype: torch.dtype) -> State:
        return {name: tensor.to(dtype) for name, tensor in self.states[role].items()}

    def pixels(self, seed: int, count: int = 1) -> dict[str, Tensor]:
        """Keyword arguments of the transformers model: one row a picture."""
        draw = torch.Generator().manual_seed(seed)
        side = self.spec.low.image_size
        feed = {"pixel_values": torch.randn(count, 3, side, side, generator=draw)}
        if self.spec.high is not None:
            side = self.spec.high.image_size
            feed["high_res_pixel_values"] = torch.randn(count, 3, side, side, generator=draw)
        return feed

    def ids(self, seed: int, *pieces: int) -> Tensor:
        """(1, S) random text of the given lengths with one picture's placeholders between."""
        draw = random.Random(seed)
        ids: list[int] = []
        for i, length in enumerate(pieces):
            ids += [self.sizes.image_id] * (self.spec.image_tokens if i else 0)
            ids += [draw.randrange(3, self.sizes.image_id) for _ in range(length)]
        return torch.tensor([ids])

    def merged(self, reference: Reference, ids: Tensor, feed: Mapping[str, Tensor]) -> Tensor:
        """(1, S, D): our embeddings with our image tokens in their places."""
        embeds = reference.embed(ids).clone()
        if feed:
            tokens = reference.vision(feed["pixel_values"], feed.get("high_res_pixel_values"))
            embeds[ids == self.sizes.image_id] = tokens.flatten(0, 1)
        return embeds


def oracle(sizes: Sizes, seed: int = 0) -> Oracle:
    text_config = dict(model_type="llama", pad_token_id=0, bos_token_id=1, eos_token_id=EOS, **sizes.text)
    vision_config = dict(
        model_type="siglip_vision_model", hidden_act="gelu", vision_use_head=False, **sizes.low
    )
    common: dict[str, Any] = {
        "text_config": text_config,
        "vision_config": vision_config,
        "image_token_id": sizes.image_id,
        "tie_word_embeddings": False,
    }
    model: Any
    if sizes.sam is None:
        model = DeepseekVLForConditionalGeneration(DeepseekVLConfig(**common))
    else:
        common["high_res_vision_config"] = dict(model_type="sam_vision_model", **sizes.sam)
        model = DeepseekVLHybridForConditionalGeneration(DeepseekVLHybridConfig(**common))
    model.eval().requires_grad_(False)
    randomise(model, seed)
    model.generation_config.eos_token_id = None
    return Oracle(sizes, spec_from_sizes(sizes), model, states_from(model, sizes))


def randomise(model: nn.Module, seed: int) -> None:
    """transformers leaves alpha, positions and biases at zero, which would hide what they do."""
    draw = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        values = torch.randn(parameter.shape, generator=draw)
        if "norm" in name and name.endswith("weight"):
            values = 1 + 0.2 * values
        elif name.endswith("alpha"):
            values = torch.full_like(values, 0.37)
        elif parameter.dim() >= 2 and not any(s in name for s in ("rel_pos", "pos_embed", "embed")):
            values = values / parameter[0].numel() ** 0.5
        else:
            values = 0.5 * values
        parameter.copy_(values)
        assert bool((parameter != 0).all()), f"{name} was left at zero"


def spec_from_sizes(sizes: Sizes) -> ModelSpec:
    side = sizes.low["image_size"]
    siglip, grid = siglip_spec(sizes.low), side // sizes.low["patch_size"]
    width = int(sizes.text["hidden_size"])
    high, adaptor = None, AdaptorSpec("mlp_gelu", 2, siglip.width, 0, width)
    if sizes.sam is not None:
        high = sam_spec(sizes.sam, 4 * grid)
        adaptor = AdaptorSpec("hybrid_split_mlp_gelu", 2, siglip.width, high.down_widths[1], width)
    half = (0.5, 0.5, 0.5)
    return ModelSpec(
        family="deepseek_vl",
        low=siglip,
        high=high,
        adaptor=adaptor,
        decoder=decoder_spec(sizes.text),
        preprocess=PreprocessSpec(
            low=PixelSpec(side, half, half),
            high=None if high is None else PixelSpec(high.image_size, half, half),
            background=(127, 127, 127),
            min_side=14,
        ),
        prompt=PromptSpec("", "User", "Assistant", "\n\n", "", (), "<image>", sizes.image_id, 1, EOS),
    )


def siglip_spec(sizes: Mapping[str, int]) -> SiglipSpec:
    return SiglipSpec(
        image_size=sizes["image_size"],
        patch_size=sizes["patch_size"],
        width=sizes["hidden_size"],
        layers=sizes["num_hidden_layers"],
        heads=sizes["num_attention_heads"],
        mlp_width=sizes["intermediate_size"],
        norm_eps=1e-6,
        activation="gelu",
    )


def sam_spec(sizes: Mapping[str, Any], resized_grid: int) -> SamSpec:
    neck = sizes["output_channels"]
    return SamSpec(
        image_size=sizes["image_size"],
        patch_size=sizes["patch_size"],
        width=sizes["hidden_size"],
        layers=sizes["num_hidden_layers"],
        heads=sizes["num_attention_heads"],
        mlp_width=sizes["mlp_dim"],
        window=sizes["window_size"],
        global_blocks=tuple(sizes["global_attn_indexes"]),
        neck_width=neck,
        down_widths=(2 * neck, 4 * neck),
        resized_grid=resized_grid,
        norm_eps=1e-6,
    )


def decoder_spec(sizes: Mapping[str, Any]) -> DecoderSpec:
    return DecoderSpec(
        width=sizes["hidden_size"],
        layers=sizes["num_hidden_layers"],
        heads=sizes["num_attention_heads"],
        kv_heads=sizes["num_key_value_heads"],
        head_dim=sizes["head_dim"],
        mlp_width=sizes["intermediate_size"],
        vocab=sizes["vocab_size"],
        max_positions=sizes["max_position_embeddings"],
        rope_theta=sizes["rope_parameters"]["rope_theta"],
        norm_eps=1e-6,
        is_tied=False,
    )


def states_from(model: nn.Module, sizes: Sizes) -> dict[Role, State]:
    held = model.state_dict()
    states: dict[Role, State] = {
        "vision_low": low_state(held, "model.vision_model", sizes.low["num_hidden_layers"]),
        "adaptor": adaptor_state(held, is_hybrid=sizes.sam is not None),
        "embed": {"weight": held["model.language_model.embed_tokens.weight"]},
        "decoder": decoder_state(held, sizes.text["num_hidden_layers"]),
    }
    if sizes.sam is not None:
        states["vision_high"] = high_state(held, sizes.sam["num_hidden_layers"])
    return states


def assert_close(
    ours: Tensor, theirs: Tensor, bar: float = BAR, note: Callable[[str], None] = lambda _: None
) -> None:
    assert ours.shape == theirs.shape, f"{list(ours.shape)} is not {list(theirs.shape)}"
    gap = (ours.double() - theirs.double()).abs()
    said = f"max {gap.max():.3g}, mean {gap.mean():.3g} over values up to {theirs.abs().max():.3g}"
    note(said)
    assert gap.max() <= bar, said
    assert theirs.double().std() > 0.05, "the oracle says almost nothing"
