from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edge_runtime.engines.library import MODULES, Platform, opened_library, version_from_text
from edge_runtime.engines.place import EngineName
from edge_runtime.errors import EdgeVLError, MachineFault

DESKTOP = Platform("x86_64", is_jetson=False)
SERVER = Platform("aarch64", is_jetson=False)
JETSON = Platform("aarch64", is_jetson=True)
NO_DLA = "libnvdla_compiler.so: cannot open shared object file: No such file or directory"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules are found first."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in MODULES.values():
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def hide(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in MODULES.values():
        monkeypatch.setitem(sys.modules, name, None)


def test_versions_are_compared_as_numbers() -> None:
    assert version_from_text("10.3.0.30") < version_from_text("10.13.3.9") < version_from_text("11.1.0")


def test_a_version_ends_where_its_numbers_end() -> None:
    assert version_from_text("10.16.2rc1") == (10, 16, 2)
    assert version_from_text("unknown") == ()


def test_the_library_says_its_name_and_version(install: Path) -> None:
    (install / "tensorrt.py").write_text("__version__ = '10.3.0.30'\n")
    library = opened_library("tensorrt", JETSON)
    assert library.title == "TensorRT 10.3.0.30"
    assert library.module.__version__ == "10.3.0.30"


@pytest.mark.parametrize(
    ("name", "place", "remedy"),
    [
        ("tensorrt-rtx", DESKTOP, "pip install 'edge-vl[tensorrt-rtx]'"),
        ("tensorrt", DESKTOP, "pip install 'edge-vl[tensorrt]'"),
        ("tensorrt", JETSON, "sudo apt install python3-libnvinfer"),
        ("tensorrt", SERVER, "pip install 'edge-vl[tensorrt]'"),
        (
            "tensorrt-rtx",
            JETSON,
            "no TensorRT-RTX for a Jetson; use TensorRT: sudo apt install python3-libnvinfer",
        ),
        ("tensorrt-rtx", SERVER, "on a GB10 install NVIDIA's own package of TensorRT-RTX"),
        ("tensorrt-rtx", SERVER, "elsewhere use TensorRT: pip install 'edge-vl[tensorrt]'"),
        ("tensorrt-rtx", Platform("ppc64le", is_jetson=False), "there is no TensorRT-RTX for ppc64le"),
    ],
)
def test_a_missing_library_says_what_to_install_here(
    name: EngineName, place: Platform, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch)
    with pytest.raises(EdgeVLError) as caught:
        opened_library(name, place)
    assert (caught.value.code, caught.value.exit_status) == ("EVL-ENGINE-MISSING", 2)
    assert remedy in caught.value.fix


def test_a_library_that_cannot_be_loaded_is_not_called_missing(install: Path) -> None:
    (install / "tensorrt.py").write_text(f"raise ImportError({NO_DLA!r})\n")
    with pytest.raises(MachineFault) as caught:
        opened_library("tensorrt", JETSON)
    assert caught.value.code == "EVL-ENGINE-BROKEN"
    assert caught.value.why == NO_DLA


def test_a_library_without_its_bindings_is_broken(install: Path) -> None:
    (install / "tensorrt.py").write_text("import tensorrt_bindings_that_are_nowhere\n")
    with pytest.raises(MachineFault, match="tensorrt_bindings_that_are_nowhere"):
        opened_library("tensorrt", DESKTOP)


def test_an_empty_folder_of_that_name_is_no_library(install: Path) -> None:
    (install / "tensorrt").mkdir()
    with pytest.raises(MachineFault, match="has no version"):
        opened_library("tensorrt", DESKTOP)


def test_jetpack_6_0_is_told_that_its_tensorrt_is_too_old(install: Path) -> None:
    (install / "tensorrt.py").write_text("__version__ = '8.6.2'\n")
    with pytest.raises(EdgeVLError) as caught:
        opened_library("tensorrt", JETSON)
    assert caught.value.code == "EVL-ENGINE-OLD"
    assert "10.3" in caught.value.why
