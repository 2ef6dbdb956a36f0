"""What the engine library made of a graph: which attention was fused, which products run on which types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_runtime.errors import EdgeVLError
from export.engines.account import Account, Kernel, Nodes, Operand, account_of
from export.engines.kernels import PLAN_PRODUCTS, QUANTISED, attention_counts, attention_kernel
from export.engines.listing import Listing, ListingError, Operation, listings_in
from export.engines.planfile import opened_plan
from export.engines.products import NetworkProduct, Product

Source = Literal["plan", "engine"]

ON_DEVICE = {"runtime_fusion", "runtime_function"}  # compiled there, from a listing of their own
KERNELS = {*PLAN_PRODUCTS, *ON_DEVICE, "function"}


@dataclass(frozen=True)
class ProfileReport:
    """One profile of a plan. Whatever the source does not tell is None, never an empty count.

    `attention` counts fused attention kernels by name; `constant_bytes` adds up constants by type: weights that
    profiles share are in each of them, and once in the file. `kernels` is how many there are of any kind. `in_place` are the
    outputs written over an input: a cache that is not among them is copied whole at every call. `attention_layers` is
    how many layers the fused kernels compute. `is_every_product_told` only where the network's products were known.
    """

    index: int
    accelerators: tuple[str, ...] | None
    attention: dict[str, int] | None
    products: tuple[Product, ...] | None
    constant_bytes: dict[str, int] | None
    activation_bytes: int | None
    kernels: int | None
    in_place: tuple[str, ...] | None
    attention_layers: int | None
    is_every_product_told: bool

    def products_by_types(self) -> dict[str, int] | None:
        """How many of each, as in {"int8 x int8": 144, "half x half": 2}."""
        if self.products is None:
            return None
        return dict(sorted(Counter(product.types for product in self.products).items()))

    def layers_left_in(self, kind: str) -> tuple[str, ...] | None:
        """ONNX nodes whose product has both operands in this type: "float", "half", "bf16".

        None where a single product leaves it open, or one may not be told: a list that may lack a node is none.
        """
        if self.products is None or not self.is_every_product_told:
            return None
        if any(product.is_left_in(kind) is None for product in self.products):
            return None
        left = [product for product in self.products if product.is_left_in(kind)]
        return tuple(layer for product in left for layer in product.layers)

    def fused_attention(self) -> int | None:
        return self.attention_layers


@dataclass(frozen=True)
class PlanReport:
    """A plan by profile. `source` says what was read: the plan's own listing, or the engine made of it on a GPU."""

    plan_bytes: int
    profiles: tuple[ProfileReport, ...]
    source: Source


def report_from_plan(path: Path, asked: Sequence[NetworkProduct] | None = None) -> PlanReport:
    """Read from the plan itself, without a GPU and without the engine library, a few pages at a time.

    `asked` are the products of its network, which the report of its build names: without them nobody can say that
    none is missing. EVL-PLAN-LISTING where the file has no listings, or none of the kind we know: other versions
    write others.
    """
    try:
        with opened_plan(path) as data:
            plan_bytes, parts = len(data), parts_from(listings_in(data))
        reports = [
            profile_report(index, parts, asked)
            for index in sorted({main.header.profile for main, _ in parts})
        ]
    except (ListingError, ValueError) as fault:  # an empty file cannot be mapped: ValueError
        raise listing_error(path, str(fault)) from fault
    if not reports:
        raise listing_error(path, "there is none in the file")
    return PlanReport(plan_bytes, tuple(reports), "plan")


def listing_error(path: Path, why: str) -> EdgeVLError:
    what = f"{path.name} has no listing that can be read"
    fix = "build it with TensorRT-RTX 1.7.1: no listing of another version is known"
    return EdgeVLError("EVL-PLAN-LISTING", what, why, fix)


Part = tuple[Listing, list[Listing]]


def parts_from(listings: Iterable[Listing]) -> list[Part]:
    """Each part with the listings of its fusions, which follow it in the order of their numbers."""
    parts: list[Part] = []
    for listing in listings:
        if not listing.is_for_device:
            parts.append((listing, []))
        elif parts:
            parts[-1][1].append(listing)
        else:
            raise ListingError("a fusion stands before the part it belongs to")
    return parts


