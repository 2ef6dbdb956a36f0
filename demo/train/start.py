"""Weights to begin a stage with: those of a finished checkpoint, of whoever trained it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from edge_runtime.errors import EdgeVLError
from edge_runtime.spec import ModelSpec, Role
from export.checkpoint import Checkpoint
from export.config import spec_from_checkpoint
from export.weights import plan_from_checkpoint


class Start:
    """`digest` names the weights; `tokenizer` is the text of the file beside them."""

    def __init__(self, path: Path) -> None:
        with Checkpoint.open(path) as checkpoint:
            self._spec = spec_from_checkpoint(checkpoint)
            self.tokenizer = checkpoint.tokenizer_text()
            plan = plan_from_checkpoint(checkpoint, self._spec)
            self._weights = {
                role: {name: each.clone() for name, each in plan.state_dict(role, torch.float32).items()}
                for role in self._spec.roles
            }
        self.digest = digest_of(self._weights)

    def weights(self, spec: ModelSpec) -> Mapping[Role, Mapping[str, Tensor]]:
        """EVL-TRAIN-START where they are of another model."""
        if (spec.low, spec.high, spec.adaptor, spec.decoder) != (
            self._spec.low,
            self._spec.high,
            self._spec.adaptor,
            self._spec.decoder,
        ):
            raise unlike("its sizes are not those of the recipe")
        return self._weights

    def check_words(self, tokenizer: str) -> None:
        """The same number must mean the same word."""
        if words_of(tokenizer) != words_of(self.tokenizer):
            raise unlike("its tokenizer has other words than the folder's", "train in another folder")


def words_of(tokenizer: str) -> object:
    model = json.loads(tokenizer)["model"]
    return model["vocab"], model["merges"]


def digest_of(weights: Mapping[Role, Mapping[str, Tensor]]) -> str:
    digest = hashlib.sha256()
    for role, tensors in sorted(weights.items()):
        for name, tensor in sorted(tensors.items()):
            digest.update(f"{role}/{name}".encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def unlike(why: str, fix: str = "give one that this recipe made") -> EdgeVLError:
    return EdgeVLError("EVL-TRAIN-START", "training cannot begin with this checkpoint", why, fix)
