"""What ONNX Runtime throws, in our words."""

from __future__ import annotations

from edge_runtime.errors import MachineFault
from edge_runtime.spec import Role


class named_faults:  # noqa: N801  (a context manager reads as a verb)
    """What ONNX Runtime throws while running becomes a fault with the role's name."""

    def __init__(self, role: Role) -> None:
        self.role = role

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception):
            raise MachineFault(
                "EVL-ENGINE-RUN",
                f"ONNX Runtime stopped while running {self.role}",
                str(error),
                "lower --max-context if memory is short; otherwise report this line",
            ) from error
