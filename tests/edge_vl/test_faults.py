from __future__ import annotations

import errno
import os

import pytest

from edge_runtime.errors import EdgeVLError, MachineFault
from edge_vl.faults import error_from_fault


def test_an_error_with_a_remedy_stays_itself() -> None:
    error = EdgeVLError("EVL-X", "what", "why", "fix")
    assert error_from_fault(error) is error


@pytest.mark.parametrize(
    "fault",
    [
        MemoryError(),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_every_way_of_running_out_of_memory_has_one_name(fault: BaseException) -> None:
    error = error_from_fault(fault)
    assert (error.code, error.exit_status) == ("EVL-MEMORY", 3)


@pytest.mark.parametrize("number", [errno.ENAMETOOLONG, errno.EACCES, errno.EISDIR])
def test_what_the_system_says_of_a_path_is_the_users_to_mend(number: int) -> None:
    error = error_from_fault(OSError(number, os.strerror(number), "/some/path"))
    assert (error.code, error.exit_status) == ("EVL-FILE", 2)
    assert error.why == f"{os.strerror(number)}: /some/path"


@pytest.mark.parametrize("fault", [OSError(errno.EIO, os.strerror(errno.EIO)), OSError()])
def test_other_words_of_the_system_are_a_fault_of_the_machine(fault: OSError) -> None:
    error = error_from_fault(fault)
    assert (error.code, error.exit_status) == ("EVL-SYSTEM", 3)
    assert error.why


def test_anything_else_is_our_own_fault_and_says_where_it_happened() -> None:
    try:
        raise ZeroDivisionError("no\nway")
    except ZeroDivisionError as fault:
        error = error_from_fault(fault)
    assert isinstance(error, MachineFault)
    assert error.code == "EVL-INTERNAL"
    assert error.why.startswith("ZeroDivisionError at test_faults.py:")
    assert error.why.endswith(": no way")
    assert "EDGE_VL_DEBUG=1" in error.fix
