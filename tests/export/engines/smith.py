"""A double of the compiler whose plans can be read, and the workshop that it works in."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime.bundle import Bundle
from edge_runtime.engines.place import Place
from edge_runtime.engines.shelf import Shelf
from edge_runtime.progress import silent
from export.engines.request import BuildReport, BuildRequest
from export.engines.serving import Serving
from export.engines.workshop import Build, Made, Order, Workshop, orders_of

PLACE = Place("tensorrt-rtx", "1.7.1", None)
CONTEXT, LIMIT_MIB = 128, 2000
LISTING = b"""header {
  region = { name=devmem size=512 alignment=128 instance=0 type=user place=accelerator unified=false }
  inputs={ "x" }
  outputs={ "y" }
  accelerators={sm89 }
}
descriptors {
  tensor={ alignment=128 const_payload_size=64 dims={ 8 } name="bias" offset=0 region=consts type=float }
}
main {
  add={ name="add" output={"y" } input={"x" "bias" } stream=0 layers="[ONNX Layer: add]" }
}
"""
PLAN = b"ftrt" + struct.pack("<4sIQ", b"NLYM", 0, len(LISTING)) + LISTING


@dataclass
class Smith:
    """Stands in for the compiler: every plan is the same, and what was asked for is written down."""

    requests: list[BuildRequest] = field(default_factory=list)
    limits: list[int | None] = field(default_factory=list)
    before: Callable[[BuildRequest], None] = lambda request: None

    def __call__(self, request: BuildRequest, limit_mib: int | None) -> BuildReport:
        self.requests.append(request)
        self.limits.append(limit_mib)
        self.before(request)
        Path(request.plan).write_bytes(PLAN)
        return BuildReport(
            request.role, request.engine, "1.7.1", request.plan, len(PLAN),
            0.25, 1.5, 100.04, 200.06, None, None, {"CONSTANT": 1}, (), ("mind the gap",),
        )  # fmt: skip

    @property
    def plans(self) -> list[str]:
        return [Path(request.plan).stem for request in self.requests]


def orders(bundle: Bundle, place: Place = PLACE, context: int = CONTEXT) -> list[Order]:
    return orders_of(bundle, "trt", place, Serving(context))


def made(bundle: Bundle, shelf: Shelf, build: Build, wanted: list[Order] | None = None) -> list[Made]:
    return list(Workshop(bundle, shelf, LIMIT_MIB, silent, build).made(wanted or orders(bundle)))
