"""The towers of the original layout: named in config.json, sized by a registry or by keys of their own.

The published files only name a registered model (`siglip_large_patch16_384`, `sam_b_downsample`). A tower of
another size keeps that name and states `width`, `layers` and `heads` (SigLIP) or `width` and `layers` (SAM)
beside it, as DeepSeek-VL2's configs do; the other keys of the registry may be stated too. Stated or registered,
a number is checked against the tensors' shapes: a checkpoint with its last blocks cut off is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from edge_runtime.errors import EdgeVLError
from edge_runtime.spec import SamSpec, SiglipSpec
from export.checkpoint import Checkpoint
from export.layouts.layout import count_of, refusing_bad_values, shape_of
from export.section import Section

Size = int | tuple[int, ...]
Sizes = Mapping[str, Size]

SIGLIP_REGISTRY: Mapping[str, Sizes] = {
    "siglip_large_patch16_384": {
        "width": 1024,
        "layers": 24,
        "heads": 16,
        "patch_size": 16,
        "image_size": 384,
        "mlp_width": 4096,
    },
}
SAM_REGISTRY: Mapping[str, Sizes] = {
    "sam_b_downsample": {
        "width": 768,
        "layers": 12,
        "heads": 12,
        "patch_size": 16,
        "image_size": 1024,
        "mlp_width": 3072,
        "window_size": 14,
        "global_attn_indexes": (2, 5, 8, 11),
        "prompt_embed_dim": 256,
        "downsample_channels": (512, 1024),
    },
}
NORM_EPS = 1e-6


def siglip_from_original(checkpoint: Checkpoint, params: Section, tower: str) -> SiglipSpec:
    """The low tower. Heads leave no trace in any shape, so they are registered or stated."""
    stated = stated_sizes(params, SIGLIP_REGISTRY, ("width", "layers", "heads"))
    check_last_layer(params)  # select_feature is not read: the original overrules it for SigLIP
    width, _, patch_size, _ = shape_of(checkpoint, f"{tower}.patch_embed.proj.weight", 4)
    tokens = shape_of(checkpoint, f"{tower}.pos_embed", 3)[1]
    image_size = params.side("image_size", 384)
    heads = stated["heads"]
    assert isinstance(heads, int)
    found: Sizes = {
        "width": width,
        "layers": count_of(checkpoint, f"{tower}.blocks."),
        "heads": heads,
        "patch_size": patch_size,
        # 384 pixels in patches of 14 leave 6 over, so only the grid can be compared.
        "image_size": image_size
        if math.isqrt(tokens) == image_size // patch_size
        else math.isqrt(tokens) * patch_size,
        "mlp_width": shape_of(checkpoint, f"{tower}.blocks.0.mlp.fc1.weight", 2)[0],
    }
    check_sizes(params, stated | {"image_size": image_size}, found)
    with refusing_bad_values():
        return SiglipSpec(
            image_size=image_size,
            patch_size=patch_size,
            width=width,
            layers=whole(found["layers"]),
            heads=heads,
            mlp_width=whole(found["mlp_width"]),
            norm_eps=NORM_EPS,
            activation="gelu",
        )


def sam_from_original(checkpoint: Checkpoint, params: Section, tower: str, low_grid: int) -> SamSpec:
    """The high tower, told by its shapes alone; `low_grid` is the token grid that it must meet."""
    stated = stated_sizes(params, SAM_REGISTRY, ("width", "layers"))
    check_last_layer(params)
    params.choice("select_feature", ("same", "cls_patch"), "same")  # "patch" would drop a channel here
    width, _, patch_size, _ = shape_of(checkpoint, f"{tower}.patch_embed.proj.weight", 4)
    grid = shape_of(checkpoint, f"{tower}.pos_embed", 4)[1]
    layers = count_of(checkpoint, f"{tower}.blocks.")
    offsets = [shape_of(checkpoint, f"{tower}.blocks.{block}.attn.rel_pos_h", 2) for block in range(layers)]
    if not offsets:
        shape_of(checkpoint, f"{tower}.blocks.0.attn.rel_pos_h", 2)
    window, global_blocks = windows_from_offsets([length for length, _ in offsets], grid, stated)
    image_size = params.side("image_size", 1024)
    neck = shape_of(checkpoint, f"{tower}.neck.0.weight", 4)[0]
    downs = [shape_of(checkpoint, f"{tower}.downsamples.{step}.weight", 4)[0] for step in (0, 1)]
    found: Sizes = {
        "width": width,
        "layers": layers,
        "heads": width // offsets[0][1],
        "patch_size": patch_size,
        "image_size": grid * patch_size,
        "mlp_width": shape_of(checkpoint, f"{tower}.blocks.0.mlp.lin1.weight", 2)[0],
        "window_size": window,
        "global_attn_indexes": global_blocks,
        "prompt_embed_dim": neck,
        "downsample_channels": tuple(downs),
    }
    check_sizes(params, stated | {"image_size": image_size}, found)
    with refusing_bad_values():
        return SamSpec(
            image_size=image_size,
            patch_size=patch_size,
            width=width,
            layers=layers,
            heads=whole(found["heads"]),
            mlp_width=whole(found["mlp_width"]),
            window=window,
            global_blocks=global_blocks,
            neck_width=neck,
            down_widths=(downs[0], downs[1]),
            resized_grid=4 * low_grid,  # 96 for the published 24: two convolutions halve it to the low grid
            norm_eps=NORM_EPS,
        )


def stated_sizes(
    params: Section, registry: Mapping[str, Sizes], required: tuple[str, ...]
) -> dict[str, Size]:
    """What config.json says about the tower: the registered sizes, or its own where it states them."""
    name = params.text("model_name")
    if name not in registry:
        params.refuse("model_name", " or ".join(registry))
    registered = dict(registry[name])
    given = {key: stated_size(params, key, value) for key, value in registered.items() if params.has(key)}
    if not any(key in given for key in required):
        return registered | given
    for key in required:
        params.integer(key)
    return given


def stated_size(params: Section, key: str, registered: Size) -> Size:
    if key == "image_size":
        return params.side(key, whole(registered))
    return params.integers(key, ()) if isinstance(registered, tuple) else params.integer(key)


def check_sizes(params: Section, stated: Sizes, found: Sizes) -> None:
    wrong = [f"{key} is {found[key]}, not {value}" for key, value in stated.items() if found[key] != value]
    if wrong:
        why = f"the tensors say: {'; '.join(wrong)}"
        fix = "use the weights of this config.json, or state the tower's own width, layers and heads there"
        raise EdgeVLError("EVL-CHECKPOINT-SHAPE", f"the tower does not fit {params.where}", why, fix)


def windows_from_offsets(lengths: list[int], grid: int, stated: Sizes) -> tuple[int, tuple[int, ...]]:
    """Window side and global blocks, from how many relative positions each block knows (2 * side - 1)."""
    sides = {(length + 1) // 2 for length in lengths} - {grid}
    if len(sides) > 1 or any(length % 2 == 0 for length in lengths):
        why = f"the blocks know {sorted(set(lengths))} relative positions on a grid of {grid}"
        fix = "use the checkpoint as published"
        raise EdgeVLError("EVL-CHECKPOINT-SHAPE", "SAM's blocks do not share one window", why, fix)
    blocks = tuple(block for block, length in enumerate(lengths) if length == 2 * grid - 1)
    if sides:
        return sides.pop(), blocks
    # Every block sees the whole grid: only the config can tell which of them count as global.
    named = stated.get("global_attn_indexes", blocks)
    return grid, named if isinstance(named, tuple) else blocks


def check_last_layer(params: Section) -> None:
    """Only the last block's output is a feature here."""
    params.choice("select_layer", (-1,), -1)


def whole(size: Size) -> int:
    assert isinstance(size, int)
    return size
