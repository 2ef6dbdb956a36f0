"""A double of an engine library of any version that builds nothing and writes down what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_runtime.engines.library import Library, version_from_text
from edge_runtime.engines.place import EngineName
from tests.export.engines.recorded import Double, check_call, real_module
from tests.export.engines.timekeeper import Timekeeper

PLAN = b"ftrt and more"


@dataclass(frozen=True)
class Members:
    """An enumeration of the library's."""

    real: Any
    calls: list[str]
    absent: Collection[str]

    def __getattr__(self, name: str) -> Any:
        return member_of(self.real, self.real.__name__, name, self.calls, self.absent)


class AttentionInput(Double):
    """What a layer is once it was given this class; until then it is handed out as the base class."""

    def __getattr__(self, name: str) -> Any:
        self.real = real_module().IAttentionInputLayer
        return super().__getattr__(name)


def member_of(real: Any, owner: str, name: str, calls: list[str], absent: Collection[str]) -> Any:
    title = f"{owner}.{name}" if owner else name
    if title in absent:
        raise AttributeError(title)
    assert hasattr(real, name), f"there is no {title}"
    calls.append(title)
    return getattr(real, name)


@dataclass
class Foundry:
    """`absent` are full names, such as `Builder.create_network`; `layers` are what the parser makes of any graph."""

    absent: Collection[str] = ()
    layers: Sequence[str] = ("CONSTANT", "MATRIX_MULTIPLY")
    calls: list[str] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    flagged: list[object] = field(default_factory=list)  # of its configurations
    attention: list[Double] = field(default_factory=list)
    configs: list[Double] = field(default_factory=list)
    profiles: list[tuple[object, ...]] = field(default_factory=list)
    timekeeper: Timekeeper = field(default_factory=Timekeeper)
    is_refused: bool = False  # what is asked of it to build

    def library(self, version: str, name: EngineName = "tensorrt") -> Library:
        foundry = self

        class Module:
            def __getattr__(self, name: str) -> Any:
                made = member_of(real_module(), "", name, foundry.calls, foundry.absent)
                doubles = {"Builder": foundry.builder, "OnnxParser": foundry.parser}
                if name in doubles:
                    return doubles[name]
                if name == "IAttentionInputLayer":
                    return AttentionInput
                is_enumeration = hasattr(made, "__members__")
                return Members(made, foundry.calls, foundry.absent) if is_enumeration else made

        return Library(name, Module(), version_from_text(version))

    def double(self, kind: str, can_be_none: tuple[str, ...] = (), **answers: Any) -> Double:
        absent = tuple(name.partition(".")[2] for name in self.absent if name.partition(".")[0] == kind)
        return Double(getattr(real_module(), kind), answers, self.calls, absent, can_be_none)

    def builder(self, logger: Any) -> Double:
        check_call(real_module().Builder.__init__, (logger,), "Builder")
        self.timekeeper.begin(lambda words: logger.log(real_module().ILogger.ERROR, words))
        return self.double(
            "Builder",
            create_network=self.network,
            create_builder_config=self.config,
            create_optimization_profile=self.profile,
            build_serialized_network=self.at_once,
            build_serialized_network_to_stream=self.stream,
            can_be_none=("build_serialized_network",),
        )

    def at_once(self, network: Double, config: Double) -> bytes | None:
        self.timekeeper.time(self.layers)
        return None if self.is_refused else PLAN

    def stream(self, network: Double, config: Double, writer: Any) -> bool:
        self.timekeeper.time(self.layers)
        if self.is_refused:
            return False
        return bool(writer.write(PLAN[:4]) == 4 and writer.write(PLAN[4:]) == len(PLAN) - 4)

    def parser(self, network: Double, logger: Any) -> Double:
        check_call(real_module().OnnxParser.__init__, (network, logger), "OnnxParser")
        return self.double("OnnxParser", parse_from_file=lambda path: True)

    def network(self, flags: int) -> Double:
        self.flags.append(flags)
        layers = [self.layer(kind) for kind in self.layers]
        x = self.double("ITensor", name="x", shape=(-1, 256))
        return self.double(
            "INetworkDefinition",
            num_inputs=1,
            num_outputs=1,
            num_layers=len(layers),
            get_input=lambda index: x,
            get_layer=layers.__getitem__,
        )

    def layer(self, kind: str) -> Double:
        real, attention = real_module(), self.double("IAttention")
        operand = self.double("ITensor", dtype=real.DataType.HALF)
        self.attention.append(attention)
        return self.double(
            "ILayer",
            type=getattr(real.LayerType, kind),
            name=kind.lower(),
            metadata=f"[ONNX Layer: {kind.lower()}]",
            get_input=lambda index: operand,
            attention=attention,
        )

    def config(self) -> Double:
        keeper = self.timekeeper
        config = self.double(
            "IBuilderConfig",
            can_be_none=("create_timing_cache",),
            add_optimization_profile=lambda profile: 0,
            create_timing_cache=lambda data: keeper.created(data, self.double),
            set_timing_cache=keeper.attached,
            set_flag=self.flagged.append,
        )
        self.configs.append(config)
        return self.configs[-1]

    def profile(self) -> Double:
        keep: Callable[..., None] = lambda *given: self.profiles.append(given)  # noqa: E731
        return self.double("IOptimizationProfile", set_shape=keep)
