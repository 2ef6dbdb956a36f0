"""Doubles of the engine library's objects that answer only what the real ones can be asked.

Every member must be one of the real class; the arguments and the answer must be of the types that the real
method's own documentation gives. What they answer is the test's.
"""

from __future__ import annotations

import importlib
import json
import mmap
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_runtime.engines.library import Library, version_from_text

REAL_MODULE = "tensorrt_rtx"
SIGNATURE = re.compile(r"^(?:\d+\. )?\w+\(self: [\w.]+(?:, (.*))?\) -> (.+)$", re.MULTILINE)
# Of the types that signatures name, those that are Python's own or that Python's own stand for.
PLAIN: dict[str, tuple[type, ...]] = {
    "SupportsInt": (int,),
    "int": (int,),
    "bool": (bool,),
    "str": (str,),
    "None": (type(None),),
    "Buffer": (bytes, mmap.mmap),
    "Dims": (tuple,),
    "IHostMemory": (bytes,),
}


def real_module() -> Any:
    return importlib.import_module(REAL_MODULE)


def is_of_type(value: object, words: str) -> bool:
    name = words.partition(" = ")[0].rpartition(".")[2]  # without the default
    if isinstance(value, Double):
        return any(base.__name__ == name for base in value.real.__mro__)
    kind: type | tuple[type, ...] = PLAIN[name] if name in PLAIN else getattr(real_module(), name)
    return isinstance(value, kind)


def signatures(method: Any) -> list[tuple[list[str], str]]:
    """The types of the parameters and of the result, once for every overload."""
    found = SIGNATURE.findall(str(method.__doc__))
    assert found, f"no signature in {method.__doc__!r}"
    return [([part.split(": ")[1] for part in given.split(", ") if part], result) for given, result in found]


def check_call(method: Any, arguments: Sequence[object], title: str) -> list[str]:
    """What the overloads that fit would answer; fails where none does."""
    results = [
        result
        for types, result in signatures(method)
        if len(types) == len(arguments) and all(map(is_of_type, arguments, types))
    ]
    assert results, f"{title}{tuple(arguments)} is none of {signatures(method)}"
    return results


@dataclass
class Double:
    """`answers` are values for properties and functions for methods; what is `absent` another version lacks.

    Properties that are set land in `given`.
    """

    real: Any
    answers: Mapping[str, Any]
    calls: list[str]
    absent: tuple[str, ...] = ()
    can_be_none: tuple[str, ...] = ()
    given: dict[str, object] = field(default_factory=dict)

    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith("__") or name in type(self).__dataclass_fields__:
            object.__setattr__(self, name, value)
            return
        title = f"{self.real.__name__}.{name}"
        member = getattr(self.real, name, None)
        assert isinstance(member, property) and member.fset is not None, f"{title} cannot be set"
        assert name not in self.absent, f"there is no {title} in this version"
        assert is_of_type(value, str(member.fget.__doc__).rpartition("-> ")[2].strip()), (title, value)
        self.calls.append(title)
        self.given[name] = value

    def __getattr__(self, name: str) -> Any:
        if name in self.absent:
            raise AttributeError(name)
        title = f"{self.real.__name__}.{name}"
        member = getattr(self.real, name, None)
        assert member is not None, f"there is no {title}"
        assert name in self.answers, f"nobody foresaw {title}"
        self.calls.append(title)
        if isinstance(member, property):
            return self.answers[name]

        def call(*arguments: object) -> object:
            results = check_call(member, arguments, title)
            answer = self.answers[name](*arguments)
            is_none = answer is None and name in self.can_be_none
            assert is_none or any(is_of_type(answer, result) for result in results), (title, answer)
            return answer

        return call


@dataclass(frozen=True)
class Ports:
    """What an engine's tensors are: inputs, and outputs with the input that each is written over."""

    inputs: tuple[str, ...] = ("x",)
    outputs: Mapping[str, str | None] = field(default_factory=lambda: {"y": None})

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.inputs, *self.outputs)


class Device:
    """A GPU that opens one plan, whose engine's inspector says `text`; None is a plan it cannot open."""

    def __init__(
        self,
        text: str | None,
        activation_bytes: Sequence[int] = (4096,),
        ports: Ports | None = None,
        absent: tuple[str, ...] = (),
    ) -> None:
        self.calls: list[str] = []
        self.opened: list[bytes] = []
        self.said: tuple[str, ...] = ()
        self._text, self._sizes, self._ports, self._absent = text, activation_bytes, ports or Ports(), absent

    def library(self, version: str = "1.7.1.116") -> Library:
        real = real_module()
        outer = self

        class Module:
            """The real module, but for the one class that wants a GPU."""

            @staticmethod
            def Runtime(logger: Any) -> Double:  # noqa: N802  (the library's name)
                check_call(real.Runtime.__init__, (logger,), "Runtime")
                for words in outer.said:
                    logger.log(real.ILogger.ERROR, words)
                return outer.runtime()

            def __getattr__(self, name: str) -> Any:
                return getattr(real, name)

        return Library("tensorrt-rtx", Module(), version_from_text(version))

    def runtime(self) -> Double:
        def open_plan(plan: Any) -> Double | None:
            self.opened.append(bytes(plan[:]))
            return None if self._text is None else self.engine(self._text)

        name = "deserialize_cuda_engine"
        return Double(real_module().Runtime, {name: open_plan}, self.calls, can_be_none=(name,))

    def engine(self, text: str) -> Double:
        real, ports = real_module(), self._ports
        mode = real.TensorIOMode
        inspector = Double(real.EngineInspector, {"get_engine_information": lambda _: text}, self.calls)
        answers: dict[str, int | Callable[..., object]] = {
            "create_engine_inspector": lambda: inspector,
            "num_optimization_profiles": len(self._sizes),
            "get_device_memory_size_for_profile_v2": lambda index: self._sizes[index],
            "num_io_tensors": len(ports.names),
            "get_tensor_name": lambda index: ports.names[index],
            "get_tensor_mode": lambda name: mode.INPUT if name in ports.inputs else mode.OUTPUT,
            "get_aliased_input_tensor": ports.outputs.get,
        }
        aliased = ("get_aliased_input_tensor",)
        return Double(real.ICudaEngine, answers, self.calls, self._absent, aliased)


def layer(name: str, kind: str, *inputs: str, nodes: Sequence[str] = (), **more: object) -> dict[str, object]:
    """A layer in the inspector's words."""
    tensors = [
        {"Name": f"t{index}", "Location": "Device", "Dimensions": [-1, 256], "Format/Datatype": words}
        for index, words in enumerate(inputs)
    ]
    metadata = "\x1e".join(f"[ONNX Layer: {node}]" for node in nodes)
    told = {"Name": name, "LayerType": kind, "Inputs": tensors, "Outputs": [], "StreamId": 0}
    return told | {"TacticName": "", "Metadata": metadata} | more


def inspector_text(*layers: object, **more: object) -> str:
    return json.dumps({"Layers": layers, "Bindings": ["x", "y"]} | more)
