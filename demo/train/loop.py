"""One stage from its first step to its last, or from wherever it was interrupted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from demo.train.state import State, load_state, save_state
from edge_runtime.progress import Progress

Figures = dict[str, float]
WARM_UP = 0.05  # share of the steps
LAST_RATE = 0.05  # of the highest
CLIP = 1.0
SAVE_SECONDS = 60.0


class Task(Protocol):
    """What a stage learns. All that a step draws depends on its number alone."""

    def modules(self) -> Mapping[str, nn.Module]:
        """Everything whose parameters are kept in the state, by name."""

    def parameters(self) -> Sequence[nn.Parameter]:
        """Those that learn."""

    def loss(self, step: int) -> tuple[Tensor, Figures]:
        """Of one batch, and what to write down about it."""

    def check(self) -> Figures:
        """How good it is on pictures it never learns from."""


@dataclass(frozen=True)
class Plan:
    """How long and how hard a stage learns."""

    name: str
    steps: int
    batch: int
    rate: float
    check_every: int
    checked: int = 60  # pictures of a check; what the towers and the language learn is always checked alike
    decay: float = 0.05
    share: float = 1.0  # of the way from its first weights to its last: what the next stage goes on from
    is_half: bool = True  # products in bf16; weights, sums and the optimiser stay fp32


def run_stage(
    plan: Plan,
    task: Task,
    path: Path,
    recipe: str,
    progress: Progress,
    tell: Callable[[str], None],
    save_seconds: float = SAVE_SECONDS,
) -> State:
    """Goes on from `path` where there is a state; ends with the state of the last step, saved."""
    optimizer = optimizer_of(task.parameters(), plan)
    state = load_state(path, recipe)
    step, log = 0, list[tuple[int, Figures]]()
    if state is not None:
        for name, module in task.modules().items():
            module.load_state_dict(state["modules"][name])
        optimizer.load_state_dict(state["optimizer"])
        step, log = state["step"], state["log"]
    saved = time.monotonic()
    while step < plan.steps:
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * rate_at(step, plan.steps)
        with torch.autocast("cpu", torch.bfloat16, enabled=plan.is_half):
            loss, figures = task.loss(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(list(task.parameters()), CLIP)
        optimizer.step()
        step += 1
        figures = {"loss": float(loss.detach()), **figures}
        assert math.isfinite(figures["loss"]), f"the loss of step {step} is {figures['loss']}"
        if step % plan.check_every == 0 or step == plan.steps:
            with torch.autocast("cpu", torch.bfloat16, enabled=plan.is_half):
                figures |= task.check()
            tell(f"{plan.name} {step}/{plan.steps}: " + spelled(figures))
        log.append((step, figures))
        progress(f"{plan.name}, step", step, plan.steps)
        if step == plan.steps or time.monotonic() - saved > save_seconds:
            state = state_of(task, optimizer, step, log, recipe)
            save_state(path, state)
            saved = time.monotonic()
    assert state is not None
    return state


def optimizer_of(parameters: Sequence[nn.Parameter], plan: Plan) -> torch.optim.Optimizer:
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for parameter in parameters:
        groups[parameter.dim() >= 2].append(parameter)  # not norms and shifts
    return torch.optim.AdamW(
        [
            {"params": groups[True], "weight_decay": plan.decay},
            {"params": groups[False], "weight_decay": 0.0},
        ],
        lr=plan.rate,
        betas=(0.9, 0.98),
    )


def rate_at(step: int, steps: int) -> float:
    """Rises in a straight line, then falls along a cosine."""
    rising = max(1, round(steps * WARM_UP))
    if step < rising:
        return (step + 1) / rising
    share = (step - rising) / max(1, steps - rising)
    return LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * share)) / 2


def state_of(
    task: Task, optimizer: torch.optim.Optimizer, step: int, log: list[tuple[int, Figures]], recipe: str
) -> State:
    return {
        "recipe": recipe,
        "step": step,
        "modules": {name: module.state_dict() for name, module in task.modules().items()},
        "optimizer": optimizer.state_dict(),
        "log": log,
    }


def spelled(figures: Figures) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
