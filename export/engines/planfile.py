"""A plan on its way to the disk, piece by piece where the library can, and back from it page by page."""

from __future__ import annotations

import errno
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from edge_runtime.errors import EdgeVLError


class WriteRefusedError(Exception):
    """The system refused a write to the plan, and said so with `number`."""

    def __init__(self, fault: OSError) -> None:
        super().__init__(str(fault))
        self.number = fault.errno or errno.EIO


@contextmanager
def opened_plan(path: Path) -> Iterator[mmap.mmap]:
    """The plan's bytes, read as they are used: a decoder's fill the memory of a board. EVL-FILE.

    An empty file cannot be mapped: ValueError.
    """
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as fault:
        fix = "check the path and its permissions"
        raise EdgeVLError("EVL-FILE", f"{path} cannot be read", f"{fault.strerror}", fix) from fault
    with data:
        yield data


def write_plan(module: Any, builder: Any, network: Any, config: Any, path: Path) -> bool:
    """Builds the network and leaves its plan at `path`; false where the library could not build it.

    Raises WriteRefusedError. Streaming spares a second copy of the plan: a decoder's is 3 GB.
    """
    try:
        with path.open("wb") as file:
            if hasattr(builder, "build_serialized_network_to_stream"):
                return is_streamed(module, builder, network, config, file)
            plan = builder.build_serialized_network(network, config)
            return plan is not None and bool(file.write(plan))
    except OSError as fault:
        raise WriteRefusedError(fault) from fault


def is_streamed(module: Any, builder: Any, network: Any, config: Any, file: BinaryIO) -> bool:
    refused: list[OSError] = []

    class Writer(module.IStreamWriter):  # type: ignore[misc]
        def __init__(self) -> None:
            module.IStreamWriter.__init__(self)

        def write(self, data: bytes) -> int:
            # An exception must not pass through the library's frames: it is kept and raised behind them.
            try:
                file.write(data)
                file.flush()
            except OSError as fault:
                refused.append(fault)
                return 0
            return len(data)

    is_built = builder.build_serialized_network_to_stream(network, config, Writer())
    if refused:
        raise refused[0]
    return bool(is_built)
