"""A graph read into a network: strongly typed, its shapes checked, its attention allowed to fall apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_runtime.engines.library import Library
from edge_runtime.errors import EdgeVLError, one_line
from export.engines.log import BuildLog, is_about_memory
from export.engines.request import BuildRequest
from export.engines.shapes import Profile


class NoMemoryError(Exception):
    """The library's words say that memory ran out."""


def new_network(library: Library, builder: Any) -> Any:
    """Always strongly typed: TensorRT 11 knows no other kind, and may one day know no such flag."""
    flags = getattr(library.module, "NetworkDefinitionCreationFlag", None)
    typed = getattr(flags, "STRONGLY_TYPED", None)
    return builder.create_network(0 if typed is None else 1 << int(typed))


def parse_graph(library: Library, network: Any, logger: Any, log: BuildLog, request: BuildRequest) -> Any:
    """Fills the network and returns the parser, which must outlive the build; EVL-BUILD-PARSE if it refuses."""
    parser = library.module.OnnxParser(network, logger)
    if not parser.parse_from_file(request.onnx):
        raise refusal_error(library, parser, log, request)
    if not network.num_outputs:
        # The parser calls any bytes a model if protobuf can skip them.
        raise parse_error(library, request, "the file holds no graph with outputs")
    return parser


def refusal_error(library: Library, parser: Any, log: BuildLog, request: BuildRequest) -> Exception:
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    words = [words_of(error, log) for error in errors] or [log.last_words()]
    if about_memory := [each for each in words if is_about_memory(each)]:
        return NoMemoryError(about_memory[0])
    if log.is_about_memory():
        return NoMemoryError(log.last_words())
    more = f" (and {len(words) - 1} more)" if len(words) > 1 else ""
    return parse_error(library, request, words[0] + more)


def words_of(error: Any, log: BuildLog) -> str:
    place = (
        f"node {error.node()} {error.node_name()!r} ({error.node_operator()}): " if error.node() >= 0 else ""
    )
    said = log.without_noise(str(error.desc()))
    return f"{place}{said} [{error.code().name} in {error.func()}]"


def parse_error(library: Library, request: BuildRequest, why: str) -> EdgeVLError:
    what = f"{request.role}: {library.title} cannot read {Path(request.onnx).name}"
    fix = (
        "see first whether the bundle is sound: `edge-vl verify BUNDLE`; if it is, export this role in a dialect that "
        "this version reads: trt10 from 10.3 on, trt from 10.15 on and for RTX"
    )
    return EdgeVLError("EVL-BUILD-PARSE", what, why, fix)


def shapes_error(where: str, why: str) -> EdgeVLError:
    fix = "give profiles that fit the graph's inputs, or export this role again"
    return EdgeVLError("EVL-BUILD-SHAPES", f"{where} cannot be built with these shapes", why, fix)


def let_attention_decompose(library: Library, network: Any) -> None:
    """Attention without a fused kernel (FP32 with a mask) is built of parts instead of refused.

    Where there is a fused kernel it is taken all the same: the FP16 plans are equal byte for byte.
    """
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.type.name == "ATTENTION_INPUT":
            # The bindings hand out every layer as the base class. Before 10.14 there is neither layer nor class.
            layer.__class__ = library.module.IAttentionInputLayer
            layer.attention.decomposable = True


def inputs_of(network: Any) -> dict[str, tuple[int, ...]]:
    """Shapes by name; -1 is a dynamic size."""
    tensors = [network.get_input(index) for index in range(network.num_inputs)]
    return {tensor.name: tuple(tensor.shape) for tensor in tensors}


def check_profiles(profiles: tuple[Profile, ...], inputs: dict[str, tuple[int, ...]], where: str) -> None:
    """EVL-BUILD-SHAPES unless every profile covers every dynamic input, and fits what is static."""
    dynamic = {name: shape for name, shape in inputs.items() if -1 in shape}
    if dynamic and not profiles:
        raise shapes_error(where, f"these inputs are dynamic and there is no profile: {shown(dynamic)}")
    for profile in profiles:
        title = f"the profile {profile.name}"
        if unknown := sorted(profile.inputs.keys() - inputs.keys()):
            raise shapes_error(where, f"{title} names {', '.join(unknown)}; the inputs are {shown(inputs)}")
        if missing := {name: shape for name, shape in dynamic.items() if name not in profile.inputs}:
            raise shapes_error(where, f"{title} lacks the dynamic inputs {shown(missing)}")
        for name, given in profile.inputs.items():
            ends = (given.minimum, given.maximum)
            if not all(is_fitting(end, inputs[name]) for end in ends):
                why = f"{title} gives {name} the range {given}, the graph has {list(inputs[name])}"
                raise shapes_error(where, why)


def is_fitting(given: tuple[int, ...], declared: tuple[int, ...]) -> bool:
    pairs = zip(given, declared, strict=False)
    return len(given) == len(declared) and all(there in (-1, size) for size, there in pairs)


def shown(inputs: dict[str, tuple[int, ...]]) -> str:
    return one_line(", ".join(f"{name} {list(shape)}" for name, shape in inputs.items()), 300)


def add_profiles(builder: Any, config: Any, profiles: tuple[Profile, ...]) -> None:
    for profile in profiles:
        made = builder.create_optimization_profile()
        for name, given in profile.inputs.items():
            made.set_shape(name, given.minimum, given.optimum, given.maximum)
        config.add_optimization_profile(made)
