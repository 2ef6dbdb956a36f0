"""C functions as ctypes would call them: declarations, the types an argument may have, where results are written."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# As in cuda.h; a test holds them against the declarations that cuda.bindings ships.
DECLARATIONS = """
cuInit(unsigned int Flags)
cuDriverGetVersion(int* driverVersion)
cuDeviceGetCount(int* count)
cuDeviceGet(CUdevice* device, int ordinal)
cuDeviceGetName(char* name, int len, CUdevice dev)
cuDeviceGetAttribute(int* pi, CUdevice_attribute attrib, CUdevice dev)
cuDevicePrimaryCtxRetain(CUcontext* pctx, CUdevice dev)
cuDevicePrimaryCtxRelease_v2(CUdevice dev)
cuCtxSetCurrent(CUcontext ctx)
cuCtxGetCurrent(CUcontext* pctx)
cuMemGetInfo_v2(size_t* free, size_t* total)
cuMemAlloc_v2(CUdeviceptr* dptr, size_t bytesize)
cuMemFree_v2(CUdeviceptr dptr)
cuMemHostAlloc(void** pp, size_t bytesize, unsigned int Flags)
cuMemFreeHost(void* p)
cuMemsetD8Async(CUdeviceptr dstDevice, unsigned char uc, size_t N, CUstream hStream)
cuMemcpyHtoDAsync_v2(CUdeviceptr dstDevice, const void* srcHost, size_t ByteCount, CUstream hStream)
cuMemcpyDtoHAsync_v2(void* dstHost, CUdeviceptr srcDevice, size_t ByteCount, CUstream hStream)
cuMemcpyDtoDAsync_v2(CUdeviceptr dstDevice, CUdeviceptr srcDevice, size_t ByteCount, CUstream hStream)
cuStreamCreate(CUstream* phStream, unsigned int Flags)
cuStreamDestroy_v2(CUstream hStream)
cuStreamSynchronize(CUstream hStream)
cuStreamWaitEvent(CUstream hStream, CUevent hEvent, unsigned int Flags)
cuStreamBeginCapture_v2(CUstream hStream, CUstreamCaptureMode mode)
cuStreamEndCapture(CUstream hStream, CUgraph* phGraph)
cuGraphInstantiateWithFlags(CUgraphExec* phGraphExec, CUgraph hGraph, unsigned long long flags)
cuGraphLaunch(CUgraphExec hGraphExec, CUstream hStream)
cuGraphExecDestroy(CUgraphExec hGraphExec)
cuGraphDestroy(CUgraph hGraph)
cuEventCreate(CUevent* phEvent, unsigned int Flags)
cuEventRecord(CUevent hEvent, CUstream hStream)
cuEventSynchronize(CUevent hEvent)
cuEventElapsedTime(float* pMilliseconds, CUevent hStart, CUevent hEnd)
cuEventDestroy_v2(CUevent hEvent)
cuGetErrorName(CUresult error, const char** pStr)
cuGetErrorString(CUresult error, const char** pStr)
"""
HANDLES = ("CUcontext", "CUstream", "CUevent", "CUgraph", "CUgraphExec", "void*", "const char*")
ENUMS = ("CUdevice", "CUdevice_attribute", "CUstreamCaptureMode", "CUresult")
VALUES: dict[str, type] = {
    "int": ctypes.c_int,
    "unsigned int": ctypes.c_uint,
    "unsigned char": ctypes.c_ubyte,
    "char": ctypes.c_char,
    "float": ctypes.c_float,
    "size_t": ctypes.c_size_t,
    "unsigned long long": ctypes.c_ulonglong,
    "CUdeviceptr": ctypes.c_ulonglong,
    **dict.fromkeys(HANDLES, ctypes.c_void_p),
    **dict.fromkeys(ENUMS, ctypes.c_int),
}
HOST_POINTERS = ("void*", "const void*")
BY_REFERENCE = type(ctypes.byref(ctypes.c_int()))


@dataclass(frozen=True)
class Parameter:
    c_type: str
    name: str

    @property
    def pointee(self) -> type | None:
        """What is written through it; None where the parameter is a value, or memory of no type."""
        if self.c_type in HOST_POINTERS or not self.c_type.endswith("*"):
            return None
        return VALUES[self.c_type[:-1]]

    @property
    def value(self) -> type:
        is_pointer = self.c_type.endswith("*")
        return ctypes.c_void_p if is_pointer else VALUES[self.c_type]

    def accepts(self, argtype: object) -> bool:
        """Whether an argument of this ctypes type would arrive as the callee reads it."""
        if self.pointee is not None:
            pointee = getattr(argtype, "_type_", None)
            is_text = self.pointee is ctypes.c_char and argtype is ctypes.c_char_p
            return is_text or argtype is ctypes.c_void_p or same_abi(pointee, self.pointee)
        if self.c_type in HOST_POINTERS and isinstance(getattr(argtype, "_type_", None), type):
            return True
        return same_abi(argtype, self.value)


def same_abi(one: object, other: type) -> bool:
    codes = [getattr(each, "_type_", None) for each in (one, other)]
    if not isinstance(one, type) or not all(isinstance(code, str) for code in codes):
        return False
    are_floats = [code in ("f", "d", "g") for code in codes]
    return are_floats[0] == are_floats[1] and ctypes.sizeof(one) == ctypes.sizeof(other)


@dataclass(frozen=True)
class Result:
    """Where a function writes: an address of a given type."""

    address: int
    c_type: type

    def write(self, value: int | float | bytes) -> None:
        if isinstance(value, bytes):
            ctypes.memmove(self.address, value, len(value))
        elif self.c_type is ctypes.c_float:
            ctypes.c_float.from_address(self.address).value = value
        else:
            size = ctypes.sizeof(self.c_type)
            ctypes.memmove(self.address, int(value).to_bytes(size, "little", signed=value < 0), size)


Converted = int | Result
Handler = Callable[..., None]
Calling = Callable[[str, Sequence[Converted]], int]


def parameters_of(declaration: str) -> tuple[str, tuple[Parameter, ...]]:
    name, _, rest = declaration.strip().partition("(")
    found = []
    for each in rest.rstrip(")").split(","):
        c_type, word = re.fullmatch(r"\s*(.*[ *])(\w+)\s*", each).groups()  # type: ignore[union-attr]
        found.append(Parameter(c_type.strip(), word))
    return name, tuple(found)


FUNCTIONS = dict(parameters_of(line) for line in DECLARATIONS.strip().splitlines())


class FakeFunction:
    """One function of a shared library: called with what ctypes would take, refusing what it would spoil."""

    def __init__(self, name: str, parameters: tuple[Parameter, ...], call: Calling) -> None:
        self.__name__ = name
        self.parameters = parameters
        self._call = call
        self._argtypes: Sequence[object] | None = None
        self._restype: object = ctypes.c_int

    @property
    def argtypes(self) -> Sequence[object] | None:
        return self._argtypes

    @argtypes.setter
    def argtypes(self, argtypes: Sequence[object] | None) -> None:
        wanted = [each.c_type for each in self.parameters]
        if argtypes is not None and not (
            len(argtypes) == len(wanted)
            and all(each.accepts(given) for each, given in zip(self.parameters, argtypes, strict=True))
        ):
            raise TypeError(f"{self.__name__} takes {wanted}, not {list(argtypes)}")
        self._argtypes = argtypes

    @property
    def restype(self) -> object:
        return self._restype

    @restype.setter
    def restype(self, restype: object) -> None:
        if not same_abi(restype, ctypes.c_int):
            raise TypeError(f"{self.__name__} returns a CUresult, an int of 32 bits, not {restype}")
        self._restype = restype

    def __call__(self, *arguments: object) -> int:
        if len(arguments) != len(self.parameters):
            wanted = [f"{each.c_type} {each.name}" for each in self.parameters]
            raise TypeError(f"{self.__name__} takes {wanted}, not {len(arguments)} arguments")
        types = self._argtypes or [None] * len(arguments)
        given = zip(self.parameters, types, arguments, strict=True)
        return self._call(self.__name__, [self._converted(*each) for each in given])

    def _converted(self, parameter: Parameter, argtype: object, argument: object) -> Converted:
        where = f"{self.__name__}: {parameter.c_type} {parameter.name}"
        if argtype is not None:
            try:
                argtype.from_param(argument)  # type: ignore[attr-defined]
            except (TypeError, AttributeError) as error:
                raise ctypes.ArgumentError(f"{where}: {error}") from error
        elif isinstance(argument, int) and ctypes.sizeof(parameter.value) == 8:
            raise ctypes.ArgumentError(f"{where}: without argtypes an int is cut to 32 bits")
        if parameter.pointee is None:
            return number_from(where, parameter, argument)
        return Result(result_address(where, parameter.pointee, argument), parameter.pointee)


def number_from(where: str, parameter: Parameter, argument: object) -> int:
    if isinstance(argument, int):
        return argument & ((1 << 8 * ctypes.sizeof(parameter.value)) - 1)
    if isinstance(argument, ctypes._SimpleCData):
        if ctypes.sizeof(argument) != ctypes.sizeof(parameter.value):
            raise ctypes.ArgumentError(f"{where}: {argument!r} has {ctypes.sizeof(argument)} bytes")
        return int(argument.value or 0)
    if argument is None and parameter.value is ctypes.c_void_p:
        return 0
    if parameter.c_type in HOST_POINTERS:
        return int(ctypes.cast(argument, ctypes.c_void_p).value or 0)  # type: ignore[arg-type]
    raise ctypes.ArgumentError(f"{where}: got {argument!r}")


def result_address(where: str, pointee: type, argument: object) -> int:
    target = argument
    if isinstance(argument, BY_REFERENCE):
        target = argument._obj  # type: ignore[attr-defined]
    elif isinstance(argument, ctypes._Pointer):
        target = argument.contents
    if isinstance(argument, int | ctypes.c_void_p) or argument is None:
        address = getattr(argument, "value", argument)
    else:
        size = ctypes.sizeof(target)  # type: ignore[arg-type]
        if size < ctypes.sizeof(pointee):
            raise ctypes.ArgumentError(f"{where}: the result needs more than the {size} bytes given")
        address = ctypes.cast(argument, ctypes.c_void_p).value  # type: ignore[arg-type]
    if not address:
        raise ctypes.ArgumentError(f"{where}: the result goes to a null pointer")
    return int(address)
