from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from calibration.datafiles import CHUNK_BYTES, DataFiles, array_of
from edge_runtime.onnxfile import PAGE_BYTES


def test_every_tensor_begins_on_a_page_and_reads_back(tmp_path: Path) -> None:
    arrays = [np.arange(count, dtype=np.float32) for count in (3, 5000, 1)]
    with DataFiles(tmp_path / "adaptor.onnx") as files:
        places = [
            files.add(f"t{index}", ir.DataType.FLOAT, array.shape, [array])
            for index, array in enumerate(arrays)
        ]
    for place, array in zip(places, arrays, strict=True):
        assert (place.location, (place.offset or 0) % PAGE_BYTES) == ("adaptor.data", 0)
        found = np.fromfile(tmp_path / "adaptor.data", np.float32, array.size, offset=place.offset or 0)
        np.testing.assert_array_equal(found, array)


def test_a_full_file_is_followed_by_another_and_no_tensor_is_cut(tmp_path: Path) -> None:
    array = np.zeros(6000, np.uint8)
    with DataFiles(tmp_path / "head.onnx", limit_bytes=2 * PAGE_BYTES) as files:
        places = [files.add(f"t{index}", ir.DataType.UINT8, array.shape, [array]) for index in range(3)]
        larger = np.zeros(3 * PAGE_BYTES, np.uint8)
        places.append(files.add("larger", ir.DataType.UINT8, larger.shape, [larger]))
    assert [place.location for place in places] == [
        "head.data", "head.1.data", "head.2.data", "head.3.data",
    ]  # fmt: skip
    assert [place.offset for place in places] == [0, 0, 0, 0]


def test_a_file_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "adaptor.data").write_bytes(b"mine")
    with DataFiles(tmp_path / "adaptor.onnx") as files, pytest.raises(FileExistsError):
        files.add("t", ir.DataType.UINT8, [1], [np.zeros(1, np.uint8)])
    assert (tmp_path / "adaptor.data").read_bytes() == b"mine"


def test_a_copy_has_the_same_bytes_however_long_it_is(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, CHUNK_BYTES + 77).astype(np.uint8)
    (tmp_path / "old").mkdir()
    with DataFiles(tmp_path / "old" / "g.onnx") as files:
        files.add("before", ir.DataType.UINT8, [9], [np.zeros(9, np.uint8)])
        old = files.add("t", ir.DataType.UINT8, array.shape, [array])
    source = ir.ExternalTensor(
        old.location, old.offset, old.length, old.dtype, name="t", shape=old.shape, base_dir=tmp_path / "old"
    )
    with DataFiles(tmp_path / "g.onnx") as files:
        copied = files.copy(source)
    assert (copied.name, copied.offset, copied.length) == ("t", 0, array.size)
    np.testing.assert_array_equal(np.fromfile(tmp_path / "g.data", np.uint8), array)


def test_a_source_that_ends_early_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "short.data").write_bytes(bytes(10))
    source = ir.ExternalTensor(
        "short.data", 0, 40, ir.DataType.FLOAT, name="t", shape=ir.Shape([10]), base_dir=tmp_path
    )
    with DataFiles(tmp_path / "g.onnx") as files, pytest.raises(AssertionError, match="t has another size"):
        files.copy(source)


def test_an_external_tensor_is_mapped_not_read(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float16)
    (tmp_path / "w.data").write_bytes(bytes(PAGE_BYTES) + values.tobytes())
    tensor = ir.ExternalTensor(
        "w.data", PAGE_BYTES, 12, ir.DataType.FLOAT16, name="w", shape=ir.Shape([2, 3]), base_dir=tmp_path
    )
    found = array_of(tensor)
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, values.reshape(2, 3))
