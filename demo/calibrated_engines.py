"""What the engine library's compiler makes of a calibrated bundle."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from calibration.ranges import layer_names
from demo.full_engines import ENGINE, TENSORRT_DIALECTS, record_from_compiled, worst
from edge_runtime.bundle import Bundle
from export.engines.compilation import Compiled, compiled_engine, engine_shapes
from export.engines.products import UNLISTED
from export.engines.serving import Serving


def decoder_engines(bundle: Bundle, folder: Path) -> Iterator[Compiled]:
    """In both TensorRT dialects; each plan is removed as soon as it was looked into."""
    serving = Serving(bundle.manifest.max_context)
    with TemporaryDirectory(prefix="plans-", dir=folder) as plans:
        for entry in [bundle.graph("decoder", dialect) for dialect in TENSORRT_DIALECTS]:
            for shape in engine_shapes(bundle, entry, serving):
                compiled = compiled_engine(bundle, entry, ENGINE, shape, Path(plans))
                Path(compiled.build.plan).unlink()
                yield compiled


def engine_records(source: Bundle, bundle: Bundle, every: Iterable[Compiled]) -> Iterator[dict[str, object]]:
    for compiled in every:
        names = layer_names(source, source.graph(compiled.role, compiled.dialect))
        record = record_from_compiled(compiled, bundle) | {
            "is_attention_fused": compiled.has_fused_attention(bundle.spec),
            "float_products": float_products(compiled, names),
        }
        print(f"{compiled.dialect} {compiled.name}: {record}", file=sys.stderr, flush=True)
        yield record


def float_products(compiled: Compiled, names: Collection[str]) -> list[str] | None:
    """Layers with integer weights that the compiler multiplies as floats all the same: there should be none.

    None where a product is not told, or not what its weights are stored in.
    """
    profiles = compiled.found.reports[0].profiles
    if not all(profile.is_every_product_told for profile in profiles):
        return None
    layers = [
        (layer, product.right)
        for profile in profiles
        for product in profile.products or ()
        for layer in product.layers
        if product.kind == "matmul" and layer.partition("/")[0] in names
    ]
    if any(right == UNLISTED for _, right in layers):
        return None
    return [layer for layer, right in layers if "int" not in right]


def engine_row(record: Mapping[str, Any]) -> str:
    profiles, wanted, left = record["profiles"], record["attention_layers"], record["float_products"]
    products = "; ".join(
        ", ".join(f"{count} {types}" for types, count in (each["products"] or {}).items())
        for each in profiles
    )
    fused = worst(min, [profile["fused_attention_layers"] for profile in profiles])
    return (
        f"| {record['engine']} | {record['dialect']} | {products} | {'not told' if left is None else len(left)}"
        f" | {f'{fused}/{wanted}' if wanted else '–'} | {record['plan_bytes'] / 1e6:.0f} MB |"
    )
