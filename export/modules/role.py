"""One role of a model as a module: made empty, then filled strictly."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from edge_runtime.errors import EdgeVLError, listed
from edge_runtime.spec import ModelSpec, Role
from export.modules.adaptor import HybridAdaptor, MlpAdaptor
from export.modules.form import PLAIN, DecoderForm
from export.modules.llama import Decoder, Embedding
from export.modules.sam import SamTower
from export.modules.siglip import SiglipTower
from export.modules.spelling import Spelling


def module_from_role(
    role: Role,
    spec: ModelSpec,
    spelling: Spelling,
    dtype: torch.dtype = torch.float32,
    form: DecoderForm = PLAIN,
) -> nn.Module:
    """The role's module with empty, frozen weights, in eval mode."""
    if role == "vision_high":
        assert spec.high is not None, "this model has no high-resolution tower"
        return SamTower(spec.high, spelling, dtype)
    if role == "vision_low":
        return SiglipTower(spec.low, spelling, dtype)
    if role == "adaptor":
        is_hybrid = spec.adaptor.kind == "hybrid_split_mlp_gelu"
        return HybridAdaptor(spec.adaptor, dtype) if is_hybrid else MlpAdaptor(spec.adaptor, dtype)
    if role == "embed":
        return Embedding(spec.decoder, dtype)
    return Decoder(spec.decoder, spelling, dtype, form)


def fill(module: nn.Module, role: Role, state: Mapping[str, Tensor]) -> None:
    """Gives every parameter its tensor, without a copy; anything missing, extra or misshapen is an error."""
    wanted = dict(module.named_parameters())
    missing, extra = wanted.keys() - state.keys(), state.keys() - wanted.keys()
    misshapen = [
        f"{name} is {list(state[name].shape)}, not {list(wanted[name].shape)}"
        for name in sorted(wanted.keys() & state.keys())
        if state[name].shape != wanted[name].shape
    ]
    if missing or extra or misshapen:
        faults = {"missing": sorted(missing), "extra": sorted(extra), "misshapen": misshapen}
        raise EdgeVLError(
            "EVL-CHECKPOINT-TENSORS",
            f"the weights do not fit {role}",
            "; ".join(f"{len(names)} {fault}: {listed(names)}" for fault, names in faults.items() if names),
            "check that config.json and the weights belong together and that no shard is missing",
        )
    assert all(state[name].dtype == wanted[name].dtype for name in wanted), (
        f"{role} was read in another dtype"
    )
    module.load_state_dict(dict(state), strict=True, assign=True)
