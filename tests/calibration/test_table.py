"""The embedding table in 8 bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.table import write_int8_table
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EdgeVLError
from edge_runtime.manifest import Manifest, TableEntry
from tests.edge_runtime.bundle_samples import WIDTH, manifest_of, write_sample_files

ROWS = 64


def bundle_with(folder: Path, rows: np.ndarray[tuple[int, int], np.dtype[np.floating]]) -> Bundle:
    folder.mkdir()
    paths = write_sample_files(folder)
    rows.tofile(folder / "embed.bin")
    return Bundle(folder, manifest_with(folder, paths, rows.dtype.name))


def manifest_with(folder: Path, paths: list[str], dtype: str) -> Manifest:
    if dtype == "float16":
        return manifest_of(folder, paths)
    plain = folder / "plain"
    plain.mkdir()
    manifest = manifest_of(plain, write_sample_files(plain))
    entries = tuple(
        replace(entry, bytes=4 * ROWS * WIDTH) if entry.path == "embed.bin" else entry
        for entry in manifest.files
    )
    return replace(manifest, files=entries, embedding=TableEntry("embed.bin", "float32", ROWS, WIDTH))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_every_value_is_within_half_a_step_of_its_row(tmp_path: Path, dtype: type[np.floating]) -> None:
    rng = np.random.default_rng(3)
    rows = (rng.standard_normal((ROWS, WIDTH)) * np.exp(rng.normal(0, 2, (ROWS, 1)))).astype(dtype)
    rows[5] = 0
    source = bundle_with(tmp_path / "float", rows)
    (tmp_path / "out").mkdir()
    entry = write_int8_table(source, tmp_path / "out")
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "out").iterdir()}
    assert sizes == entry.sizes
    integers = np.fromfile(tmp_path / "out/embed.int8", np.int8).reshape(ROWS, WIDTH)
    scales = np.fromfile(tmp_path / "out/embed.scales", dtype).astype(np.float64)
    wide = rows.astype(np.float64)
    for row in range(ROWS):  # the obvious twin
        wanted = np.clip(np.round(wide[row].astype(np.float32) / np.float32(scales[row])), -127, 127)
        assert integers[row].tolist() == wanted.tolist()
        # A scale is rounded up to its type, by a unit in its last place at most.
        assert np.abs(wide[row]).max() / 127 <= scales[row] * (1 + 1e-6)
        assert np.abs(integers[row] * scales[row] - wide[row]).max() <= scales[row] * 0.5001
    assert not integers[5].any()


def test_a_bundle_gives_rows_in_the_type_they_had(tmp_path: Path) -> None:
    rows = np.random.default_rng(4).standard_normal((ROWS, WIDTH)).astype(np.float16)
    source = bundle_with(tmp_path / "float", rows)
    (tmp_path / "out").mkdir()
    entry = write_int8_table(source, tmp_path / "out")
    # The rest of the manifest does not matter to a table.
    table = Bundle(tmp_path / "out", replace_table(source.manifest, entry)).embedding()
    assert table.dtype == np.float16 and table.shape == (ROWS, WIDTH)
    one, several = table[7], table[np.array([7, 7, 9])]
    assert one.shape == (WIDTH,) and several.shape == (3, WIDTH)
    assert np.array_equal(several[0], one) and one.dtype == several.dtype == np.float16
    assert np.abs(one.astype(np.float32) - rows[7]).max() < 0.51 * np.abs(rows[7]).max() / 127 + 1e-3


def replace_table(manifest: Manifest, entry: TableEntry) -> Manifest:
    sizes = tuple(replace(manifest.files[0], path=path, bytes=size) for path, size in entry.sizes.items())
    return replace(manifest, embedding=entry, files=(*manifest.files, *sizes))


def test_a_value_that_is_no_number_is_refused(tmp_path: Path) -> None:
    rows = np.ones((ROWS, WIDTH), np.float16)
    rows[3, 2] = np.nan
    source = bundle_with(tmp_path / "float", rows)
    (tmp_path / "out").mkdir()
    with pytest.raises(EdgeVLError, match=r"embed\.weight"):
        write_int8_table(source, tmp_path / "out")
