"""The readable listings inside a plan of TensorRT-RTX: what each compiled part computes, on what types.

NVIDIA does not document them. They were read in plans of TensorRT-RTX 1.7.1.116 and are taken at their word only
where their shape is exactly the known one. Each stands behind the mark NLYM, a version, and its length in bytes.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MARK, HEADER, OPENING = b"NLYM", struct.Struct("<4sIQ"), b"header {\n"
SECTION = re.compile(r"^(\w+) \{$")
FIELD = re.compile(r"^  (\w+)=\{ ")
PART_OF = re.compile(r"^  sub_tensor=\{ base=\"([^\"]*)\"")
NAME = re.compile(r" name=(?:\"([^\"]*)\"|(\S+))")
CONSTANT = re.compile(r" const_payload_size=(\d+) ")
TYPE = re.compile(r" type=(\w+) \}$")
INPUTS = re.compile(r" (?:input|input_args)=\{((?: |\"[^\"]*\")*)\}")
OUTPUTS = re.compile(r" (?:output|output_args)=\{((?: |\"[^\"]*\")*)\}")
BINARY, RUNTIME_BINARY = re.compile(r" binary ?= ?(\d+)"), re.compile(r" runtime_binary ?= ?(\d+)")
LAYERS = re.compile(r" layers=\"([^\"]*)\"")
QUOTED = re.compile(r"\"([^\"]*)\"")
ACCELERATORS = re.compile(r"^  accelerators=\{([^}]*)\}$")
REGION = re.compile(r"^  region = \{ .* ?size=(\d+) .*\btype=user place=accelerator\b")
HEADER_INPUTS = re.compile(r"^  inputs=\{((?: |\"[^\"]*\")*)\}$")
HEADER_OUTPUTS = re.compile(r"^  outputs=\{((?: |\"[^\"]*\")*)\}$")
PROFILE = re.compile(r" \[profile (\d+)\]")
# What the compiler made of a node's product may stand behind its bracket: "__gemm_from_conv1x1".
LAYER = re.compile(r"\[ONNX Layer: (.*)\]\w*")


class ListingError(Exception):
    """The bytes are not a listing as we know it."""


@dataclass(frozen=True)
class Tensor:
    type: str
    constant_bytes: int


@dataclass(frozen=True)
class Operation:
    """One line of a program. `binary` numbers compiled kernels of one kind within their listing."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    layers: tuple[str, ...]
    binary: int | None


@dataclass(frozen=True)
class Header:
    accelerators: tuple[str, ...]
    profile: int
    activation_bytes: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Listing:
    """One compiled part. Those whose accelerator is "*" are compiled on the device, inside the part before them."""

    header: Header
    tensors: dict[str, Tensor]
    operations: tuple[Operation, ...]

    @property
    def is_for_device(self) -> bool:
        return self.header.accelerators == ("*",)

    def type_of(self, name: str) -> str:
        if name not in self.tensors:
            raise ListingError(f"the tensor {name} is used and not described")
        return self.tensors[name].type


def listings_in(data: mmap.mmap) -> Iterator[Listing]:
    """In the order of the file; raises ListingError where one is cut off or unlike those we know."""
    position = 0
    while (found := data.find(MARK, position)) >= 0:
        start = found + HEADER.size
        position = found + len(MARK)
        if data[start : start + len(OPENING)] != OPENING:
            continue  # four bytes of a weight
        _, _, size = HEADER.unpack(data[found:start])
        text = data[start : start + size]
        if len(text) != size or not text.endswith(b"}\n"):
            raise ListingError(f"the listing at byte {found} is cut off")
        yield listing_from_text(text.decode("utf-8", "replace"))
        position = start + size


def listing_from_text(text: str) -> Listing:
    section, header, operations = "", list[str](), list[Operation]()
    tensors, parts = dict[str, Tensor](), dict[str, str]()
    for line in text.split("\n"):
        if opened := SECTION.match(line):
            section = opened[1]
        elif section == "header":
            header.append(line)
        elif section == "descriptors" and (part := PART_OF.match(line)) and not TYPE.search(line):
            parts[name_in(line)] = part[1]
        elif section == "descriptors":
            tensors.update(tensor_from_line(line))
        elif section == "main" and (field := FIELD.match(line)):
            operations.append(operation_from_line(field[1], line))
    tensors |= {name: Tensor(type_of_whole(tensors, base), 0) for name, base in parts.items()}
    if not operations:
        raise ListingError("a listing names no operation")
    return Listing(header_from_lines(header), tensors, tuple(operations))


def header_from_lines(lines: Sequence[str]) -> Header:
    accelerators = [found[1].split() for line in lines if (found := ACCELERATORS.match(line))]
    if len(accelerators) != 1:
        raise ListingError("a listing names no accelerator")
    profiles = {int(number) for line in lines for number in PROFILE.findall(line)} or {0}
    if len(profiles) != 1:
        raise ListingError(f"one listing is for the profiles {sorted(profiles)}")
    sizes = [int(found[1]) for line in lines if (found := REGION.match(line))]
    return Header(
        tuple(accelerators[0]),
        profiles.pop(),
        sum(sizes),
        names_in_header(HEADER_INPUTS, lines),
        names_in_header(HEADER_OUTPUTS, lines),
    )


def type_of_whole(tensors: dict[str, Tensor], base: str) -> str:
    if base not in tensors:
        raise ListingError(f"a part of the tensor {base}, which is not described")
    return tensors[base].type


def tensor_from_line(line: str) -> dict[str, Tensor]:
    if not FIELD.match(line):
        return {}
    kind, size = TYPE.search(line), CONSTANT.search(line)
    if kind is None:
        raise ListingError(f"a tensor without a type: {line[:100]}")
    return {name_in(line): Tensor(kind[1], int(size[1]) if size else 0)}


def operation_from_line(kind: str, line: str) -> Operation:
    # A kernel that is fetched by a name of its own has both numbers; the second is that of its listing.
    binary, layers = RUNTIME_BINARY.search(line) or BINARY.search(line), LAYERS.search(line)
    return Operation(
        kind=kind,
        name=name_in(line),
        inputs=names_in(INPUTS, line),
        outputs=names_in(OUTPUTS, line),
        layers=layers_from_text(layers[1]) if layers else (),
        binary=int(binary[1]) if binary else None,
    )


def names_in_header(pattern: re.Pattern[str], header: Sequence[str]) -> tuple[str, ...]:
    found = [match for line in header if (match := pattern.match(line))]
    if len(found) != 1:
        raise ListingError(
            f"a listing has {len(found)} lines for {pattern.pattern.split('=')[0].strip('^ ')}"
        )
    return tuple(QUOTED.findall(found[0][1]))


def name_in(line: str) -> str:
    found = NAME.search(line)
    if found is None:
        raise ListingError(f"a line without a name: {line[:100]}")
    return found[1] or found[2]


def names_in(pattern: re.Pattern[str], line: str) -> tuple[str, ...]:
    found = pattern.search(line)
    return tuple(QUOTED.findall(found[1])) if found else ()


def layers_from_text(text: str) -> tuple[str, ...]:
    """Names of ONNX nodes: each in a bracket of its own, apart by an unprintable byte."""
    found = (LAYER.fullmatch(part) for part in re.split(r"[\x1e\x1f]", text))
    return tuple(match[1] for match in found if match)