def profile_report(
    index: int, every: Sequence[Part], asked: Sequence[NetworkProduct] | None
) -> ProfileReport:
    parts = [part for part in every if part[0].header.profile == index]
    account = account_of_parts(parts, asked)
    return ProfileReport(
        index=index,
        accelerators=tuple(sorted({each for main, _ in parts for each in main.header.accelerators})),
        attention=attention_counts(each.name for each in functions_in(parts)),
        products=account.products,
        constant_bytes=constants_in(parts),
        # How the memory of several parts is shared, the listing does not tell.
        activation_bytes=parts[0][0].header.activation_bytes if len(parts) == 1 else None,
        kernels=sum(operation.kind in KERNELS for main, _ in parts for operation in main.operations),
        in_place=tuple(
            sorted(name for main, _ in parts for name in {*main.header.inputs} & {*main.header.outputs})
        ),
        attention_layers=account.attention_layers,
        is_every_product_told=account.is_complete,
    )


def functions_in(parts: Sequence[Part]) -> list[Operation]:
    """What is compiled in the plan already, and is of no kind of its own."""
    return [each for main, _ in parts for each in main.operations if each.kind == "function"]


def constants_in(parts: Sequence[Part]) -> dict[str, int]:
    sizes: Counter[str] = Counter()
    for listing in (each for main, fusions in parts for each in (main, *fusions)):
        for tensor in listing.tensors.values():
            sizes[tensor.type] += tensor.constant_bytes
    return {kind: size for kind, size in sorted(sizes.items()) if size}


def account_of_parts(parts: Sequence[Part], asked: Sequence[NetworkProduct] | None) -> Account:
    products: list[Product] = []
    kernels: list[Kernel] = []
    for part in parts:
        for operation, fusion in operations_of(part):
            found = list(products_of(part[0], operation, fusion))
            products += found
            if not found and operation.kind in KERNELS and not attention_kernel(operation.name):
                kernels.append(kernel_from(part[0], operation))
    attention: list[Nodes] = [each.layers for each in functions_in(parts) if attention_kernel(each.name)]
    return account_of(products, attention, kernels, asked)


def operations_of(part: Part) -> Iterator[tuple[Operation, Listing | None]]:
    """Each with the listing that it is compiled from on the device, if it is."""
    main, fusions = part
    numbers = {operation.binary for operation in main.operations if operation.kind in ON_DEVICE}
    if numbers != set(range(len(fusions))):
        raise ListingError(f"a part has {len(fusions)} listings of fusions and speaks of {len(numbers)}")
    for operation in main.operations:
        is_fusion = operation.kind in ON_DEVICE and operation.binary is not None
        yield operation, fusions[operation.binary or 0] if is_fusion else None


def products_of(main: Listing, operation: Operation, fusion: Listing | None) -> Iterator[Product]:
    if operation.kind in PLAN_PRODUCTS:
        yield product_from(main, operation, operation.layers, is_compiled_on_device=False)
    if fusion is not None:
        inner = [each for each in fusion.operations if each.kind in PLAN_PRODUCTS]
        for each in inner:
            # The outer line also names what is fused with the product; with two of them it cannot tell which.
            layers = each.layers or (operation.layers if len(inner) == 1 else ())
            yield product_from(fusion, each, layers, is_compiled_on_device=True)


def kernel_from(main: Listing, operation: Operation) -> Kernel:
    read = [(main.type_of(name), name) for name in operation.inputs]
    operands = tuple(Operand(kind, main.tensors[name].constant_bytes > 0) for kind, name in read)
    return Kernel(operation.name, operation.layers, operands, operation.kind in ON_DEVICE)


def product_from(
    listing: Listing, operation: Operation, layers: tuple[str, ...], is_compiled_on_device: bool
) -> Product:
    if len(operation.inputs) < 2:
        raise ListingError(f"{operation.name} has fewer than two operands")
    left, right = (
        stored_type(listing, name) if is_compiled_on_device else listing.type_of(name)
        for name in operation.inputs[:2]
    )
    return Product(PLAN_PRODUCTS[operation.kind], left, right, layers, is_compiled_on_device)


def stored_type(listing: Listing, name: str) -> str:
    """Inside a fusion the unpacked weights are in no memory: what counts is what they are unpacked from."""
    packed = sorted(source_types(listing, name) & QUANTISED)
    return packed[0] if packed else listing.type_of(name)


def source_types(listing: Listing, name: str) -> set[str]:
    """Of everything that the tensor is made from within the fusion, back to its inputs or to another product."""
    makers = [operation for operation in listing.operations if name in operation.outputs]
    if not makers or any(maker.kind in PLAN_PRODUCTS for maker in makers):
        return {listing.type_of(name)}
    return {kind for maker in makers for source in maker.inputs for kind in source_types(listing, source)}
