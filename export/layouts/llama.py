"""The LLaMA decoder, which both layouts describe and name alike."""

from __future__ import annotations

import torch

from edge_runtime.spec import DecoderSpec
from export.checkpoint import Checkpoint
from export.layouts.layout import Stems, refusing_bad_values
from export.section import Section

BLOCK = {
    "norm1": "input_layernorm",
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "norm2": "post_attention_layernorm",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}
MOST_LAYERS = 1000


def decoder_from_section(text: Section, is_tied: bool) -> DecoderSpec:
    """Reads a language_config or text_config; what it leaves out has LlamaConfig's defaults."""
    text.choice("model_type", ("llama",), "llama")
    text.choice("hidden_act", ("silu",), "silu")
    text.choice("attention_bias", (False,), False)
    text.choice("mlp_bias", (False,), False)
    width, heads = text.integer("hidden_size", 4096), text.integer("num_attention_heads", 32)
    if not text.has("head_dim") and width % heads:
        text.refuse("hidden_size", f"a multiple of the {heads} attention heads")
    with refusing_bad_values():
        return DecoderSpec(
            width=width,
            layers=text.integer("num_hidden_layers", 32, highest=MOST_LAYERS),
            heads=heads,
            kv_heads=text.integer("num_key_value_heads", heads),
            head_dim=text.integer("head_dim", width // heads),
            mlp_width=text.integer("intermediate_size", 11008),
            vocab=text.integer("vocab_size", 32000),
            max_positions=text.integer("max_position_embeddings", 2048),
            rope_theta=rope_theta_from_section(text),
            norm_eps=text.number("rms_norm_eps", 1e-6),
            is_tied=is_tied,
        )


def rope_theta_from_section(text: Section) -> float:
    """The rotary base. transformers 5 writes `rope_parameters`, earlier ones two keys."""
    theta = text.number("rope_theta", 10000.0)
    for key in ("rope_scaling", "rope_parameters"):
        rope = text.section(key)
        rope.choice("rope_type", ("default",), "default")
        rope.choice("type", ("default",), "default")  # the name of rope_type before transformers 4.45
        rope.choice("factor", (1.0,), 1.0)
        rope.choice("partial_rotary_factor", (1.0,), 1.0)
        theta = rope.number("rope_theta", theta)
    text.choice("partial_rotary_factor", (1.0,), 1.0)
    return theta


def embed_stems(model: str) -> Stems:
    return {"weight": (f"{model}.embed_tokens.weight",)}


def decoder_stems(decoder: DecoderSpec, model: str, head: str) -> Stems:
    """`model` holds the blocks; `head` is the LM head's module, unused where it is the embedding table."""
    stems = {"norm": (f"{model}.norm",), "head": (f"{model}.embed_tokens" if decoder.is_tied else head,)}
    for layer in range(decoder.layers):
        stems |= {
            f"blocks.{layer}.{ours}": (f"{model}.layers.{layer}.{theirs}",) for ours, theirs in BLOCK.items()
        }
    return stems


def tolerated_buffers(decoder: DecoderSpec, model: str) -> set[str]:
    """Rotary tables, which transformers before 4.32 saved with the weights."""
    blocks = {f"{model}.layers.{layer}.self_attn.rotary_emb.inv_freq" for layer in range(decoder.layers)}
    return blocks | {f"{model}.rotary_emb.inv_freq"}


def is_head_tied(checkpoint: Checkpoint, embedding: str, head: str, says_tied: bool) -> bool:
    """Whether the LM head is the embedding table; two tables that differ never are, whatever is said."""
    if not says_tied or head not in checkpoint.tensors:
        return says_tied
    one, other = checkpoint.tensors[head], checkpoint.tensors.get(embedding)
    if other is None or (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    pairs = zip(*(torch.split(checkpoint.read(name), 1024) for name in (head, embedding)), strict=True)
    return all(torch.equal(left, right) for left, right in pairs)
