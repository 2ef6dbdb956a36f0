"""What ONNX Runtime throws, in our words."""

from __future__ import annotations

import re

from edge_runtime.errors import MachineFault, one_line

# In CUDA's words: what no later call of the same process survives.
LOST = re.compile(
    r"illegal memory access|unspecified launch failure|illegal instruction|misaligned address|invalid program counter"
    r"|hardware stack error|device-side assert|uncorrectable ECC|launch timed out",
    re.IGNORECASE,
)
# What the machine is short of where nothing is wrong with a graph: memory, or threads.
SHORTAGE = re.compile(r"\bbad_alloc\b|failed to allocate|cannot allocate|pthread_create", re.IGNORECASE)


def is_shortage(words: str) -> bool:
    return SHORTAGE.search(words) is not None


class named_faults:  # noqa: N801  (a context manager reads as a verb)
    """What ONNX Runtime throws while running becomes a fault with the role's name.

    `if_short` is what to do where memory is.
    """

    def __init__(self, role: str, if_short: str = "lower --max-context") -> None:
        self.role = role
        self.if_short = if_short

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and LOST.search(str(error)):
            what, fix = (
                f"the GPU failed while running {self.role}",
                "see the kernel's log; this process cannot use it any more",
            )
            raise MachineFault("EVL-GPU-FAULT", what, one_line(str(error)), fix) from error
        if isinstance(error, Exception):
            raise MachineFault(
                "EVL-ENGINE-RUN",
                f"ONNX Runtime stopped while running {self.role}",
                str(error),
                f"{self.if_short} if memory is short; otherwise report this line",
            ) from error
