"""From a checkpoint's config.json, tensors and tokenizer to the ModelSpec that everything else reads."""

from __future__ import annotations

from edge_runtime.errors import EdgeVLError
from edge_runtime.spec import ModelSpec
from export.checkpoint import Checkpoint
from export.layouts.detect import layout_from_checkpoint
from export.layouts.layout import refusing_bad_values
from export.prompt import prompt_from_checkpoint


def spec_from_checkpoint(checkpoint: Checkpoint) -> ModelSpec:
    """The model's spec; equal for both layouts of one model. Whatever does not add up is an EdgeVLError."""
    parts = layout_from_checkpoint(checkpoint).parts(checkpoint)
    prompt = prompt_from_checkpoint(checkpoint, parts.image_id, parts.decoder.vocab)
    with refusing_bad_values():
        spec = ModelSpec(
            family="deepseek_vl",
            low=parts.low,
            high=parts.high,
            adaptor=parts.adaptor,
            decoder=parts.decoder,
            preprocess=parts.preprocess,
            prompt=prompt,
        )
    check_token_count(checkpoint, spec)
    return spec


def check_token_count(checkpoint: Checkpoint, spec: ModelSpec) -> None:
    processor = checkpoint.document("processor_config.json")
    stated = processor.integer("num_image_tokens", spec.image_tokens)
    if stated != spec.image_tokens:
        why = f"processor_config.json says {stated} tokens an image, the tower gives {spec.image_tokens}"
        fix = "use the processor_config.json that was published with these weights"
        raise EdgeVLError("EVL-CHECKPOINT-CONFIG", "the processor does not fit the vision tower", why, fix)
