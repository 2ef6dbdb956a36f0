"""Weights lent to a layer while it runs: a model of any size in the memory of its largest layer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from edge_runtime.spec import ModelSpec, Role
from export.modules.llama import Decoder
from export.modules.role import module_from_role
from export.modules.spelling import Eager
from export.modules.stream import Stream

ReadOne = Callable[[Role, str], Tensor]  # a parameter by canonical name, in any float type


def lent_module(role: Role, spec: ModelSpec, read: ReadOne, dtype: torch.dtype = torch.float32) -> nn.Module:
    """The role's module without weights; every layer reads its own before it runs and lets go of them after."""
    if role == "embed":
        return LentEmbedding(read, dtype)
    with torch.device("meta"):
        module = module_from_role(role, spec, Eager(), dtype)
    for path, holder in module.named_modules():
        prefix = f"{path}." if path else ""
        if is_leaf(holder):
            lend(holder, role, prefix, read, dtype)
        else:
            # Tables that belong to no layer (positions, alpha, relative positions) are small and stay.
            fill_own(holder, role, prefix, read, dtype)
    if isinstance(module, Decoder):
        module.fill_rope(spec.decoder)
    return module


class LentEmbedding(nn.Module):
    """Only the rows that are asked for are read."""

    def __init__(self, read: ReadOne, dtype: torch.dtype) -> None:
        super().__init__()
        self.read = read
        self.dtype = dtype

    def forward(self, ids: Tensor) -> Tensor:
        return self.read("embed", "weight")[ids].to(self.dtype)


def is_leaf(module: nn.Module) -> bool:
    """Layers: what has weights of its own and nothing inside, and the residual stream."""
    has_children = next(module.children(), None) is not None
    return not has_children and (isinstance(module, Stream) or next(module.parameters(), None) is not None)


def fill_own(holder: nn.Module, role: Role, prefix: str, read: ReadOne, dtype: torch.dtype) -> None:
    for key in own_keys(holder):
        set_parameter(holder, key, read(role, prefix + key).to(dtype))


def lend(leaf: nn.Module, role: Role, prefix: str, read: ReadOne, dtype: torch.dtype) -> None:
    keys = own_keys(leaf)

    def take(module: nn.Module, _: object) -> None:
        for key in keys:
            set_parameter(module, key, read(role, prefix + key).to(dtype))

    def give_back(module: nn.Module, *_: object) -> None:
        for key in keys:
            set_parameter(module, key, getattr(module, key).to("meta"))

    leaf.register_forward_pre_hook(take)
    leaf.register_forward_hook(give_back)


def own_keys(module: nn.Module) -> list[str]:
    return [name for name, _ in module.named_parameters(recurse=False)]


def set_parameter(module: nn.Module, key: str, value: Tensor) -> None:
    setattr(module, key, nn.Parameter(value, requires_grad=False))
