"""What ONNX Runtime throws, in our words."""

from __future__ import annotations

import pytest

from edge_runtime.backends.ort_faults import named_faults
from edge_runtime.errors import MachineFault

CUDA = "CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; hostname=box ; file=/x/y.cc"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (CUDA, "EVL-GPU-FAULT"),
        ("CUDA error cudaErrorLaunchFailure:unspecified launch failure", "EVL-GPU-FAULT"),
        ("Failed to allocate memory for requested buffer of size 12345", "EVL-ENGINE-RUN"),
        ("CUDA failure 2: out of memory", "EVL-ENGINE-RUN"),
    ],
)
def test_a_gpu_that_is_lost_is_told_from_what_may_pass(words: str, code: str) -> None:
    with pytest.raises(MachineFault) as caught, named_faults("decoder"):
        raise RuntimeError(words)
    assert caught.value.code == code
    assert "decoder" in caught.value.what
