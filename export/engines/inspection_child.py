"""`python -m export.engines.inspection_child`: one plan on stdin, what its engine tells on stdout, both JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge_runtime.engines.driver import has_cuda_device
from edge_runtime.engines.library import Library, opened_library
from edge_runtime.engines.place import EngineName
from edge_runtime.errors import EdgeVLError
from edge_runtime.record import record_from_json
from export.engines.child import answer
from export.engines.engine_inspector import report_from_engine
from export.engines.inspection import Inspection, InspectionRequest
from export.engines.request import failure_from_error


def main() -> None:
    answer(
        lambda question: inspection_of(
            record_from_json(InspectionRequest, question, "the inspection request")
        )
    )


def inspection_of(
    request: InspectionRequest,
    is_device_there: Callable[[], bool] = has_cuda_device,
    opened: Callable[[EngineName], Library] = opened_library,
) -> Inspection:
    try:
        if not is_device_there():
            return Inspection()
        report = report_from_engine(opened(request.engine), Path(request.plan), request.products)
        return Inspection(report=report)
    except EdgeVLError as error:
        return Inspection(failure=failure_from_error(error))


if __name__ == "__main__":
    main()
