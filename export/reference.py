"""The reference model of a checkpoint, held to the spec of a bundle."""

from __future__ import annotations

from edge_runtime.errors import EdgeVLError
from edge_runtime.spec import ModelSpec
from export.checkpoint import Checkpoint
from export.config import spec_from_checkpoint
from export.modules.reference import Reference
from export.weights import plan_from_checkpoint


def reference_from_checkpoint(checkpoint: Checkpoint, spec: ModelSpec | None = None) -> Reference:
    """Every role in fp32, in the memory of one layer; it reads from the checkpoint as long as it is used.

    A checkpoint whose spec is not `spec` is another model, and that is an error.
    """
    found = spec_from_checkpoint(checkpoint)
    if spec is not None and found != spec:
        raise EdgeVLError(
            "EVL-VERIFY-OTHER-MODEL",
            f"the bundle was not made from {checkpoint.path}",
            f"they differ in {', '.join(differing(found, spec))}",
            "give the checkpoint that the bundle was exported from",
        )
    return Reference.lent(found, plan_from_checkpoint(checkpoint, found).read)


def differing(one: ModelSpec, other: ModelSpec) -> list[str]:
    names = ("low", "high", "adaptor", "decoder", "preprocess", "prompt")
    return [name for name in names if getattr(one, name) != getattr(other, name)]
