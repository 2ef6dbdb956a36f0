"""The model while it learns: the reference modules of every role, with gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demo.data.split import rng_from_name
from demo.train.aim import aim_heads
from demo.train.batch import Batch
from demo.train.positions import waves
from demo.train.spelling import Training
from edge_runtime.spec import ModelSpec, Role
from export.layouts.parameters import parameters_from_spec
from export.modules.role import module_from_role
from export.modules.sam import SamTower

ALPHA = 0.1  # of SAM's side path at the start; the papers start at 0, where it learns nothing at first
PLACED = 0.5  # height of the waves beside patches with a spread of 1.6
TABLE = 0.02  # spread of embeddings and positions


class Learner(nn.Module):
    """All roles of one model, freshly drawn."""

    def __init__(self, spec: ModelSpec, seed: int) -> None:
        super().__init__()
        self.spec = spec
        self.spelling = Training()
        self.roles = nn.ModuleDict({role: module_from_role(role, spec, self.spelling) for role in spec.roles})
        for role, parameters in parameters_from_spec(spec).items():
            # Of its own, so that a role begins alike in every model that has it.
            generator = torch.Generator().manual_seed(seed_of(seed, role))
            found = dict(self.roles[role].named_parameters())
            for name in parameters:
                draw(found[name], name, parameters[name].is_linear, generator)
        if spec.high is not None:
            aim_heads(sam_tower_of(self.roles["vision_high"]))

    def place(self) -> None:
        """Lets the low tower tell its tokens' places from each other at once; a table that begins as noise stays noise."""
        table = self.roles["vision_low"].get_parameter("position")
        with torch.no_grad():
            table.add_(waves(self.spec.low.grid, self.spec.low.width), alpha=PLACED)

    def learn(self, roles: Iterable[Role]) -> list[nn.Parameter]:
        """Lets exactly these roles learn, and gives their parameters."""
        chosen = set(roles)
        for role, module in self.roles.items():
            module.requires_grad_(role in chosen)
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def state_of(self, role: Role) -> dict[str, Tensor]:
        return {name: value.detach() for name, value in self.roles[role].named_parameters()}

    def take(self, role: Role, state: Mapping[str, Tensor]) -> None:
        self.roles[role].load_state_dict(dict(state), strict=True)

    def rows_from_pixels(self, low: Tensor, high: Tensor | None) -> Tensor:
        """Normalised pixels, one picture per row -> (B, T, D)."""
        towers = [self.roles["vision_low"](low)]
        if self.spec.high is not None:
            assert high is not None
            towers.insert(0, self.roles["vision_high"](high))
        rows: Tensor = self.roles["adaptor"](*towers)
        return rows

    def logits(self, embeds: Tensor, batch: Batch, unseen: Tensor | None = None) -> Tensor:
        """(B, S, D) -> (B, K, V): of the batch's wanted rows. `unseen` as for `Training.arrange`."""
        self.spelling.arrange(batch.positions, batch.branches, unseen)
        nothing = [(embeds.new_zeros(0), embeds.new_zeros(0))] * self.spec.decoder.layers
        start = torch.zeros(embeds.shape[0], dtype=torch.int64)
        logits: Tensor = self.roles["decoder"](embeds, start, batch.rows, nothing)[0]
        return logits

    def embeds(self, ids: Tensor, pictures: Tensor, image_rows: Tensor | None) -> Tensor:
        """Ids (B, S) with the picture rows `image_rows` (P, T, D) written where `pictures` (B, S) is True."""
        embeds: Tensor = self.roles["embed"](ids)
        if image_rows is None:
            return embeds
        flat = image_rows.reshape(-1, image_rows.shape[-1]).to(embeds.dtype)
        return embeds.masked_scatter(pictures[..., None].expand_as(embeds), flat)


def sam_tower_of(module: nn.Module) -> SamTower:
    assert isinstance(module, SamTower)
    return module


class SamMaps:
    """The high tower step by step: its map before the shrinking convolutions, and its features."""

    def __init__(self, tower: SamTower) -> None:
        self.tower = tower

    def __call__(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        tower = self.tower
        x = tower.patch(pixels).permute(0, 2, 3, 1) + tower.position
        last, side = tower.trunk(tower.stream(x))
        mixed: Tensor = tower.neck(last) + tower.alpha * tower.side(side)  # (B, g, g, neck)
        resized = tower.spelling.resize(mixed.permute(0, 3, 1, 2), tower.spec.resized_grid)
        down: Tensor = tower.down2(tower.down1(resized))
        return mixed, down.flatten(2).transpose(1, 2)


def seed_of(seed: int, name: str) -> int:
    return int(rng_from_name(seed, "weights", name).integers(1 << 62))


def draw(parameter: nn.Parameter, name: str, is_linear: bool, generator: torch.Generator) -> None:
    with torch.no_grad():
        if name == "alpha":
            parameter.fill_(ALPHA)
        elif name.endswith("bias") or ".rel_" in name:
            parameter.zero_()
        elif parameter.dim() == 1:
            parameter.fill_(1.0)
        elif is_linear or parameter.dim() == 4:
            inputs = parameter.shape[0] if is_linear else math.prod(parameter.shape[1:])
            parameter.normal_(0.0, inputs**-0.5, generator=generator)
        else:
            parameter.normal_(0.0, TABLE, generator=generator)


def answer_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Cross entropy over (B, K, V) logits, each target with its own weight; padding weighs nothing."""
    losses = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
    total: Tensor = (losses * weights.flatten()).sum() / weights.sum().clamp(min=1.0)
    return total
