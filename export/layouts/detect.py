"""Which layout a checkpoint has, told by its tensors; relatives that look alike are refused by name."""

from __future__ import annotations

from edge_runtime.errors import EdgeVLError, listed
from export.checkpoint import Checkpoint
from export.layouts.huggingface import TransformersLayout
from export.layouts.layout import Layout, has_tensor_under
from export.layouts.original import OriginalLayout

SUPPORTED = "edge-vl reads DeepSeek-VL 1.3B and 7B, in the original and in the transformers layout"
JANUS_TENSORS = (
    "gen_vision_model.",
    "gen_head.",
    "gen_aligner.",
    "gen_embed.",
    "vision_gen_enc_model.",
    "vision_gen_dec_model.",
    "model.vqmodel.",
    "model.generation_",
)
OCR_TENSORS = ("model.sam_model.", "model.qwen2_model.", "sam_model.")


def layout_from_checkpoint(checkpoint: Checkpoint) -> Layout:
    """The checkpoint's layout, never told by `model_type`, which Janus and DeepSeek-VL share."""
    refuse_janus(checkpoint)
    refuse_ocr(checkpoint)
    refuse_vl2(checkpoint)
    if has_tensor_under(checkpoint, "language_model.") and has_tensor_under(
        checkpoint, "vision_model.vision_tower"
    ):
        return OriginalLayout(has_tensor_under(checkpoint, "vision_model.vision_tower_"))
    if has_tensor_under(checkpoint, "model.language_model.") and has_tensor_under(
        checkpoint, "model.aligner."
    ):
        siglip = "model.vision_model"
        is_nested = has_tensor_under(checkpoint, f"{siglip}.vision_model.")
        has_high = has_tensor_under(checkpoint, "model.high_res_vision_")
        has_high |= checkpoint.config.has("high_res_vision_config")
        return TransformersLayout(f"{siglip}.vision_model" if is_nested else siglip, has_high)
    raise unknown(checkpoint)


def refuse_janus(checkpoint: Checkpoint) -> None:
    makes_images = any(key.startswith("gen_") and key.endswith("_config") for key in checkpoint.config.values)
    if makes_images or has_tensor_under(checkpoint, *JANUS_TENSORS):
        why = "it has an image generator (gen_* tensors), which DeepSeek-VL has not"
        raise EdgeVLError("EVL-CHECKPOINT-JANUS", "this is a Janus checkpoint", why, SUPPORTED)


def refuse_ocr(checkpoint: Checkpoint) -> None:
    architectures = str(checkpoint.config.values.get("architectures"))
    if "DeepseekOCR" in architectures or has_tensor_under(checkpoint, *OCR_TENSORS):
        why = "its towers and decoder are those of DeepSeek-OCR"
        raise EdgeVLError("EVL-CHECKPOINT-OCR", "this is a DeepSeek-OCR checkpoint", why, SUPPORTED)


def refuse_vl2(checkpoint: Checkpoint) -> None:
    has_tensors = has_tensor_under(checkpoint, "language.model.") and has_tensor_under(
        checkpoint, "projector."
    )
    if has_tensors or (checkpoint.config.has("projector_config") and checkpoint.config.has("tile_tag")):
        why = "its tiled vision and mixture-of-experts decoder are not supported yet"
        raise EdgeVLError("EVL-CHECKPOINT-VL2", "this is a DeepSeek-VL2 checkpoint", why, SUPPORTED)


def unknown(checkpoint: Checkpoint) -> EdgeVLError:
    model_type = str(checkpoint.config.values.get("model_type", "unknown"))
    beginnings = sorted({".".join(name.split(".")[:2]) for name in checkpoint.tensors})
    why = f"model_type is {model_type:.60}, tensors begin with {listed(beginnings) or 'nothing'}"
    return EdgeVLError("EVL-CHECKPOINT-UNKNOWN-MODEL", "this is no DeepSeek-VL checkpoint", why, SUPPORTED)
