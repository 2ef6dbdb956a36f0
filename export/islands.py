"""fp32 islands: the layers of an fp16 graph that keep fp32, because fp16 cannot hold their numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from edge_runtime.spec import ModelSpec, Role
from export.modules.linear import empty_parameter
from export.modules.stream import Stream

STREAM = "stream"  # the residual stream of a role
WHOLE = "*"  # the whole role
FIRST_LEAVES: dict[Role, tuple[str, ...]] = {
    "vision_high": ("patch",),
    "vision_low": ("patch",),
    "adaptor": ("high", "low", "fc.0"),
    "decoder": (STREAM,),
}


@dataclass(frozen=True)
class Islands:
    """Names of layers, `stream`, or `*` for the whole role."""

    names: frozenset[str] = frozenset()

    @property
    def is_whole(self) -> bool:
        return WHOLE in self.names

    def __or__(self, more: Iterable[str]) -> Islands:
        return Islands(self.names | frozenset(more))

    def in_order(self) -> tuple[str, ...]:
        return (WHOLE,) if self.is_whole else tuple(sorted(self.names))

    def base(self, dtype: torch.dtype) -> torch.dtype:
        """The type of everything that is no island."""
        return torch.float32 if self.is_whole else dtype

    def input_dtype(self, role: Role, dtype: torch.dtype) -> torch.dtype:
        """A role whose first layer is an island is fed fp32: its input may not fit fp16 either."""
        return torch.float32 if self.names & {*FIRST_LEAVES[role], WHOLE} else dtype

    def output_dtype(self, role: Role, spec: ModelSpec, dtype: torch.dtype) -> torch.dtype:
        return torch.float32 if self.names & {last_leaf(role, spec), WHOLE} else dtype


def last_leaf(role: Role, spec: ModelSpec) -> str:
    """The layer whose output leaves the role."""
    linears = spec.adaptor.depth - (1 if spec.high is not None else 0)
    last: dict[Role, str] = {"vision_high": "down2", "vision_low": "norm", "adaptor": f"fc.{linears - 1}"}
    return last.get(role, "head")


def widen(module: nn.Module, islands: Islands) -> nn.Module:
    """The module with its islands made fp32; their weights are made anew, empty."""
    for name in islands.names - {WHOLE}:
        leaf = module.get_submodule(name)
        if isinstance(leaf, Stream):
            leaf.is_wide = True
        for key, parameter in list(leaf.named_parameters(recurse=False)):
            setattr(leaf, key, empty_parameter(*parameter.shape, dtype=torch.float32))
    return module
