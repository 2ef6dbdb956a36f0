"""What TensorRT's engine inspector tells of an engine's layers, as the rows that a plan's listing gives.

Written against NVIDIA's documentation, published output of versions 8 to 10 and the signatures of TensorRT-RTX
1.7.1; no engine was ever read with it. 10 and 11 differ beside "Layers" ("Bindings", "I/O Tensors"), which is
all that is read here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from export.engines.account import Account, Kernel, Operand, account_of
from export.engines.inspector import ProfileReport
from export.engines.kernels import (
    FUSION,
    QUANTISED,
    ProductKind,
    attention_counts,
    attention_kernel,
    product_in_engine,
)
from export.engines.listing import PROFILE, ListingError, layers_from_text
from export.engines.products import UNLISTED, NetworkProduct, Product

# The inspector's words for types: a word of their own, or one of a sentence ("Row major linear FP16 format").
TYPES = {
    "float": "float", "fp32": "float", "tf32": "float", "half": "half", "fp16": "half", "bfloat16": "bf16",
    "bf16": "bf16", "int8": "int8", "int4": "int4", "fp8": "fp8", "fp4": "fp4", "int32": "int32", "int64": "int64",
    "uint8": "uint8", "bool": "bool",
}  # fmt: skip
UNTOLD = "N/A"  # "due to dynamic shapes"
TYPE_KEYS = ("Format/Datatype", "DataType")


class NamesOnlyError(Exception):
    """The engine was built so that its inspector tells names and no more."""


@dataclass(frozen=True)
class EngineLayer:
    """`inputs` are the inspector's words for the types of what has more than one element: a product also takes
    factors of one."""

    name: str
    type: str
    tactic: str
    profile: int
    inputs: tuple[str, ...]
    weights: str | None
    nodes: tuple[str, ...]

    @property
    def attention(self) -> str | None:
        return attention_kernel(self.name) or attention_kernel(self.tactic)

    @property
    def product(self) -> ProductKind | None:
        return None if self.attention else product_in_engine(self.type, self.name, self.tactic)


@dataclass(frozen=True)
class EngineFacts:
    """What the engine itself tells besides its layers: bytes by profile, and outputs that are written in place."""

    activation_bytes: tuple[int, ...]
    in_place: tuple[str, ...] | None


def profiles_from_engine(
    text: str, facts: EngineFacts, asked: Sequence[NetworkProduct] | None = None
) -> tuple[ProfileReport, ...]:
    """`text` is the inspector's JSON, `asked` what the network multiplies. Raises ListingError, or NamesOnlyError."""
    layers, count = layers_from_json(text), len(facts.activation_bytes)
    # Names bear the number of every profile but the first. Where one has no layers, this is not how they are told.
    is_told = {layer.profile for layer in layers} == set(range(count)) and not any(map(is_opaque, layers))
    return tuple(
        profile_from_layers(
            index, [layer for layer in layers if layer.profile == index] if is_told else None, facts, asked
        )
        for index in range(count)
    )


def is_opaque(layer: EngineLayer) -> bool:
    """Older versions show all that Myelin compiled as one layer, whatever is in it."""
    return layer.type.casefold() == "myelin" or layer.name.startswith("{ForeignNode[")


def profile_from_layers(
    index: int,
    layers: Sequence[EngineLayer] | None,
    facts: EngineFacts,
    asked: Sequence[NetworkProduct] | None,
) -> ProfileReport:
    account = None if layers is None else account_of_layers(layers, asked)
    return ProfileReport(
        index=index,
        accelerators=None,
        attention=None if layers is None else attention_counts(layer.attention or "" for layer in layers),
        products=None if account is None else account.products,
        constant_bytes=None,  # shown as inputs of some layers and not of others
        activation_bytes=facts.activation_bytes[index],
        kernels=None,  # some layers are no kernels, and nothing says which
        in_place=facts.in_place,
        attention_layers=None if account is None else account.attention_layers,
        is_every_product_told=account is not None and account.is_complete,
    )


