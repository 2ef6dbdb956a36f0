"""transformers weights under our names, written without the checkpoint reader they will test."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

State = dict[str, Tensor]


def linear(held: Mapping[str, Tensor], ours: str, theirs: str, *, has_bias: bool = True) -> State:
    """torch keeps a linear [N, K], we keep it [K, N]."""
    state = {f"{ours}.weight": held[f"{theirs}.weight"].T.contiguous()}
    return {**state, f"{ours}.bias": held[f"{theirs}.bias"]} if has_bias else state


def same(held: Mapping[str, Tensor], ours: str, theirs: str) -> State:
    return {f"{ours}.{kind}": held[f"{theirs}.{kind}"] for kind in ("weight", "bias")}


def low_state(held: Mapping[str, Tensor], prefix: str, layers: int) -> State:
    state = same(held, "patch", f"{prefix}.embeddings.patch_embedding")
    state["position"] = held[f"{prefix}.embeddings.position_embedding.weight"]
    state |= same(held, "norm", f"{prefix}.post_layernorm")
    for i in range(layers):
        ours, theirs = f"blocks.{i}", f"{prefix}.encoder.layers.{i}"
        for kind in ("weight", "bias"):
            parts = [held[f"{theirs}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
            state[f"{ours}.qkv.{kind}"] = (
                torch.cat(parts).T.contiguous() if kind == "weight" else torch.cat(parts)
            )
        state |= linear(held, f"{ours}.proj", f"{theirs}.self_attn.out_proj")
        for n in "12":
            state |= same(held, f"{ours}.norm{n}", f"{theirs}.layer_norm{n}")
            state |= linear(held, f"{ours}.fc{n}", f"{theirs}.mlp.fc{n}")
    return state


def high_state(held: Mapping[str, Tensor], layers: int) -> State:
    encoder = "model.high_res_vision_model.vision_encoder"
    state = same(held, "patch", f"{encoder}.patch_embed.projection")
    state["position"] = held[f"{encoder}.pos_embed"][0]
    state["alpha"] = held["model.high_res_vision_alpha"]
    for i in range(layers):
        ours, theirs = f"blocks.{i}", f"{encoder}.layers.{i}"
        state |= linear(held, f"{ours}.qkv", f"{theirs}.attn.qkv")
        state |= linear(held, f"{ours}.proj", f"{theirs}.attn.proj")
        state |= {f"{ours}.rel_{axis}": held[f"{theirs}.attn.rel_pos_{axis}"] for axis in "hw"}
        for n in "12":
            state |= same(held, f"{ours}.norm{n}", f"{theirs}.layer_norm{n}")
            state |= linear(held, f"{ours}.fc{n}", f"{theirs}.mlp.lin{n}")
    for ours, theirs in (("neck", f"{encoder}.neck"), ("side", "model.high_res_vision_neck")):
        for n in "12":
            state[f"{ours}.conv{n}.weight"] = held[f"{theirs}.conv{n}.weight"]
            state |= same(held, f"{ours}.norm{n}", f"{theirs}.layer_norm{n}")
    state |= {f"down{n}.weight": held[f"model.high_res_vision_proj.conv{n}.weight"] for n in "12"}
    return state


def adaptor_state(held: Mapping[str, Tensor], *, is_hybrid: bool) -> State:
    names = {"fc.0": "linear1", "fc.1": "linear2"}
    if is_hybrid:
        names = {"high": "high_res_vision_proj", "low": "vision_proj", "fc.0": "proj"}
    state: State = {}
    for ours, theirs in names.items():
        state |= linear(held, ours, f"model.aligner.{theirs}")
    return state


def decoder_state(held: Mapping[str, Tensor], layers: int) -> State:
    state = {"norm.weight": held["model.language_model.norm.weight"]}
    state |= linear(held, "head", "lm_head", has_bias=False)
    for i in range(layers):
        ours, theirs = f"blocks.{i}", f"model.language_model.layers.{i}"
        state[f"{ours}.norm1.weight"] = held[f"{theirs}.input_layernorm.weight"]
        state[f"{ours}.norm2.weight"] = held[f"{theirs}.post_attention_layernorm.weight"]
        for part in "qkvo":
            state |= linear(held, f"{ours}.{part}", f"{theirs}.self_attn.{part}_proj", has_bias=False)
        for part in ("gate", "up", "down"):
            state |= linear(held, f"{ours}.{part}", f"{theirs}.mlp.{part}_proj", has_bias=False)
    return state
