"""Engines that are really built, once a session, each by a process of its own; and what a workshop begins with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from edge_runtime.bundle import Bundle
from edge_runtime.engines.shelf import Shelf
from export.engines.compiler import build_engine
from export.engines.inspector import PlanReport, report_from_plan
from export.engines.request import BuildReport, BuildRequest
from export.engines.shapes import Profile
from tests.export.engines import graphs
from tests.export.engines.adders import write_adders

Draw = Callable[[Path], Path]


@dataclass(frozen=True)
class Built:
    request: BuildRequest
    report: BuildReport
    plan: PlanReport

    @property
    def path(self) -> Path:
        return Path(self.report.plan)


class Workshop:
    """Builds each toy when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._built: dict[str, Built] = {}

    def built(self, name: str, draw: Draw, *profiles: Profile) -> Built:
        if name not in self._built:
            graph = draw(self.folder / f"{name}.onnx")
            request = BuildRequest(
                name, "tensorrt-rtx", str(graph), str(self.folder / f"{name}.plan"), profiles
            )
            report = build_engine(request)
            self._built[name] = Built(request, report, report_from_plan(Path(report.plan), report.products))
        return self._built[name]


@pytest.fixture(scope="session")
def rtx() -> None:
    if find_spec("tensorrt_rtx") is None:
        pytest.skip("tensorrt-rtx is not installed, and there is none for this machine or Python")


@pytest.fixture(scope="session")
def workshop(rtx: None, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("engines"))


@pytest.fixture
def product(tmp_path: Path) -> BuildRequest:
    """A request that nobody has answered yet."""
    graph = graphs.product(tmp_path / "product.onnx")
    return BuildRequest(
        "decoder", "tensorrt-rtx", str(graph), str(tmp_path / "product.plan"), (graphs.rows(),)
    )


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine may have one, which would be asked what is in our plans."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_adders(tmp_path / "bundle")


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    (tmp_path / "engines").mkdir()
    return Shelf(tmp_path / "engines")
