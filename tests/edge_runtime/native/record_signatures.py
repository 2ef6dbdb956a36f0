"""Writes down what an installed TensorRT offers: `python -m tests.edge_runtime.native.record_signatures tensorrt`.

No GPU is needed, and of the library itself no more than that it loads: `tensorrt_bindings`, of the bindings' wheel alone,
is imported where shared libraries of the right names have the nine functions that it links to."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from tests.edge_runtime.native.signatures import RECORDS, api_from_module, record_from_api


def main(name: str) -> Path:
    record = record_from_api(api_from_module(importlib.import_module(name)))
    record["library"] = name.removesuffix("_bindings")
    path = RECORDS / f"{record['library']}-{record['version']}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


if __name__ == "__main__":
    main(*sys.argv[1:])
