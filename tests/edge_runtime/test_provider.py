"""Which providers work: what an ONNX Runtime lists, and what one does that fails, falls back, hangs or crashes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from edge_runtime.backends.provider import CPU, CUDA, PROVIDERS, TENSORRT, Provider
from edge_runtime.backends.provider_model import tiny_model
from edge_runtime.backends.provider_probe import (
    CHILD,
    GIVEN,
    WANTED,
    cause_in,
    probed,
)

GPU = (CUDA, TENSORRT)
LISTED = [each.name for each in PROVIDERS.values()]
# An onnxruntime as a wheel may be: it is put before the real one in the other process.
WHEEL = """
import os, signal, sys, time
import numpy as np

LISTED = {listed!r}

class SessionOptions:
    def __init__(self):
        self.entries = {{}}

    def add_session_config_entry(self, key, value):
        self.entries[key] = value

def get_available_providers():
    return LISTED

def preload_dlls():
    print("Failed to load libcudnn.so.9")

class InferenceSession:
    def __init__(self, model, options, providers, enable_fallback):
        (self.provider,) = [name for name, _ in providers]
        assert options.entries == {{"session.disable_cpu_ep_fallback": "1"}}
        assert enable_fallback == 0
        print("loading a library", flush=True)
        os.write(1, b"and once more\\n")
{opening}

    def get_providers(self):
        return {providers}

    def run(self, names, feeds):
        x = feeds["x"]
        assert (names, x.dtype) == (["y"], np.float16)
{running}
"""
RUNS = "return [(x @ x) * x]"
HAS_ALL = "[self.provider, 'CPUExecutionProvider']"


def child(
    folder: Path,
    running: str = RUNS,
    opening: str = "pass",
    providers: str = HAS_ALL,
    listed: Sequence[str] = LISTED,
) -> Sequence[str]:
    """What asks a provider, with an ONNX Runtime that behaves as said."""
    indent = " " * 8
    text = WHEEL.format(
        listed=list(listed), opening=indent + opening, running=indent + running, providers=providers
    )
    (folder / "onnxruntime.py").write_text(text)
    before = f"import runpy, sys; sys.path.insert(0, {str(folder)!r})"
    module = "edge_runtime.backends.provider_probe"
    return (
        sys.executable,
        "-c",
        f"{before}; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)",
    )


@pytest.mark.parametrize("provider", GPU, ids=lambda each: each.engine)
def test_a_provider_that_computes_right_works_whatever_it_prints(tmp_path: Path, provider: Provider) -> None:
    assert probed(provider, child(tmp_path)) == ""


def test_the_cpu_is_not_asked() -> None:
    assert probed(CPU, ("/nowhere/to/be/found",)) == ""


def test_a_provider_without_kernels_for_the_gpu_is_named(tmp_path: Path) -> None:
    words = (
        "CUDA error cudaErrorNoKernelImageForDevice: no kernel image is available for execution on the device"
    )
    running = f"raise RuntimeError({words!r})"
    assert probed(CUDA, child(tmp_path, running)) == f"a tiny inference on it failed: RuntimeError: {words}"


def test_a_provider_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    opening = "raise RuntimeError('libcublasLt.so.12: cannot open shared object file')"
    fault = probed(CUDA, child(tmp_path, opening=opening))
    assert fault.endswith("failed: RuntimeError: libcublasLt.so.12: cannot open shared object file")


def test_what_onnxruntime_logged_first_is_the_cause() -> None:
    """As 1.31 says it where libcublasLt is missing: by then nobody would know from the exception."""
    lines = (
        "Failed to load libcublas.so.13",
        "\x1b[0;93m2026 [W:onnxruntime:Default, a.cc:856 operator()] No registered plugin EP device\x1b[m",
        "\x1b[1;31m2026 [E:onnxruntime:Default, b.cc:2458 operator()] /src/c.cc:2043 Get() [ONNXRuntimeError] : 1 : "
        "FAIL : Failed to load library: libcublasLt.so.13: cannot open shared object file",
        "\x1b[m",
        "Traceback (most recent call last):",
        "onnxruntime.capi.Fail: [ONNXRuntimeError] : 1 : FAIL : This session contains graph nodes",
    )
    assert cause_in("\n".join(lines)) == (
        "Failed to load library: libcublasLt.so.13: cannot open shared object file"
    )
    assert cause_in("\n".join(lines[3:])) == "This session contains graph nodes"


def test_a_silent_fall_back_to_the_cpu_is_named(tmp_path: Path) -> None:
    fault = probed(CUDA, child(tmp_path, providers="['CPUExecutionProvider']"))
    assert fault.endswith(
        "CUDAExecutionProvider was asked for, and the session has only CPUExecutionProvider"
    )


def test_a_provider_that_computes_wrong_is_named(tmp_path: Path) -> None:
    fault = probed(CUDA, child(tmp_path, "return [x @ x]"))
    assert fault.endswith("it computed [[7.0, 10.0], [15.0, 22.0]] where [[7, 20], [45, 88]] is right")


def test_a_provider_that_computes_nan_is_named(tmp_path: Path) -> None:
    assert "it computed [[nan, nan], [nan, nan]]" in probed(CUDA, child(tmp_path, "return [x * np.nan]"))


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_provider_that_crashes_is_named(tmp_path: Path, number: signal.Signals) -> None:
    running = f"os.kill(os.getpid(), {int(number)})"
    assert probed(CUDA, child(tmp_path, running)) == f"a tiny inference on it was ended by {number.name}"


def test_a_provider_that_ends_the_process_without_an_answer_is_named(tmp_path: Path) -> None:
    fault = probed(TENSORRT, child(tmp_path, "os._exit(0)"))
    assert fault.startswith("a tiny inference on it ended without an answer")


def test_a_provider_that_hangs_is_ended(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    opening = f"open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    fault = probed(CUDA, child(tmp_path, opening=opening), limit_s=3)
    assert fault == "a tiny inference on it had not ended after 3 seconds"
    assert not Path("/proc", pid.read_text()).exists()


def test_a_wheel_that_does_not_list_the_provider_is_named(tmp_path: Path) -> None:
    fault = probed(CUDA, child(tmp_path, listed=[CPU.name]))
    assert fault.endswith("this build of ONNX Runtime has no CUDAExecutionProvider")


def test_it_is_asked_where_no_file_of_the_users_is_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "numpy.py").write_text("raise ImportError('the user has a file of this name')")
    monkeypatch.chdir(here)
    assert probed(CUDA, child(tmp_path)) == ""


def test_the_installed_onnxruntime_runs_nothing_on_the_cpu_for_another() -> None:
    """The real library, and a provider of it that is listed and takes none of the two nodes."""
    other = next((name for name in onnxruntime.get_available_providers() if name not in LISTED), None)
    if other is None:
        pytest.skip("this onnxruntime lists no provider that would leave the nodes to the CPU")
    lines = (
        "from edge_runtime.backends.provider import PROVIDERS, Provider",
        f"PROVIDERS['other'] = Provider({other!r}, 'other', 'cpu')",
        "from edge_runtime.backends.provider_probe import main",
        "main()",
    )
    fault = probed(Provider(other, "other", "cpu"), (sys.executable, "-c", "\n".join(lines)))
    assert fault.startswith("a tiny inference on it failed: This session contains graph nodes")


def test_the_real_child_says_why_a_provider_is_not_there() -> None:
    for provider in GPU:
        if provider.name not in onnxruntime.get_available_providers():
            fault = f"this build of ONNX Runtime has no {provider.name}"
            assert probed(provider, CHILD).endswith(fault)


def test_the_tiny_model_is_what_it_says() -> None:
    model = onnx.load_from_string(tiny_model())
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["MatMul", "Mul"]
    assert not model.graph.initializer, "weights would be folded away on the CPU"
    session = onnxruntime.InferenceSession(tiny_model(), providers=[CPU.name])
    (found,) = session.run(["y"], {"x": np.asarray(GIVEN, dtype=np.float16)})
    assert found.dtype == np.float16
    assert found.tolist() == WANTED
