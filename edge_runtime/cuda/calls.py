"""libcuda's functions, as many as are called: their arguments declared, their answers looked at.

The driver's own library, and not a package of bindings: it is on every machine that has a GPU, and these of its functions
have not changed from CUDA 11.4 to 13, while a package of bindings serves one major version of the driver.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_ubyte, c_uint, c_uint64, c_ulonglong, c_void_p
from typing import Any

from edge_runtime.engines.driver import DRIVER
from edge_runtime.errors import MachineFault

Address = c_uint64  # CUdeviceptr
Handle = c_void_p  # of a context, stream, event or graph
OUT_OF_MEMORY = 2
SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDevicePrimaryCtxRetain": (POINTER(Handle), c_int),
    "cuDevicePrimaryCtxRelease_v2": (c_int,),
    "cuCtxSetCurrent": (Handle,),
    "cuMemGetInfo_v2": (POINTER(c_size_t), POINTER(c_size_t)),
    "cuMemAlloc_v2": (POINTER(Address), c_size_t),
    "cuMemFree_v2": (Address,),
    "cuMemHostAlloc": (POINTER(c_void_p), c_size_t, c_uint),
    "cuMemFreeHost": (c_void_p,),
    "cuMemsetD8Async": (Address, c_ubyte, c_size_t, Handle),
    "cuMemcpyHtoDAsync_v2": (Address, c_void_p, c_size_t, Handle),
    "cuMemcpyDtoHAsync_v2": (c_void_p, Address, c_size_t, Handle),
    "cuStreamCreate": (POINTER(Handle), c_uint),
    "cuStreamSynchronize": (Handle,),
    "cuStreamDestroy_v2": (Handle,),
    "cuStreamBeginCapture_v2": (Handle, c_int),
    "cuStreamEndCapture": (Handle, POINTER(Handle)),
    "cuGraphInstantiateWithFlags": (POINTER(Handle), Handle, c_ulonglong),
    "cuGraphLaunch": (Handle, Handle),
    "cuGraphExecDestroy": (Handle,),
    "cuGraphDestroy": (Handle,),
    "cuGetErrorName": (c_int, POINTER(c_char_p)),
    "cuGetErrorString": (c_int, POINTER(c_char_p)),
}


class Calls:
    """One call of the driver each; whatever it refuses is a fault with its own word for it."""

    def __init__(self, load: Callable[[str], Any] = ctypes.CDLL) -> None:
        """EVL-GPU-DRIVER where there is no driver."""
        try:
            self._library = load(DRIVER)
        except OSError as error:
            what, fix = "NVIDIA's driver is not installed", "install it, or use --engine onnxruntime"
            raise MachineFault("EVL-GPU-DRIVER", what, str(error), fix) from error
        for name, kinds in SIGNATURES.items():
            function = self._found(name)
            function.argtypes, function.restype = kinds, c_int

    def __call__(self, name: str, *given: Any) -> None:
        """EVL-GPU-MEMORY, or EVL-GPU-FAULT."""
        status = self.answer(name, *given)
        if status == OUT_OF_MEMORY:
            what, fix = "the GPU's memory is full", "close other programs, or lower --max-context"
            raise MachineFault("EVL-GPU-MEMORY", what, self.words(name, status), fix)
        if status:
            what = "the GPU stopped working for us"
            fix = "look for Xid or NvGPU lines with `sudo dmesg`; where it happens again, use --engine onnxruntime"
            raise MachineFault("EVL-GPU-FAULT", what, self.words(name, status), fix)

    def answer(self, name: str, *given: Any) -> int:
        """0, or the number of what is the matter."""
        return int(getattr(self._library, name)(*given))

    def words(self, name: str, status: int) -> str:
        return f"{name} answered {status}, {self._told('cuGetErrorName', status)}: {self._told('cuGetErrorString', status)}"

    def _found(self, name: str) -> Any:
        try:
            return getattr(self._library, name)
        except AttributeError as error:
            what, fix = (
                "NVIDIA's driver is too old",
                "install one of CUDA 11.4 or newer, or use --engine onnxruntime",
            )
            raise MachineFault("EVL-GPU-DRIVER", what, str(error), fix) from error

    def _told(self, name: str, status: int) -> str:
        text = c_char_p()
        getattr(self._library, name)(status, ctypes.byref(text))
        return (text.value or b"unknown").decode(errors="replace")
