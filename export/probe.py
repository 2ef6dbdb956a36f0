"""Runs sample pictures through the reference, layer by layer, and notes the largest values of every layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from PIL import Image
from torch import Tensor, nn

from edge_runtime.preprocess import pixels_from_picture
from edge_runtime.progress import Progress, silent
from edge_runtime.prompt import ImageRef, PromptFormat, Turn
from edge_runtime.spec import ModelSpec, Role
from edge_runtime.tokenizer import Tokenizer
from export.modules.lending import is_leaf, lent_module
from export.ranges import ActivationRange, ends_of
from export.weights import WeightPlan

QUESTION = "Describe this picture in detail."


class LeafWatch:
    """Largest |x| into and out of one layer."""

    def __init__(self, role: Role, name: str) -> None:
        self.role = role
        self.name = name
        self.taken = 0.0
        self.given = 0.0

    def __call__(self, _: nn.Module, arguments: tuple[Tensor, ...], result: Tensor) -> None:
        self.taken = max(self.taken, self._largest(arguments[0], "reads"))
        self.given = max(self.given, self._largest(result, "gives"))

    def _largest(self, x: Tensor, verb: str) -> float:
        low, high = ends_of(x, f"{self.name} in {self.role} {verb}", "with a sample picture, in fp32, they")
        return max(-low, high)


class WatchedRole:
    """A role in fp32 with a watch on every layer."""

    def __init__(self, role: Role, spec: ModelSpec, plan: WeightPlan) -> None:
        self.module = lent_module(role, spec, plan.read)
        self.watches = [LeafWatch(role, name) for name, each in self.module.named_modules() if is_leaf(each)]
        for watch in self.watches:
            self.module.get_submodule(watch.name).register_forward_hook(watch)

    def ranges(self) -> list[ActivationRange]:
        return [ActivationRange(each.name, each.taken, each.given) for each in self.watches]


@torch.inference_mode()
def activation_ranges(
    spec: ModelSpec,
    plan: WeightPlan,
    tokenizer: Tokenizer,
    pictures: Sequence[Image.Image],
    progress: Progress = silent,
) -> dict[Role, list[ActivationRange]]:
    """Of every role but `embed`, over all pictures, each asked about once."""
    roles: dict[Role, WatchedRole] = {
        role: WatchedRole(role, spec, plan) for role in spec.roles if role != "embed"
    }
    step = steps_of(progress, len(pictures) * len(roles))
    for picture in pictures:
        decode(spec, plan, tokenizer, roles["decoder"], embeds_of(spec, roles, picture, step))
        step("decoder")
    stream_ranges(roles)
    return {role: watched.ranges() for role, watched in roles.items()}


def embeds_of(
    spec: ModelSpec, roles: dict[Role, WatchedRole], picture: Image.Image, step: Callable[[str], None]
) -> Tensor:
    pixels = pixels_from_picture(picture, spec.preprocess)
    features = []
    if pixels.high is not None:
        features.append(roles["vision_high"].module(torch.from_numpy(pixels.high)[None]))
        step("vision_high")
    features.append(roles["vision_low"].module(torch.from_numpy(pixels.low)[None]))
    step("vision_low")
    embeds: Tensor = roles["adaptor"].module(*features)
    step("adaptor")
    return embeds


def decode(
    spec: ModelSpec, plan: WeightPlan, tokenizer: Tokenizer, watched: WatchedRole, image: Tensor
) -> None:
    prompt = PromptFormat(tokenizer, spec.prompt, spec.image_tokens).chat_prompt_tokens(
        [Turn("user", QUESTION, (ImageRef(b"sample"),))]
    )
    rows = plan.read("embed", "weight")[torch.tensor(prompt.ids)].float()[None]
    for start, _ in prompt.image_spans:
        rows[:, start : start + prompt.image_tokens] = image
    shape = (1, spec.decoder.kv_heads, len(prompt), spec.decoder.head_dim)
    past = [(torch.zeros(shape), torch.zeros(shape)) for _ in range(spec.decoder.layers)]
    watched.module(rows, torch.tensor([0]), torch.tensor([[len(prompt) - 1]]), past)


def stream_ranges(roles: dict[Role, WatchedRole]) -> None:
    """The stream is what the norms of the blocks read; its own watch saw only where it begins."""
    for watched in roles.values():
        stream = next((each for each in watched.watches if each.name == "stream"), None)
        if stream is not None:
            readers = [each for each in watched.watches if each.name == "norm" or is_block_norm(each.name)]
            stream.given = max(stream.given, *(each.taken for each in readers))


def is_block_norm(name: str) -> bool:
    return name.startswith("blocks.") and name.endswith((".norm1", ".norm2"))


def steps_of(progress: Progress, total: int) -> Callable[[str], None]:
    done = 0

    def step(role: str) -> None:
        nonlocal done
        done += 1
        progress(f"measuring {role}", done, total)

    return step
