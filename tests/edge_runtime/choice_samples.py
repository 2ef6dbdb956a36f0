"""A machine of doubles to choose an engine on, and engines on a shelf with what a trial found of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.backends.native.backend import NativeBackend
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.backends.provider import CPU, CUDA, Provider
from edge_runtime.backends.provider_probe import ProvidersHere
from edge_runtime.bundle import Bundle
from edge_runtime.choice import Choice, Ground, Wish, chosen
from edge_runtime.cuda.device import Device
from edge_runtime.dialects import Dialect
from edge_runtime.engines.collection import Collection, Search
from edge_runtime.engines.library import Library
from edge_runtime.engines.place import EngineName, Gpu, Place
from edge_runtime.engines.shelf import Shelf
from edge_runtime.engines.trial import Candidate, RoleTrial, Trial, subject_of, write_trial
from edge_runtime.errors import EdgeVLError
from edge_runtime.spec import Role
from tests.edge_runtime.bundle_samples import ROLES
from tests.edge_runtime.cuda.fake_driver import FakeDriver
from tests.edge_runtime.engines.engine_samples import CONTEXT, bundle_with, key_for, put_all
from tests.edge_runtime.engines.test_key import ORIN, PLACE
from tests.edge_runtime.engines.test_shelf import put, receipt_of

RTX = Place("tensorrt-rtx", "1.7.1", ORIN)
THOR = dataclasses.replace(PLACE, gpu=Gpu("Thor", "sm110", "13.0"))
VERSIONS: dict[EngineName, tuple[int, ...]] = {"tensorrt": (10, 3, 0), "tensorrt-rtx": (1, 7, 1)}
NO_CUDA = "this build of ONNX Runtime has no CUDAExecutionProvider"
REFERENCE = "ONNX Runtime 1.23.2 on the CPU"
RIGHT = Candidate((), "fp16", False, 70.0, 2.0, "")
WRONG = dataclasses.replace(RIGHT, sqnr_db=1.0, fault="it is 1 dB like the reference, 35 are wanted")
SLOW = dataclasses.replace(RIGHT, ms=20.0)


class Module:
    """As much of TensorRT as is asked for before an engine is opened."""

    class ILogger:
        pass

    class Runtime:
        def __init__(self, logger: object) -> None:
            assert isinstance(logger, Module.ILogger)


@dataclass
class Machine:
    """What there is on it; `asked` is what was looked for, in order."""

    gpu: Gpu | EdgeVLError | None = ORIN
    libraries: tuple[EngineName, ...] = ("tensorrt",)
    usable: tuple[Provider, ...] = (CPU,)
    driver: FakeDriver = field(default_factory=FakeDriver)
    asked: list[str] = field(default_factory=list)

    @property
    def ground(self) -> Ground:
        return Ground(self._gpu, self._library, self._device, self._providers, self._provider)

    def _gpu(self) -> Gpu | None:
        self.asked.append("gpu")
        if isinstance(self.gpu, EdgeVLError):
            raise self.gpu
        return self.gpu

    def _library(self, name: EngineName) -> Library:
        self.asked.append(name)
        if name not in self.libraries:
            raise EdgeVLError("EVL-ENGINE-MISSING", f"{name} is not installed", "no module", "install it")
        return Library(name, Module, VERSIONS[name])

    def _device(self) -> Device:
        return Device(load=lambda name: self.driver)

    def _providers(self) -> ProvidersHere:
        self.asked.append("providers")
        if not self.usable:
            raise EdgeVLError(
                "EVL-ENGINE-MISSING", "ONNX Runtime is not installed", "no module", "install it"
            )
        return ProvidersHere(self.usable, {} if CUDA in self.usable else {CUDA.engine: NO_CUDA})

    def _provider(self, engine: str) -> Provider:
        self.asked.append(engine)
        return {each.engine: each for each in (CPU, CUDA)}[engine]


def found_on(shelf: Shelf, bundle: Bundle, place: Place = PLACE) -> Collection:
    dialect: Dialect = "trt" if place.engine == "tensorrt-rtx" else "trt10"
    return Search(bundle, dialect, place).found([shelf])


def put_tried(
    bundle: Bundle,
    shelf: Shelf,
    found: Mapping[Role, tuple[Candidate, ...]] | None = None,
    place: Place = PLACE,
) -> Trial:
    """Engines, and a trial that found them right and fast but for those in `found`; the first of a role's candidates
    are the engines."""
    put_all(bundle, shelf, place)
    engines = found_on(shelf, bundle, place)
    roles = tuple(
        RoleTrial(role, 10.0, candidates_of(engines, role, (found or {}).get(role, (RIGHT,))))
        for role in ROLES
    )
    subject = subject_of(bundle, engines.dialect, engines.context, place)
    trial = Trial(subject, REFERENCE, "2026-01-31", "0.1.0", roles)
    write_trial(shelf.folder, trial)
    return trial


def candidates_of(engines: Collection, role: Role, found: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    receipts = [r for _, r in sorted(engines.receipts.items()) if r.key.role == role]
    folders, digests = tuple(r.key.folder for r in receipts), tuple(r.plan_sha256 for r in receipts)
    return (dataclasses.replace(found[0], engines=folders, plan_sha256s=digests), *found[1:])


def put_fallback(shelf: Shelf, folder: Path) -> Candidate:
    """The decoder of another bundle, in one engine, that stands in."""
    key = key_for(bundle_with(folder, changed=("decoder",)), "decoder", CONTEXT, 32)
    put(shelf, key)
    digests = (receipt_of(key).plan_sha256,)
    return dataclasses.replace(RIGHT, engines=(key.folder,), plan_sha256s=digests, is_fallback=True)


def choice_on(machine: Machine, bundle: Bundle, **wish: Any) -> Choice:
    choice = chosen(bundle, Wish(**wish), machine.ground)
    choice.backend.close()
    assert machine.driver.leaks() == []
    return choice


def native(choice: Choice) -> NativeBackend:
    assert isinstance(choice.backend, NativeBackend)
    return choice.backend


def refusal(machine: Machine, bundle: Bundle, engine: str, **wish: Any) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        chosen(bundle, Wish(engine, **wish), machine.ground)
    assert machine.driver.leaks() == []
    return caught.value


def on_cpu(choice: Choice) -> str:
    """Why it is there."""
    assert isinstance(choice.backend, OrtBackend)
    assert (choice.backend.provider, choice.backend.dialect) == (CPU, "ort")
    return choice.why


def without_tensorrt(why: str) -> str:
    return (
        f"TensorRT: {why}; TensorRT-RTX: tensorrt-rtx is not installed (no module); {CUDA.engine}: {NO_CUDA}"
    )
