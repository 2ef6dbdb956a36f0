"""Products of matrices and convolutions: as a network asks for them, and as an engine computes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from export.engines.kernels import ProductKind
from export.engines.listing import layers_from_text

UNLISTED = "unlisted"  # an operand that the source does not show

# Layers of a network by what they multiply, and how many products each of them is.
NETWORK_PRODUCTS: dict[str, tuple[ProductKind, int]] = {
    "MATRIX_MULTIPLY": ("matmul", 1),
    "EINSUM": ("matmul", 1),
    "CONVOLUTION": ("convolution", 1),
    "DECONVOLUTION": ("convolution", 1),
    "ATTENTION_OUTPUT": ("matmul", 2),  # attention's other layers do not tell their node
}


@dataclass(frozen=True)
class NetworkProduct:
    """One product of a network: its ONNX node, by the name that listings have for it, and the type of its operands.

    Networks are strongly typed, so an engine multiplies in this type, or in the integers it was dequantised from.
    """

    node: str
    kind: ProductKind
    type: str


@dataclass(frozen=True)
class Product:
    """A matrix product or convolution: the types its operands are stored in, the ONNX nodes it computes.

    `is_compiled_on_device` ones are fused with what stands around them, such as the unpacking of 4-bit weights.
    The type of an operand that the source does not show is "unlisted".
    """

    kind: ProductKind
    left: str
    right: str
    layers: tuple[str, ...]
    is_compiled_on_device: bool

    @property
    def types(self) -> str:
        return f"{self.left} x {self.right}"

    def is_left_in(self, kind: str) -> bool | None:
        """Whether both operands are of this type; None where those that are listed leave it open."""
        known = {self.left, self.right} - {UNLISTED}
        if known - {kind}:
            return False
        return None if UNLISTED in (self.left, self.right) else True


def network_products(network: Any) -> tuple[NetworkProduct, ...]:
    """Every product that the library's network asks for; a node that makes two is named twice."""
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    return tuple(
        product
        for layer in layers
        if layer.type.name in NETWORK_PRODUCTS
        for product in products_of_layer(layer)
    )


def products_of_layer(layer: Any) -> tuple[NetworkProduct, ...]:
    kind, count = NETWORK_PRODUCTS[layer.type.name]
    nodes = layers_from_text(str(layer.metadata)) or (str(layer.name),)
    return (NetworkProduct(nodes[0], kind, str(layer.get_input(0).dtype.name).lower()),) * count
