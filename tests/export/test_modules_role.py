"""Modules by role: empty, frozen, cheap, and filled strictly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from edge_runtime.errors import EdgeVLError
from export.modules.linear import Linear
from export.modules.role import fill, module_from_role
from export.modules.spelling import Eager
from tests.export.modules_oracle import HYBRID, PLAIN, spec_from_sizes

SPEC = spec_from_sizes(HYBRID["padded-windows"])


def linear_state(*shape: int) -> dict[str, Tensor]:
    return {"weight": torch.ones(*shape), "bias": torch.ones(shape[-1])}


@pytest.mark.parametrize("role", SPEC.roles)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_modules_are_frozen_in_eval_mode_and_of_one_dtype(role: str, dtype: torch.dtype) -> None:
    module = module_from_role(role, SPEC, Eager(), dtype)  # type: ignore[arg-type]
    held = [*module.parameters(), *module.buffers()]
    assert not any(part.training for part in module.modules())
    assert not any(tensor.requires_grad for tensor in held)
    assert {tensor.dtype for tensor in held} == {dtype}


def test_making_a_model_draws_no_random_numbers() -> None:
    before = torch.random.get_rng_state()
    for role in SPEC.roles:
        module_from_role(role, SPEC, Eager())
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("role", SPEC.roles)
def test_modules_can_be_made_without_memory(role: str) -> None:
    with torch.device("meta"):
        module = module_from_role(role, SPEC, Eager())  # type: ignore[arg-type]
    assert all(tensor.is_meta for tensor in module.parameters())


def test_a_plain_model_has_no_high_tower_to_make() -> None:
    plain = spec_from_sizes(PLAIN["square"])
    with pytest.raises(AssertionError, match="no high-resolution tower"):
        module_from_role("vision_high", plain, Eager())


def test_filling_takes_the_tensors_without_a_copy() -> None:
    linear, state = Linear(2, 3, torch.float32), linear_state(2, 3)
    fill(linear, "adaptor", state)
    assert linear.weight.data_ptr() == state["weight"].data_ptr()
    assert not linear.weight.requires_grad


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"weight": torch.ones(2, 3)}, "1 missing: bias"),
        ({**linear_state(2, 3), "scale": torch.ones(1)}, "1 extra: scale"),
        (linear_state(3, 2), "2 misshapen: bias is [2], not [3], weight is [3, 2], not [2, 3]"),
        ({"a": torch.ones(1), "bias": torch.ones(3)}, "1 missing: weight; 1 extra: a"),
        ({**linear_state(2, 3), **{f"x{i}": torch.ones(1) for i in range(10)}}, "x3, x4 and 5 more"),
    ],
)
def test_weights_that_do_not_fit_are_listed(state: dict[str, Tensor], said: str) -> None:
    with pytest.raises(EdgeVLError) as caught:
        fill(Linear(2, 3, torch.float32), "adaptor", state)
    assert caught.value.code == "EVL-CHECKPOINT-TENSORS"
    assert said in caught.value.why


def test_weights_of_another_dtype_are_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="another dtype"):
        fill(Linear(2, 3, torch.float16), "adaptor", linear_state(2, 3))
