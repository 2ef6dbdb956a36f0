"""Compiles one graph with TensorRT-RTX, without a GPU, and prints what the plan's own listing says.

`python -m tests.calibration.rtx GRAPH`: a process of its own, since only the first logger of a process is heard.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import tensorrt_rtx as trt

TENSOR = re.compile(rb"tensor=\{[^\x00\n]*? name=\"([^\"]+)\"[^\x00\n]*? type=([a-z0-9_]+) \}")
CONSTANT = re.compile(rb"tensor=\{[^\x00\n]*?const_payload_size=(\d+)[^\x00\n]*? type=([a-z0-9_]+) \}")
PRODUCT = re.compile(
    rb"fully_connected=\{ name=\"[^\"]+\" output=\{[^}]*\} input=\{ ?\"([^\"]+)\" \"([^\"]+)\""
)
FUSION = re.compile(rb"runtime_fusion=\{ name=__myl_(\w+) input_args=\{([^}]*)\}")


@dataclass(frozen=True)
class Plan:
    """What was compiled: products by the types of both factors, fused kernels by name and the types they read."""

    products: Counter[str]
    fusions: Counter[str]
    constant_bytes: Counter[str]


def compiled(path: Path) -> Plan:
    """Fails with the compiler's words."""
    command = [sys.executable, "-m", __name__, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    return Plan(*(Counter(found[key]) for key in ("products", "fusions", "constant_bytes")))


def plan_from_graph(path: Path) -> bytes:
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse_from_file(str(path)), [parser.get_error(i).desc() for i in range(parser.num_errors)]
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        shapes = [[size if size > 0 else free for size in tensor.shape] for free in (1, 16, 64)]
        profile.set_shape(tensor.name, *shapes)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    assert plan is not None, "the build failed"
    return bytes(plan)


def listing_from_plan(plan: bytes) -> dict[str, dict[str, int]]:
    types = {match[1]: match[2].decode() for match in TENSOR.finditer(plan)}
    products = Counter(f"{types.get(m[1])} x {types.get(m[2])}" for m in PRODUCT.finditer(plan))
    fusions = Counter(
        m[1].decode()
        + "".join(f" {types[name]}" for name in re.findall(rb'"([^"]+)"', m[2])[:3] if name in types)
        for m in FUSION.finditer(plan)
    )
    constants: Counter[str] = Counter()
    for match in CONSTANT.finditer(plan):
        constants[match[2].decode()] += int(match[1])
    return {"products": products, "fusions": fusions, "constant_bytes": constants}


if __name__ == "__main__":
    print(json.dumps(listing_from_plan(plan_from_graph(Path(sys.argv[1])))))
