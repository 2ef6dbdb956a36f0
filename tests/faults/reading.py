"""All that export reads of a checkpoint, without the export."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import torch

from edge_runtime.errors import EdgeVLError
from export.checkpoint import Checkpoint
from export.config import spec_from_checkpoint
from export.weights import plan_from_checkpoint


def refusal(folder: Path) -> EdgeVLError | None:
    """Why the checkpoint was refused; None where every one of its tensors was read."""
    try:
        read_everything(folder)
    except EdgeVLError as error:
        return error
    return None


def read_everything(folder: Path) -> str:
    """The sha256 of all parameters, each of which was read to its end."""
    digest = hashlib.sha256()
    with Checkpoint.open(folder) as checkpoint:
        plan = plan_from_checkpoint(checkpoint, spec_from_checkpoint(checkpoint))
        for role, sources in plan.sources.items():
            for name, source in sources.items():
                tensor = plan.read(role, name)
                assert tensor.shape == source.shape, f"{name} was promised as {source.shape}"
                values = tensor.reshape(-1).to(torch.float32).numpy()
                assert values.size == math.prod(source.shape)
                digest.update(values.tobytes())
    return digest.hexdigest()
