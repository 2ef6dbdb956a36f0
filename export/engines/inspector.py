"""What the engine library made of a graph: which attention was fused, which products run on which types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_runtime.errors import EdgeVLError
from export.engines.kernels import PLAN_PRODUCTS, QUANTISED, ProductKind, attention_counts
from export.engines.listing import Listing, ListingError, Operation, listings_in
from export.engines.planfile import opened_plan

Source = Literal["plan", "engine"]

UNLISTED = "unlisted"  # an operand that the source does not show
ON_DEVICE = {"runtime_fusion", "runtime_function"}  # compiled there, from a listing of their own
KERNELS = {*PLAN_PRODUCTS, *ON_DEVICE, "function"}


@dataclass(frozen=True)
class Product:
    """A matrix product or convolution: the types its operands are stored in, the ONNX nodes it computes.

    `is_compiled_on_device` ones are fused with what stands around them, such as the unpacking of 4-bit weights.
    The type of an operand that an engine does not show is "unlisted".
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


@dataclass(frozen=True)
class ProfileReport:
    """One profile of a plan. Whatever the source does not tell is None, never an empty count.

    `attention` counts fused attention kernels by name; `constant_bytes` adds up constants by type: weights that
    profiles share are in each of them, and once in the file. `kernels` is how many there are of any kind. `in_place` are the
    outputs written over an input: a cache that is not among them is copied whole at every call.
    """

    index: int
    accelerators: tuple[str, ...] | None
    attention: dict[str, int] | None
    products: tuple[Product, ...] | None
    constant_bytes: dict[str, int] | None
    activation_bytes: int | None
    kernels: int | None
    in_place: tuple[str, ...] | None

    def products_by_types(self) -> dict[str, int] | None:
        """How many of each, as in {"int8 x int8": 144, "half x half": 2}."""
        if self.products is None:
            return None
        return dict(sorted(Counter(product.types for product in self.products).items()))

    def layers_left_in(self, kind: str) -> tuple[str, ...] | None:
        """ONNX nodes whose product has both operands in this type: "float", "half", "bf16".

        None where a single product leaves it open: a list that may lack a node is none.
        """
        if self.products is None or any(product.is_left_in(kind) is None for product in self.products):
            return None
        left = [product for product in self.products if product.is_left_in(kind)]
        return tuple(layer for product in left for layer in product.layers)

    def fused_attention(self) -> int | None:
        return None if self.attention is None else sum(self.attention.values())


@dataclass(frozen=True)
class PlanReport:
    """A plan by profile. `source` says what was read: the plan's own listing, or the engine made of it on a GPU."""

    plan_bytes: int
    profiles: tuple[ProfileReport, ...]
    source: Source


def report_from_plan(path: Path) -> PlanReport:
    """Read from the plan itself, without a GPU and without the engine library, a few pages at a time.

    EVL-PLAN-LISTING where the file has no listings, or none of the kind we know: other versions write others.
    """
    try:
        with opened_plan(path) as data:
            plan_bytes, parts = len(data), parts_from(listings_in(data))
        reports = [
            profile_report(index, parts) for index in sorted({main.header.profile for main, _ in parts})
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


def profile_report(index: int, every: Sequence[Part]) -> ProfileReport:
    parts = [part for part in every if part[0].header.profile == index]
    constants: Counter[str] = Counter()
    for listing in (each for main, fusions in parts for each in (main, *fusions)):
        for tensor in listing.tensors.values():
            constants[tensor.type] += tensor.constant_bytes
    operations = [operation for main, _ in parts for operation in main.operations]
    names = [operation.name for operation in operations if operation.kind == "function"]
    return ProfileReport(
        index=index,
        accelerators=tuple(sorted({each for main, _ in parts for each in main.header.accelerators})),
        attention=attention_counts(names),
        products=tuple(product for part in parts for product in products_of(part)),
        constant_bytes={kind: size for kind, size in sorted(constants.items()) if size},
        # How the memory of several parts is shared, the listing does not tell.
        activation_bytes=parts[0][0].header.activation_bytes if len(parts) == 1 else None,
        kernels=sum(operation.kind in KERNELS for operation in operations),
        in_place=tuple(
            sorted(name for main, _ in parts for name in {*main.header.inputs} & {*main.header.outputs})
        ),
    )


def products_of(part: Part) -> Iterator[Product]:
    main, fusions = part
    numbers = {operation.binary for operation in main.operations if operation.kind in ON_DEVICE}
    if numbers != set(range(len(fusions))):
        raise ListingError(f"a part has {len(fusions)} listings of fusions and speaks of {len(numbers)}")
    for operation in main.operations:
        if operation.kind in PLAN_PRODUCTS:
            yield product_from(main, operation, operation.layers, is_compiled_on_device=False)
        elif operation.kind in ON_DEVICE and operation.binary is not None:
            yield from fused_products(operation, fusions[operation.binary])


def fused_products(fusion: Operation, listing: Listing) -> Iterator[Product]:
    inner = [operation for operation in listing.operations if operation.kind in PLAN_PRODUCTS]
    for operation in inner:
        # The outer line also names what is fused with the product; with two of them it cannot tell which.
        layers = fusion.layers if len(inner) == 1 else operation.layers
        yield product_from(listing, operation, layers, is_compiled_on_device=True)


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
