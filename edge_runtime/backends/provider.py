"""Where ONNX Runtime can run graphs: its execution providers, and what each is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

Device = Literal["cpu", "cuda"]
Options = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Provider:
    """An execution provider: its name for ONNX Runtime and for `--engine`, and where its buffers are.

    What it cannot run the providers behind it do, the next one first.
    """

    name: str
    engine: str
    device: Device
    options: Options = ()
    behind: tuple[Provider, ...] = ()

    @property
    def builds_engines(self) -> bool:
        """Minutes long, when a graph first runs."""
        return self.name == "TensorrtExecutionProvider"

    @property
    def for_decoder(self) -> Provider:
        """Engines are built anew for every length of chunk not met before: decoders stay on the provider behind."""
        return self.behind[0] if self.builds_engines else self

    def keeping(self, engines: Path) -> Provider:
        """The same; the engines that it builds are kept in the folder."""
        assert self.builds_engines
        kept = (("trt_engine_cache_enable", "1"), ("trt_engine_cache_path", str(engines)))
        return replace(self, options=(*self.options, *kept))


CPU = Provider("CPUExecutionProvider", "onnxruntime", "cpu")
CUDA = Provider(
    "CUDAExecutionProvider",
    "onnxruntime-cuda",
    "cuda",
    # Memory is the board's own: an arena that doubles would take what others need. fp32 layers are fp32 for a reason.
    (("device_id", "0"), ("arena_extend_strategy", "kSameAsRequested"), ("use_tf32", "0")),
    (CPU,),
)
# Without its fp16 flag: precision is in the graph.
TENSORRT = Provider(
    "TensorrtExecutionProvider", "onnxruntime-tensorrt", "cuda", (("device_id", "0"),), (CUDA, CPU)
)
PROVIDERS = {each.engine: each for each in (CUDA, TENSORRT, CPU)}
"""By the name of the engine; the first that works is the one to take."""
