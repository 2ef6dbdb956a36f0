"""Every parameter of a model under its canonical name, as the reference modules hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_runtime.spec import AdaptorSpec, DecoderSpec, ModelSpec, Role, SamSpec, SiglipSpec


@dataclass(frozen=True)
class Parameter:
    """Its shape in the reference modules. A linear weight is [K, N] here and [N, K] in every checkpoint."""

    shape: tuple[int, ...]
    is_linear: bool = False


Parameters = dict[str, Parameter]


def parameters_from_spec(spec: ModelSpec) -> Mapping[Role, Parameters]:
    """Canonical name to parameter, for each role of the model."""
    roles: dict[Role, Parameters] = {
        "vision_low": siglip_parameters(spec.low),
        "adaptor": adaptor_parameters(spec.adaptor),
        "embed": {"weight": Parameter((spec.decoder.vocab, spec.decoder.width))},
        "decoder": decoder_parameters(spec.decoder),
    }
    if spec.high is not None:
        roles["vision_high"] = sam_parameters(spec.high)
    return {role: roles[role] for role in spec.roles}


def siglip_parameters(tower: SiglipSpec) -> Parameters:
    parameters = convolution("patch", 3, tower.width, tower.patch_size, has_bias=True)
    parameters["position"] = Parameter((tower.tokens, tower.width))
    for block in range(tower.layers):
        parameters |= vision_block(f"blocks.{block}", tower.width, tower.mlp_width)
    return parameters | norm("norm", tower.width)


def sam_parameters(tower: SamSpec) -> Parameters:
    parameters = convolution("patch", 3, tower.width, tower.patch_size, has_bias=True)
    parameters["position"] = Parameter((tower.grid, tower.grid, tower.width))
    for block in range(tower.layers):
        side = tower.grid if block in tower.global_blocks else tower.window
        offsets = Parameter((2 * side - 1, tower.head_dim))
        parameters |= vision_block(f"blocks.{block}", tower.width, tower.mlp_width)
        parameters |= {f"blocks.{block}.rel_h": offsets, f"blocks.{block}.rel_w": offsets}
    for neck in ("neck", "side"):
        parameters |= convolution(f"{neck}.conv1", tower.width, tower.neck_width, 1)
        parameters |= norm(f"{neck}.norm1", tower.neck_width)
        parameters |= convolution(f"{neck}.conv2", tower.neck_width, tower.neck_width, 3)
        parameters |= norm(f"{neck}.norm2", tower.neck_width)
    middle, last = tower.down_widths
    parameters["alpha"] = Parameter((1,))
    parameters |= convolution("down1", tower.neck_width, middle, 3)
    return parameters | convolution("down2", middle, last, 3)


def adaptor_parameters(adaptor: AdaptorSpec) -> Parameters:
    if adaptor.kind == "mlp_gelu":
        parameters = linear("fc.0", adaptor.low_width, adaptor.width)
        later = range(1, adaptor.depth)
    else:
        parameters = linear("high", adaptor.high_width, adaptor.width // 2)
        parameters |= linear("low", adaptor.low_width, adaptor.width // 2)
        later = range(adaptor.depth - 1)
    for layer in later:
        parameters |= linear(f"fc.{layer}", adaptor.width, adaptor.width)
    return parameters


def decoder_parameters(decoder: DecoderSpec) -> Parameters:
    width, mlp_width = decoder.width, decoder.mlp_width
    query_width, key_width = decoder.heads * decoder.head_dim, decoder.kv_heads * decoder.head_dim
    parameters: Parameters = {}
    for layer in range(decoder.layers):
        block = f"blocks.{layer}"
        parameters |= {
            f"{block}.norm1.weight": Parameter((width,)),
            f"{block}.norm2.weight": Parameter((width,)),
        }
        parameters |= linear(f"{block}.q", width, query_width, has_bias=False)
        parameters |= linear(f"{block}.k", width, key_width, has_bias=False)
        parameters |= linear(f"{block}.v", width, key_width, has_bias=False)
        parameters |= linear(f"{block}.o", query_width, width, has_bias=False)
        parameters |= linear(f"{block}.gate", width, mlp_width, has_bias=False)
        parameters |= linear(f"{block}.up", width, mlp_width, has_bias=False)
        parameters |= linear(f"{block}.down", mlp_width, width, has_bias=False)
    parameters["norm.weight"] = Parameter((width,))
    return parameters | linear("head", width, decoder.vocab, has_bias=False)


def vision_block(block: str, width: int, mlp_width: int) -> Parameters:
    return (
        norm(f"{block}.norm1", width)
        | linear(f"{block}.qkv", width, 3 * width)
        | linear(f"{block}.proj", width, width)
        | norm(f"{block}.norm2", width)
        | linear(f"{block}.fc1", width, mlp_width)
        | linear(f"{block}.fc2", mlp_width, width)
    )


def norm(name: str, width: int) -> Parameters:
    return {f"{name}.weight": Parameter((width,)), f"{name}.bias": Parameter((width,))}


def linear(name: str, wide_in: int, wide_out: int, has_bias: bool = True) -> Parameters:
    parameters = {f"{name}.weight": Parameter((wide_in, wide_out), is_linear=True)}
    if has_bias:
        parameters[f"{name}.bias"] = Parameter((wide_out,))
    return parameters


def convolution(name: str, wide_in: int, wide_out: int, side: int, has_bias: bool = False) -> Parameters:
    parameters = {f"{name}.weight": Parameter((wide_out, wide_in, side, side))}
    if has_bias:
        parameters[f"{name}.bias"] = Parameter((wide_out,))
    return parameters
