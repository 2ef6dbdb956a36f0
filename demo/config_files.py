"""config.json and its neighbours, as each layout writes them."""

from __future__ import annotations

from edge_runtime.spec import DecoderSpec, ModelSpec, SamSpec, SiglipSpec
from export.layouts.original_towers import SAM_REGISTRY, SIGLIP_REGISTRY

Json = dict[str, object]


def files_from_spec(spec: ModelSpec, layout: str) -> dict[str, Json]:
    """File name to content, the tokenizer left out."""
    if layout == "original":
        return {"config.json": original_config(spec), "preprocessor_config.json": original_processor(spec)}
    return {
        "config.json": transformers_config(spec),
        "preprocessor_config.json": transformers_processor(spec),
        "generation_config.json": {"bos_token_id": spec.prompt.bos_id, "eos_token_id": spec.prompt.eos_id},
    }


def original_config(spec: ModelSpec) -> Json:
    return {
        "model_type": "multi_modality",
        "architectures": ["MultiModalityCausalLM"],
        "torch_dtype": "bfloat16",
        "vision_config": original_vision(spec),
        "aligner_config": {
            "cls": "MlpProjector",
            "model_type": "aligner",
            "params": {
                "depth": spec.adaptor.depth,
                "input_dim": spec.adaptor.low_width,
                "n_embed": spec.adaptor.width,
                "projector_type": "mlp_gelu" if spec.high is None else "low_high_hybrid_split_mlp_gelu",
            },
        },
        "language_config": {"model_type": "llama", **llama(spec.decoder)},
    }


def original_vision(spec: ModelSpec) -> Json:
    low: Json = {
        "model_name": "siglip_large_patch16_384",
        "image_size": spec.low.image_size,
        "select_feature": "same",
        "select_layer": -1,
        **stated_siglip(spec.low),
    }
    if spec.high is None or spec.preprocess.high is None:
        return {"cls": "CLIPVisionTower", "model_type": "vision", "params": low}
    pixels = spec.preprocess.low
    low |= {"pixel_mean": list(pixels.mean), "pixel_std": list(pixels.std)}
    pixels = spec.preprocess.high
    high: Json = {
        "model_name": "sam_b_downsample",
        "image_size": spec.high.image_size,
        "select_feature": "same",
        "select_layer": -1,
        "pixel_mean": list(pixels.mean),
        "pixel_std": list(pixels.std),
        **stated_sam(spec.high),
    }
    params: Json = {"concat_type": "tuple", "freeze_high": True, "high_res_cfg": high, "low_res_cfg": low}
    return {"cls": "HybridVisionTower", "model_type": "vision", "params": params}


def stated_siglip(tower: SiglipSpec) -> Json:
    """The published files only name their towers; other sizes are stated beside the name."""
    found = {
        "width": tower.width,
        "layers": tower.layers,
        "heads": tower.heads,
        "patch_size": tower.patch_size,
        "mlp_width": tower.mlp_width,
    }
    registered = SIGLIP_REGISTRY["siglip_large_patch16_384"]
    return {} if all(registered[key] == value for key, value in found.items()) else {**found}


def stated_sam(tower: SamSpec) -> Json:
    found = {
        "width": tower.width,
        "layers": tower.layers,
        "heads": tower.heads,
        "patch_size": tower.patch_size,
        "mlp_width": tower.mlp_width,
        "window_size": tower.window,
        "global_attn_indexes": tower.global_blocks,
        "prompt_embed_dim": tower.neck_width,
        "downsample_channels": tower.down_widths,
    }
    registered = SAM_REGISTRY["sam_b_downsample"]
    return {} if all(registered[key] == value for key, value in found.items()) else {**found}


def original_processor(spec: ModelSpec) -> Json:
    pixels = spec.preprocess.low if spec.preprocess.high is None else spec.preprocess.high
    return {
        "image_processor_type": "VLMImageProcessor",
        "image_size": spec.preprocess.canvas,
        "image_mean": list(pixels.mean),
        "image_std": list(pixels.std),
        "min_size": spec.preprocess.min_side,
        "rescale_factor": 1 / 255,
        "do_normalize": spec.high is None,
    }


def transformers_config(spec: ModelSpec) -> Json:
    config: Json = {
        "model_type": "deepseek_vl" if spec.high is None else "deepseek_vl_hybrid",
        "dtype": "bfloat16",
        "image_token_id": spec.prompt.image_id,
        "tie_word_embeddings": False,
        "text_config": {
            "model_type": "llama",
            **llama(spec.decoder),
            "bos_token_id": spec.prompt.bos_id,
            "eos_token_id": spec.prompt.eos_id,
            "pad_token_id": spec.prompt.eos_id,
        },
        "vision_config": siglip(spec.low),
    }
    if spec.high is not None:
        config["high_res_vision_config"] = sam(spec.high)
    return config


def transformers_processor(spec: ModelSpec) -> Json:
    low = spec.preprocess.low
    side = {"height": low.size, "width": low.size}
    processor: Json = {
        "size": side,
        "image_mean": list(low.mean),
        "image_std": list(low.std),
        "min_size": spec.preprocess.min_side,
        "do_normalize": True,
    }
    if spec.preprocess.high is None:
        return processor
    high = spec.preprocess.high
    return processor | {
        "resample": 2,
        "high_res_size": {"height": high.size, "width": high.size},
        "high_res_image_mean": list(high.mean),
        "high_res_image_std": list(high.std),
        "high_res_resample": 3,
    }


def llama(decoder: DecoderSpec) -> Json:
    return {
        "hidden_size": decoder.width,
        "intermediate_size": decoder.mlp_width,
        "num_hidden_layers": decoder.layers,
        "num_attention_heads": decoder.heads,
        "num_key_value_heads": decoder.kv_heads,
        "vocab_size": decoder.vocab,
        "max_position_embeddings": decoder.max_positions,
        "rms_norm_eps": decoder.norm_eps,
        "rope_theta": decoder.rope_theta,
    }


def siglip(tower: SiglipSpec) -> Json:
    return {
        "model_type": "siglip_vision_model",
        "hidden_size": tower.width,
        "intermediate_size": tower.mlp_width,
        "num_hidden_layers": tower.layers,
        "num_attention_heads": tower.heads,
        "image_size": tower.image_size,
        "patch_size": tower.patch_size,
        "hidden_act": tower.activation,
        "layer_norm_eps": tower.norm_eps,
        "vision_use_head": False,
    }


def sam(tower: SamSpec) -> Json:
    return {
        "model_type": "sam_vision_model",
        "hidden_size": tower.width,
        "output_channels": tower.neck_width,
        "num_hidden_layers": tower.layers,
        "num_attention_heads": tower.heads,
        "image_size": tower.image_size,
        "patch_size": tower.patch_size,
        "window_size": tower.window,
        "global_attn_indexes": list(tower.global_blocks),
        "mlp_dim": tower.mlp_width,
        "layer_norm_eps": tower.norm_eps,
    }
