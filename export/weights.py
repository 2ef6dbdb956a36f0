"""The plan from canonical parameters to a checkpoint's tensors, made strictly and read lazily."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from edge_runtime.errors import EdgeVLError, listed
from edge_runtime.spec import ModelSpec, Role
from export.checkpoint import Checkpoint
from export.layouts.detect import layout_from_checkpoint
from export.layouts.layout import Naming, Shape, Stems
from export.layouts.parameters import Parameter, parameters_from_spec

FLOAT_TYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


@dataclass(frozen=True)
class Source:
    """Where one parameter comes from: tensors of one shape, joined on dimension 0, turned if it is linear."""

    tensors: tuple[str, ...]
    stored_shape: Shape  # of each tensor in the file
    shape: Shape  # of the parameter
    is_transposed: bool


class WeightPlan:
    """Every parameter of the model and its source, all of them known to be there and to fit."""

    def __init__(self, checkpoint: Checkpoint, sources: Mapping[Role, Mapping[str, Source]]) -> None:
        self._checkpoint = checkpoint
        self.sources = sources

    def read(self, role: Role, name: str) -> torch.Tensor:
        """One parameter in its stored type: a view of the mapped file, unless its parts had to be joined."""
        source = self.sources[role][name]
        parts = [self._checkpoint.read(tensor) for tensor in source.tensors]
        tensor = parts[0] if len(parts) == 1 else torch.cat(parts)
        if source.is_transposed:
            tensor = tensor.t()
        return tensor.view(source.shape) if tensor.dim() != len(source.shape) else tensor

    def state_dict(self, role: Role, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        """All parameters of a role; those already of this type stay views of the mapped file."""
        return {name: self.read(role, name).to(dtype) for name in self.sources[role]}


def plan_from_checkpoint(checkpoint: Checkpoint, spec: ModelSpec) -> WeightPlan:
    """Strict: every tensor is used or known to be idle and none is missing, or an EdgeVLError lists them."""
    naming = layout_from_checkpoint(checkpoint).naming(spec)
    sources = sources_from_naming(naming, spec)
    wanted = used_tensors(sources)
    check_names(checkpoint, wanted, naming)
    check_shapes(checkpoint, wanted)
    check_types(checkpoint, wanted)
    return WeightPlan(checkpoint, sources)


def tensors_from_naming(naming: Naming, spec: ModelSpec) -> dict[str, Shape]:
    """Every tensor of the published files in this layout, idle ones too."""
    return used_tensors(sources_from_naming(naming, spec)) | dict(naming.discarded)


def used_tensors(sources: Mapping[Role, Mapping[str, Source]]) -> dict[str, Shape]:
    return {
        tensor: source.stored_shape
        for role in sources.values()
        for source in role.values()
        for tensor in source.tensors
    }


def sources_from_naming(naming: Naming, spec: ModelSpec) -> dict[Role, dict[str, Source]]:
    return {
        role: {
            name: source_of(name, parameter, naming.stems[role], role in naming.positions_with_batch)
            for name, parameter in parameters.items()
        }
        for role, parameters in parameters_from_spec(spec).items()
    }


def source_of(name: str, parameter: Parameter, stems: Stems, is_position_batched: bool) -> Source:
    module, _, kind = name.rpartition(".")
    tensors = stems[name] if name in stems else tuple(f"{stem}.{kind}" for stem in stems[module])
    stored = parameter.shape[::-1] if parameter.is_linear else parameter.shape
    if name == "position" and is_position_batched:
        stored = (1, *stored)
    assert stored[0] % len(tensors) == 0
    stored = (stored[0] // len(tensors), *stored[1:])
    return Source(tensors, stored, parameter.shape, parameter.is_linear)


def check_names(checkpoint: Checkpoint, wanted: Mapping[str, Shape], naming: Naming) -> None:
    held = checkpoint.tensors.keys()
    missing = sorted(wanted.keys() - held)
    extra = sorted(held - wanted.keys() - naming.discarded.keys() - naming.tolerated)
    if missing or extra:
        faults = {"missing": missing, "extra": extra}
        why = "; ".join(f"{len(names)} {fault}: {listed(names)}" for fault, names in faults.items() if names)
        fix = "check that config.json and the weights belong together and that no file is missing"
        raise EdgeVLError("EVL-CHECKPOINT-TENSORS", "the weights do not fit the model", why, fix)


def check_shapes(checkpoint: Checkpoint, wanted: Mapping[str, Shape]) -> None:
    wrong = [
        f"{name} is {list(checkpoint.tensors[name].shape)}, not {list(shape)}"
        for name, shape in sorted(wanted.items())
        if checkpoint.tensors[name].shape != shape
    ]
    if wrong:
        why = f"{len(wrong)} misshapen: {listed(wrong)}"
        fix = "check that config.json and the weights belong together"
        raise EdgeVLError("EVL-CHECKPOINT-SHAPE", "the weights do not fit the model", why, fix)


def check_types(checkpoint: Checkpoint, wanted: Mapping[str, Shape]) -> None:
    wrong = [
        f"{name} is {str(checkpoint.tensors[name].dtype).removeprefix('torch.')}"
        for name in sorted(wanted)
        if checkpoint.tensors[name].dtype not in FLOAT_TYPES
    ]
    if wrong:
        why = f"{len(wrong)} of another type: {listed(wrong)}"
        fix = "use a checkpoint in bfloat16, float16 or float32; edge-vl does its own quantisation"
        raise EdgeVLError("EVL-CHECKPOINT-DTYPE", "the weights are not plain floating point", why, fix)
