"""What counts as fused attention and as a product, in the words of a plan's listing and of an engine's inspector."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import Literal

ProductKind = Literal["matmul", "convolution"]

ATTENTION = re.compile(r"_?(gemm|gemv|fused)\w*_mha\w*")
NUMBERED = re.compile(
    r"(_myl\d+_\d+|_0x[0-9a-f]+)$"
)  # an engine numbers its kernels and hashes their tactics
QUANTISED = {"int4", "int8", "fp4", "fp8"}

PLAN_PRODUCTS: dict[str, ProductKind] = {
    "fully_connected": "matmul",
    "corrltn": "convolution",
    "deconvolution": "convolution",
}
ENGINE_PRODUCTS: dict[str, ProductKind] = PLAN_PRODUCTS | {
    "gemm": "matmul",
    "matrixmultiply": "matmul",
    "caskgemmmatrixmultiply": "matmul",
    "convolution": "convolution",
    "caskconvolution": "convolution",
    "caskconvactpool": "convolution",
    "caskgemmconvolution": "convolution",
}
# A fusion is named by what it is made of, in words of four letters at most: __myl_ReplCastMulCastFc.
FUSION = re.compile(r"__myl_(\w+)")
WORD = re.compile(r"[A-Z][a-z0-9]*")
CAST, ROUND, CUT_OFF = "Cast", "Roun", "Etc"  # the last word of a name that was too long
TACTICS: tuple[tuple[re.Pattern[str], ProductKind], ...] = (
    (re.compile(r"(^|_)fprop_"), "convolution"),  # first: "fprop_implicit_gemm" is a convolution
    (re.compile(r"(^|_)gem[mv]"), "matmul"),
)


def attention_kernel(name: str) -> str | None:
    """The name of a fused attention kernel without its number; None for all others."""
    bare = NUMBERED.sub("", name)
    return bare if ATTENTION.fullmatch(bare) else None


def attention_counts(names: Iterable[str]) -> dict[str, int]:
    """How many there are of each, by name."""
    found = (attention_kernel(name) for name in names)
    return dict(sorted(Counter(name for name in found if name is not None).items()))


def words_of(name: str) -> tuple[str, ...]:
    """What a fusion is made of; none for kernels with names of their own."""
    fusion = FUSION.match(NUMBERED.sub("", name))
    return tuple(WORD.findall(fusion[1])) if fusion else ()


def sums_of_products(name: str) -> int:
    """How many products a fusion multiplies and sums: those of one row, or few, have no kind of their own."""
    return list(pairwise(words_of(name))).count(("Mul", "Sum"))


def product_in_engine(layer_type: str, name: str, tactic: str) -> ProductKind | None:
    """By the layer's type; fusions have one type for all, and are known by their name or by their tactic's."""
    if kind := ENGINE_PRODUCTS.get(layer_type.casefold()):
        return kind
    if "Fc" in words_of(name):
        return "matmul"
    return next((kind for pattern, kind in TACTICS if pattern.search(tactic)), None)
