"""A machine with a GPU, as far as our code can tell: the fake driver, the fake library, and engines of small bundles."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_runtime.assistant import Assistant
from edge_runtime.backends.native.backend import NativeBackend
from edge_runtime.bundle import Bundle
from edge_runtime.cuda.device import Device
from edge_runtime.dialects import Dialect
from edge_runtime.engines.library import Library, version_from_text
from edge_runtime.engines.place import EngineName
from export.engines.compilation import engine_shapes
from export.engines.serving import Serving
from tests.edge_runtime.cuda.fake_driver import FakeDriver
from tests.edge_runtime.native.fake_tensorrt import fake_module, write_plan

RTX = "tensorrt_rtx-1.7.1.116"


@dataclass
class Board:
    """`title` is the record of the library that is installed on it."""

    title: str = RTX
    driver: FakeDriver = field(default_factory=FakeDriver)
    settings: dict[str, Any] = field(default_factory=dict)  # of `write_plan`

    def __post_init__(self) -> None:
        self.module: Any = fake_module(self.title, self.driver)

    @property
    def library(self) -> Library:
        module, _, version = self.title.partition("-")
        name: EngineName = "tensorrt-rtx" if module == "tensorrt_rtx" else "tensorrt"
        return Library(name, self.module, version_from_text(version))

    def device(self) -> Device:
        return Device(load=lambda name: self.driver)

    def plans(self, bundle: Bundle, dialect: Dialect, folder: Path, serving: Serving) -> dict[str, Path]:
        """Of every role, with the profiles that `edge-vl build` gives them."""
        folder.mkdir(exist_ok=True)
        return {
            shape.name: write_plan(
                bundle.path_of(entry),
                shape.profiles,
                folder / shape.name,
                built_for=self.title,
                **self.settings,
            )
            for entry in bundle.manifest.graphs
            if entry.dialect == dialect
            for shape in engine_shapes(bundle, entry, serving)
        }

    def backend(
        self, bundle: Bundle, dialect: Dialect, folder: Path, serving: Serving | None = None
    ) -> NativeBackend:
        serving = serving or Serving(bundle.manifest.max_context)
        return self.opened(self.plans(bundle, dialect, folder, serving), dialect)

    def opened(self, plans: dict[str, Path], dialect: Dialect) -> NativeBackend:
        return NativeBackend(self.library, dialect, plans, self.device)

    def assistant(self, bundle: Bundle, dialect: Dialect, folder: Path) -> Assistant:
        return Assistant(bundle, self.backend(bundle, dialect, folder))
