"""Which provider is taken, of those that an ONNX Runtime lists and those that work."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.backends.provider import CPU, CUDA, PROVIDERS, TENSORRT, Provider
from edge_runtime.backends.provider_probe import provider_for_engine, providers_here
from edge_runtime.errors import MachineFault

LISTED = [each.name for each in PROVIDERS.values()]


def works(provider: Provider) -> str:
    return ""


def recorded(asked: list[Provider], provider: Provider) -> str:
    asked.append(provider)
    return ""


def test_the_first_provider_that_works_comes_first_and_the_cpu_last() -> None:
    here = providers_here(lambda: LISTED, works)
    assert here.usable == (CUDA, TENSORRT, CPU)
    assert here.faults == {}


def test_a_provider_that_is_not_listed_is_not_asked() -> None:
    asked: list[Provider] = []
    here = providers_here(lambda: [CPU.name], lambda each: recorded(asked, each))
    assert asked == [CPU]
    assert here.usable == (CPU,)
    assert here.faults["onnxruntime-cuda"] == "this build of ONNX Runtime has no CUDAExecutionProvider"
    assert here.faults["onnxruntime-tensorrt"].endswith("has no TensorrtExecutionProvider")


def test_without_cuda_tensorrt_is_not_asked_for_decoders_need_it() -> None:
    asked: list[Provider] = []

    def broken(provider: Provider) -> str:
        asked.append(provider)
        return "no kernel image" if provider == CUDA else ""

    here = providers_here(lambda: LISTED, broken)
    assert here.usable == (CPU,)
    assert here.faults["onnxruntime-cuda"] == "no kernel image"
    assert here.faults["onnxruntime-tensorrt"] == (
        "it needs CUDAExecutionProvider, which does not work: no kernel image"
    )
    assert TENSORRT not in asked


def test_a_broken_tensorrt_leaves_cuda() -> None:
    here = providers_here(lambda: LISTED, lambda each: "it hangs" if each == TENSORRT else "")
    assert here.usable == (CUDA, CPU)
    assert here.faults == {"onnxruntime-tensorrt": "it hangs"}


@pytest.mark.parametrize("engine", list(PROVIDERS))
def test_a_provider_is_found_by_the_name_of_its_engine(engine: str) -> None:
    assert provider_for_engine(engine, lambda: LISTED, works) == PROVIDERS[engine]


def test_asking_for_cuda_does_not_ask_tensorrt() -> None:
    asked: list[Provider] = []
    provider_for_engine("onnxruntime-cuda", lambda: LISTED, lambda each: recorded(asked, each))
    assert TENSORRT not in asked


@pytest.mark.parametrize(
    ("engine", "broken", "why"),
    [
        ("onnxruntime-cuda", CUDA, "no kernel image"),
        ("onnxruntime-tensorrt", TENSORRT, "no kernel image"),
        (
            "onnxruntime-tensorrt",
            CUDA,
            "it needs CUDAExecutionProvider, which does not work: no kernel image",
        ),
    ],
)
def test_a_provider_asked_for_by_name_that_does_not_work_is_a_fault_of_the_machine(
    engine: str, broken: Provider, why: str
) -> None:
    with pytest.raises(MachineFault) as caught:
        provider_for_engine(engine, lambda: LISTED, lambda each: "no kernel image" if each == broken else "")
    assert caught.value.code == "EVL-ENGINE-PROVIDER"
    assert caught.value.what == f"ONNX Runtime's {PROVIDERS[engine].name} cannot be used"
    assert caught.value.why == why
    assert "edge-vl[cuda]" in caught.value.fix


def test_decoders_stay_on_cuda_where_engines_are_built() -> None:
    assert [each.for_decoder for each in (CUDA, TENSORRT, CPU)] == [CUDA, CUDA, CPU]


def test_what_a_provider_cannot_run_the_one_behind_it_does() -> None:
    assert (TENSORRT.behind, CUDA.behind, CPU.behind) == ((CUDA, CPU), (CPU,), ())


def test_engines_that_tensorrt_builds_are_kept_and_their_precision_is_the_graphs(tmp_path: Path) -> None:
    options = dict(TENSORRT.keeping(tmp_path).options)
    assert options["trt_engine_cache_enable"] == "1"
    assert options["trt_engine_cache_path"] == str(tmp_path)
    assert not [name for name in options if "fp16" in name or "int8" in name]