def account_of_layers(layers: Sequence[EngineLayer], asked: Sequence[NetworkProduct] | None) -> Account:
    products = [product_from_layer(each) for each in layers if each.product]
    attention = [each.nodes for each in layers if each.attention]
    others = [kernel_from_layer(each) for each in layers if not each.attention and not each.product]
    return account_of(products, attention, others, asked)


def kernel_from_layer(layer: EngineLayer) -> Kernel:
    operands = tuple(Operand(known_type(words), is_constant=None) for words in layer.inputs)
    return Kernel(layer.name, layer.nodes, operands, is_compiled_on_device=False)


def layers_from_json(text: str) -> list[EngineLayer]:
    try:
        told = json.loads(text, strict=False)  # names of nodes are set apart by unprintable bytes
    except (ValueError, RecursionError) as fault:
        raise ListingError(f"the inspector's text is not JSON: {fault}") from fault
    layers = told.get("Layers") if isinstance(told, dict) else None
    if not isinstance(layers, list):
        raise ListingError('the inspector\'s JSON has no list "Layers"')
    if not layers or not all(isinstance(layer, dict) and "LayerType" in layer for layer in layers):
        raise NamesOnlyError
    return [layer_from_json(layer) for layer in layers]


def layer_from_json(layer: Mapping[str, object]) -> EngineLayer:
    name, tensors = text_at(layer, "Name"), layer.get("Inputs", [])
    if not isinstance(tensors, list) or not all(isinstance(tensor, dict) for tensor in tensors):
        raise ListingError(f"the inputs of {name} are no list of tensors")
    numbers = PROFILE.findall(name)
    weights = layer.get("Weights")
    return EngineLayer(
        name=PROFILE.sub("", name),
        type=text_at(layer, "LayerType"),
        tactic=text_at(layer, "TacticName", ""),
        profile=int(numbers[0]) if numbers else 0,
        inputs=tuple(words_of_tensor(tensor) for tensor in tensors if not is_single(tensor)),
        weights=text_at(weights, "Type") if isinstance(weights, dict) else None,
        nodes=nodes_from_metadata(text_at(layer, "Metadata", "")),
    )


def text_at(values: Mapping[str, object], key: str, default: str | None = None) -> str:
    found = values.get(key, default)
    if not isinstance(found, str):
        raise ListingError(f'a layer has no "{key}"')
    return found


def is_single(tensor: Mapping[str, object]) -> bool:
    sizes = tensor.get("Dimensions")
    return isinstance(sizes, list) and all(size == 1 for size in sizes)


def words_of_tensor(tensor: Mapping[str, object]) -> str:
    return str(next((tensor[key] for key in TYPE_KEYS if key in tensor), "nothing"))


def type_from_words(words: str, layer: str) -> str:
    found = known_type(words)
    if found == UNLISTED and not words.startswith(UNTOLD):
        raise ListingError(f"{layer} has a tensor of the type {words!r}, which is not known")
    return found


def known_type(words: str) -> str:
    """Kernels that are no products may read what has no type of ours, such as a size."""
    found = [TYPES[word] for word in re.findall(r"\w+", words.casefold()) if word in TYPES]
    return found[0] if len(found) == 1 and not words.startswith(UNTOLD) else UNLISTED


def nodes_from_metadata(text: str) -> tuple[str, ...]:
    """The brackets may also follow each other with nothing between them."""
    return layers_from_text(text.replace("][", "]\x1e["))


def product_from_layer(layer: EngineLayer) -> Product:
    """The first input is the left operand. The right one may be a weight, which not every layer shows."""
    assert layer.product is not None, "asked of products alone"
    left, *others = [type_from_words(words, layer.name) for words in layer.inputs] or [UNLISTED]
    packed = [kind for kind in others if kind in QUANTISED]
    if packed or left in QUANTISED:
        others = packed  # what else there is are scales and summands
    if layer.weights is not None:
        others = [type_from_words(layer.weights, layer.name)]
    right = next(iter(others), UNLISTED)
    return Product(layer.product, left, right, layer.nodes, bool(FUSION.match(layer.name)))
