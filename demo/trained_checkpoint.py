"""A trained model as a checkpoint folder in the transformers layout, the way its makers publish theirs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from demo.config_files import files_from_spec
from demo.safetensors_file import write_safetensors
from demo.tokenizer import tokenizer_files
from edge_runtime.publish import staged_folder
from edge_runtime.spec import ModelSpec, Role
from export.layouts.huggingface import TransformersLayout
from export.weights import Source, sources_from_naming

SIGLIP_PREFIX = "model.vision_model.vision_model"
WEIGHTS = "model.safetensors"
ITEM_BYTES = 2

State = Mapping[Role, Mapping[str, Tensor]]  # every role's parameters by canonical name


def write_trained_checkpoint(spec: ModelSpec, state: State, tokenizer: str, out: Path) -> None:
    """Writes `out`, which must not exist; weights are stored in fp16. Equal weights give equal bytes."""
    tensors = tensors_from_state(spec, state)
    with staged_folder(out) as folder:
        for name, content in files_from_spec(spec, "transformers").items():
            document = content | ({"dtype": "float32"} if name == "config.json" else {})
            (folder / name).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        for name, text in tokenizer_files(tokenizer, spec.image_tokens).items():
            (folder / name).write_text(text, encoding="utf-8")
        shapes = {name: tuple(tensor.shape) for name, tensor in sorted(tensors.items())}
        write_safetensors(
            folder / WEIGHTS, shapes, "F16", ITEM_BYTES, lambda name, _: [tensors[name].numpy().tobytes()]
        )


def tensors_from_state(spec: ModelSpec, state: State) -> dict[str, Tensor]:
    """Canonical parameters to the tensors of the files: what reading a checkpoint does, backwards."""
    naming = TransformersLayout(SIGLIP_PREFIX, spec.high is not None).naming(spec)
    tensors: dict[str, Tensor] = {}
    for role, sources in sources_from_naming(naming, spec).items():
        for name, source in sources.items():
            tensors |= stored_tensors(state[role][name], source)
    return tensors


def stored_tensors(parameter: Tensor, source: Source) -> dict[str, Tensor]:
    turned = parameter.t() if source.is_transposed else parameter
    assert bool((turned.abs() < torch.finfo(torch.float16).max).all()), "a weight outgrew fp16"
    parts = turned.to(torch.float16).reshape(-1, *source.stored_shape[1:]).chunk(len(source.tensors))
    return {
        tensor: part.reshape(source.stored_shape).contiguous()
        for tensor, part in zip(source.tensors, parts, strict=True)
    }
