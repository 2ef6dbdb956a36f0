"""Which kernels compute the products of a network: none is taken to be absent because no kernel bears its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from export.engines.kernels import CAST, CUT_OFF, QUANTISED, ROUND, sums_of_products, words_of
from export.engines.products import UNLISTED, NetworkProduct, Product

Nodes = tuple[str, ...]


@dataclass(frozen=True)
class Operand:
    """Something that a kernel reads. `is_constant` is None where the source does not tell."""

    type: str
    is_constant: bool | None


@dataclass(frozen=True)
class Kernel:
    """One that is neither fused attention nor a product by its kind: a product of few rows is multiplied and summed
    in a kernel like any other."""

    name: str
    layers: Nodes
    operands: tuple[Operand, ...]
    is_compiled_on_device: bool


@dataclass(frozen=True)
class Account:
    """What the kernels of a profile compute. `is_complete` says that no product of the network is missing here."""

    products: tuple[Product, ...]
    attention_layers: int
    is_complete: bool


def account_of(
    products: Sequence[Product],
    attention: Sequence[Nodes],
    kernels: Sequence[Kernel],
    asked: Sequence[NetworkProduct] | None,
) -> Account:
    """`products` are those known by their kind, `attention` the nodes of each fused kernel, `asked` the network's.

    Where the network is not known, or a kernel does not tell its nodes, more products are known by name alone.
    """
    if asked is None or not all([each.layers for each in products] + [*attention]):
        named = [each for each in kernels if sums_of_products(each.name)]
        more = [product_from_kernel(each, each.layers) for each in named]
        return Account((*products, *more), len(attention), is_complete=False)
    counts = Counter(each.node for each in asked)
    told = [replace(each, layers=products_among(each.layers, counts)) for each in products]
    fused = {node for nodes in attention for node in nodes}
    done = Counter(node for each in told for node in each.layers)
    missing = counts - done - Counter({node: counts[node] for node in fused})
    more = list(other_products(kernels, asked, missing))
    return Account((*told, *more), layers_in(attention, counts), is_complete=True)


def products_among(nodes: Nodes, counts: Mapping[str, int]) -> Nodes:
    """Without what is fused with a product, such as an activation behind it."""
    return tuple(node for node in nodes if node in counts) or nodes


def layers_in(attention: Iterable[Nodes], counts: Mapping[str, int]) -> int:
    """How many attention layers are fused: each has two products, in one kernel or in several that share a node."""
    groups: list[set[str]] = []
    for nodes in attention:
        own = {node for node in nodes if node in counts}
        own = own.union(*(group for group in groups if group & own))
        groups = [group for group in groups if not group & own] + [own]
    return sum(sum(counts[node] for node in group) >= 2 for group in groups)


def other_products(
    kernels: Sequence[Kernel], asked: Sequence[NetworkProduct], missing: Mapping[str, int]
) -> Iterator[Product]:
    """One for each kernel that computes missing products; one unlisted for each product without a kernel."""
    kinds = {each.node: each for each in asked}
    places = {node: places_of(node, kernels) for node in missing}
    for index, kernel in enumerate(kernels):
        own = [kinds[node] for node in kernel.layers if index in places.get(node, ())]
        for kind in sorted({each.type for each in own}):
            nodes = tuple(each.node for each in own if each.type == kind)
            yield product_from_kernel(kernel, nodes, kinds[nodes[0]])
    for node, count in missing.items():
        for _ in range(count - len(places[node])):
            yield Product(kinds[node].kind, UNLISTED, UNLISTED, (node,), is_compiled_on_device=False)


def places_of(node: str, kernels: Sequence[Kernel]) -> list[int]:
    """Where it may be computed: other kernels name the node whose operands they prepare or whose result they take."""
    naming = [index for index, kernel in enumerate(kernels) if node in kernel.layers]
    summing = [index for index in naming if may_sum_products(kernels[index].name)]
    return summing or (naming if len(naming) == 1 else [])


def may_sum_products(name: str) -> bool:
    return sums_of_products(name) > 0 or CUT_OFF in words_of(name)


def product_from_kernel(kernel: Kernel, nodes: Nodes, asked: NetworkProduct | None = None) -> Product:
    left, right = operand_types(kernel, asked)
    kind = "matmul" if asked is None else asked.kind
    return Product(kind, left, right, nodes, kernel.is_compiled_on_device)


def operand_types(kernel: Kernel, asked: NetworkProduct | None) -> tuple[str, str]:
    """Integers that the kernel reads are what operands are stored in. Unlisted are integers that it makes itself, and
    weights where it reads some packed and computes more products than that."""
    plain = multiplied_type(kernel, asked)
    packed = [each for each in kernel.operands if each.type in QUANTISED]
    weights = [each.type for each in packed if each.is_constant is not False]
    others = {each.type for each in packed if each.is_constant is False}
    if ROUND in words_of(kernel.name) or sum(each.is_constant is None for each in packed) > 1:
        others.add(UNLISTED)
    if weights and len(weights) < sums_of_products(kernel.name):
        weights.append(UNLISTED)
    return single(others or {plain}), single(set(weights) or {plain})


def multiplied_type(kernel: Kernel, asked: NetworkProduct | None) -> str:
    """The network's, if the kernel reads it or casts to it; of an unknown network, the only one that is read."""
    words, read = words_of(kernel.name), {each.type for each in kernel.operands} - QUANTISED
    if CUT_OFF in words:
        return UNLISTED
    if asked is None:
        return UNLISTED if CAST in words else single(read)
    return asked.type if asked.type in read or CAST in words else UNLISTED


def single(kinds: set[str]) -> str:
    return next(iter(kinds)) if len(kinds) == 1 else UNLISTED
