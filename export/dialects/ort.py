"""The `ort` spelling: ONNX Runtime's fused operators, opset 20, understood from 1.23.2 on."""

from __future__ import annotations

import torch
from torch import Tensor

from edge_runtime.errors import EdgeVLError
from edge_runtime.spec import DecoderSpec
from export.modules.spelling import Cached, Eager, Rope, positions_from, rope_rows, rotated

CONTRIB = "com.microsoft"
HEAD_MULTIPLE = 8  # GroupQueryAttention takes heads of these sizes
ROTARY_HEAD_MULTIPLE = 16  # and rotates only these by itself


class OrtSpelling(Eager):
    """Writes attention, normalisation and the KV cache as ONNX Runtime's own operators."""

    def attention(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        heads = q.shape[2]
        out_width = heads * v.shape[3]
        out: Tensor = torch.onnx.ops.symbolic(
            f"{CONTRIB}::MultiHeadAttention",
            (q.flatten(2), k.flatten(2), v.flatten(2)),
            {"num_heads": heads, "scale": scale},
            dtype=q.dtype,
            shape=(q.shape[0], q.shape[1], out_width),
            version=1,
        )
        return out  # (B, S, H*Dv)

    def rms_norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        out: Tensor = torch.onnx.ops.symbolic(
            "SimplifiedLayerNormalization",
            (x, weight),
            {"axis": -1, "epsilon": eps, "stash_type": 1},
            dtype=x.dtype,
            shape=x.shape,
            version=1,
        )
        return out

    def cached_attention(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        past_key: Tensor,
        past_value: Tensor,
        write_index: Tensor,
        rope: Rope,
    ) -> Cached:
        steps = q.shape[1]
        is_rotated_inside = q.shape[3] % ROTARY_HEAD_MULTIPLE == 0
        if not is_rotated_inside:
            cos, sin = rope_rows(rope, positions_from(write_index, steps))
            q, k = rotated(q, cos, sin), rotated(k, cos, sin)
        tables = rope if is_rotated_inside else ()
        last_row = (write_index + (steps - 1)).to(torch.int32)  # (B,)
        total = (write_index.max() + steps).to(torch.int32)
        out, present_key, present_value = torch.onnx.ops.symbolic_multi_out(
            f"{CONTRIB}::GroupQueryAttention",
            (q.flatten(2), k.flatten(2), v.flatten(2), past_key, past_value, last_row, total, *tables),
            {
                "num_heads": q.shape[2],
                "kv_num_heads": k.shape[2],
                "do_rotary": int(is_rotated_inside),
                "rotary_interleaved": 0,
                "scale": q.shape[3] ** -0.5,
            },
            dtypes=(q.dtype, past_key.dtype, past_value.dtype),
            shapes=((q.shape[0], steps, q.shape[2] * q.shape[3]), past_key.shape, past_value.shape),
            version=1,
        )
        return out, present_key, present_value


def check_heads(decoder: DecoderSpec) -> None:
    """Raise EVL-DIALECT-HEADS where ONNX Runtime's attention cannot take the decoder's heads."""
    if decoder.head_dim % HEAD_MULTIPLE:
        raise EdgeVLError(
            "EVL-DIALECT-HEADS",
            "the ort dialect cannot say this decoder",
            f"its heads are {decoder.head_dim} wide, ONNX Runtime's attention wants a multiple of {HEAD_MULTIPLE}",
            "choose another dialect with --dialect, or a model with other heads",
        )
