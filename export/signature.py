"""The inputs and outputs of every role: names, shapes and types. Dialects differ in the decoder's form alone."""

from __future__ import annotations

import torch

from edge_runtime.manifest import PAST, PRESENT
from edge_runtime.spec import ModelSpec, Role
from export.islands import Islands
from export.modules.form import PLAIN, DecoderForm
from export.trace import Signature, TracePort

NO_ISLANDS = Islands()


def signature_from_role(
    role: Role,
    spec: ModelSpec,
    dtype: torch.dtype,
    islands: Islands = NO_ISLANDS,
    form: DecoderForm = PLAIN,
) -> Signature:
    """In `dtype`, except where an fp32 island is the first or the last layer."""
    taken, given = islands.input_dtype(role, dtype), islands.output_dtype(role, spec, dtype)
    if role == "decoder":
        return decoder_signature(spec, islands.base(dtype), taken, given, form)
    if role == "adaptor":
        return adaptor_signature(spec, taken, given)
    tower = spec.high if role == "vision_high" else spec.low
    assert tower is not None, f"{role} is not a role of this model"
    size = tower.image_size
    width = spec.adaptor.high_width if role == "vision_high" else spec.adaptor.low_width
    return Signature(
        inputs=(TracePort("pixels", ("batch", 3, size, size), taken),),
        outputs=(TracePort("features", ("batch", spec.image_tokens, width), given),),
    )


def adaptor_signature(spec: ModelSpec, taken: torch.dtype, given: torch.dtype) -> Signature:
    widths = {"high": spec.adaptor.high_width, "low": spec.adaptor.low_width}
    return Signature(
        inputs=tuple(
            TracePort(name, ("batch", spec.image_tokens, width), taken)
            for name, width in widths.items()
            if width
        ),
        outputs=(TracePort("embeds", ("batch", spec.image_tokens, spec.adaptor.width), given),),
    )


def decoder_signature(
    spec: ModelSpec, cached: torch.dtype, taken: torch.dtype, given: torch.dtype, form: DecoderForm
) -> Signature:
    decoder = spec.decoder
    cache = ("batch", decoder.kv_heads, form.capacity or "capacity", decoder.head_dim)
    candidates = ("batch", "rows", min(form.candidates, decoder.vocab))
    chosen = (
        TracePort("top_values", candidates, torch.float32),
        TracePort("top_ids", candidates, torch.int64),
    )
    slots = [(layer, kind) for layer in range(decoder.layers) for kind in ("key", "value")]
    return Signature(
        inputs=(
            TracePort("inputs_embeds", ("batch", "sequence", decoder.width), taken),
            TracePort("write_index", ("batch",), torch.int64),
            TracePort("logit_index", ("batch", "rows"), torch.int64),
            *(TracePort(f"{PAST}{layer}.{kind}", cache, cached) for layer, kind in slots),
        ),
        outputs=(
            TracePort("logits", ("batch", "rows", decoder.vocab), given),
            *(chosen if form.candidates else ()),
            *(TracePort(f"{PRESENT}{layer}.{kind}", cache, cached) for layer, kind in slots),
        ),
        pairs=decoder.layers,
    )
