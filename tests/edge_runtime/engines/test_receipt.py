"""What is written about an engine is read as it was written, or refused."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from edge_runtime.bundle import digest_of
from edge_runtime.engines.receipt import (
    CODE,
    RECEIPT_LIMIT,
    RECEIPT_NAME,
    Contents,
    Cost,
    Receipt,
    receipt_in,
    write_receipt,
)
from edge_runtime.engines.sealed import SEAL
from edge_runtime.errors import EdgeVLError
from tests.edge_runtime.engines.test_key import KEY

CONTENTS = Contents(24, (24, None), ({"half": 600, "int32": 4}, None), (1 << 40, None))
COST = Cost(21.4, 5144.5, 7996.0)
RECEIPT = Receipt(
    KEY, "fp16", "decoder.plan", 9, "cd" * 32, CONTENTS, COST, "0.1.0", ("Make sure of »Int64«.",)
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A receipt, as it is written."""
    write_receipt(tmp_path, RECEIPT)
    return tmp_path / RECEIPT_NAME


def refusal(file: Path) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        receipt_in(file.parent)
    assert caught.value.code == CODE == "EVL-ENGINE-DAMAGED"
    assert RECEIPT_NAME in caught.value.what
    return caught.value


def forge(file: Path, change: dict[str, object]) -> None:
    """A change by somebody who can compute hashes."""
    value = json.loads(file.read_text())
    del value[SEAL]
    value = {name: entry for name, entry in (value | change).items() if entry is not None}
    file.write_text(json.dumps(value | {SEAL: digest_of(value)}))


def test_a_receipt_is_read_as_it_was_written(file: Path) -> None:
    assert receipt_in(file.parent) == RECEIPT


def test_a_whole_number_of_seconds_is_read_too(tmp_path: Path) -> None:
    whole = dataclasses.replace(RECEIPT, cost=Cost(3, 4, 1e-7))
    write_receipt(tmp_path, whole)
    assert receipt_in(tmp_path) == whole


def test_a_receipt_is_never_written_over_another(file: Path) -> None:
    with pytest.raises(FileExistsError):
        write_receipt(file.parent, dataclasses.replace(RECEIPT, plan_bytes=10))
    assert receipt_in(file.parent) == RECEIPT


def test_no_flipped_bit_makes_another_receipt_of_it(file: Path) -> None:
    data = file.read_bytes()
    with file.open("r+b", buffering=0) as damaged:  # to write it anew each time would take the disk a minute
        for bit in range(8 * len(data)):
            damaged.seek(bit // 8)
            damaged.write(bytes([data[bit // 8] ^ 1 << bit % 8]))
            refusal(file)
            damaged.seek(bit // 8)
            damaged.write(data[bit // 8 : bit // 8 + 1])
    assert receipt_in(file.parent) == RECEIPT


def test_a_bit_that_means_nothing_makes_no_other_receipt(tmp_path: Path) -> None:
    quick = dataclasses.replace(RECEIPT, cost=Cost(1e-07, 1.0, 1.0))
    write_receipt(tmp_path, quick)
    data = (tmp_path / RECEIPT_NAME).read_bytes()
    (tmp_path / RECEIPT_NAME).write_bytes(data.replace(b"1e-07", b"1E-07"))
    assert receipt_in(tmp_path) == quick


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99])
def test_a_part_of_a_receipt_is_refused(file: Path, part: float) -> None:
    os.truncate(file, int(part * file.stat().st_size))
    assert "not the JSON we write" in refusal(file).why


@pytest.mark.parametrize(
    "data",
    [b"\0" * 9, b"\xff\xfe{}", b"{", b"[1, 2", b"nan", b"NaN", b'{"a": 1, "a": 2}', b"[" * 10**6, b"9" * 10**6],
)  # fmt: skip
def test_what_is_not_our_json_is_refused(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    assert "not the JSON we write" in refusal(file).why


@pytest.mark.parametrize("data", ["[]", "null", "7", '"engine"', "{}", f'{{"{SEAL}": null}}'])
def test_json_that_is_no_receipt_is_refused(file: Path, data: str) -> None:
    file.write_text(data)
    assert "must be an object" in refusal(file).why or "is missing" in refusal(file).why


def test_no_more_is_read_than_the_limit(file: Path) -> None:
    os.truncate(file, 64 * RECEIPT_LIMIT)
    refusal(file)
    file.write_bytes(b'"' + b"a" * RECEIPT_LIMIT + b'"')
    assert "not the JSON we write" in refusal(file).why  # its end was not read


def test_a_receipt_without_its_seal_is_refused(file: Path) -> None:
    value = json.loads(file.read_text())
    del value[SEAL]
    file.write_text(json.dumps(value))
    assert "its seal says None" in refusal(file).why


@pytest.mark.parametrize("seal", ["00" * 32, "", 7, None, [], {"a": 1}])
def test_the_seal_of_another_is_refused(file: Path, seal: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | {SEAL: seal}))
    error = refusal(file)
    assert error.what == f"{RECEIPT_NAME} is damaged"
    assert error.fix == "build the engine again"


def test_a_forger_who_changes_nothing_else_is_believed(file: Path) -> None:
    # Or the refusals below would be those of the seal.
    forge(file, {"edge_vl_version": "9"})
    assert receipt_in(file.parent) == dataclasses.replace(RECEIPT, edge_vl_version="9")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"built_on": "a later edge-vl"}, "built_on: is not a known key"),
        ({"plan": None}, "plan: is missing"),
        ({"plan": "../decoder.plan"}, "'../decoder.plan' is no file's name"),
        ({"plan": "/decoder.plan"}, "'/decoder.plan' is no file's name"),
        ({"plan": ""}, "'' is no file's name"),
        ({"plan": "."}, "'.' is no file's name"),
        ({"plan": ".."}, "'..' is no file's name"),
        ({"plan_bytes": 0}, "an engine has no bytes"),
        ({"plan_bytes": -1}, "an engine has no bytes"),
        ({"plan_bytes": 9.0}, "plan_bytes: must be an integer"),
        ({"plan_bytes": True}, "plan_bytes: must be an integer"),
        ({"plan_sha256": "cd"}, "the sha256 of the plan is not 64 hex digits"),
        ({"precision": "fp8"}, "precision: must be one of"),
        ({"key": {}}, "key.name: is missing"),
        ({"warnings": "none"}, "warnings: must be a list"),
    ],
)
def test_a_key_that_we_do_not_write_is_named(file: Path, change: dict[str, object], why: str) -> None:
    forge(file, change)
    assert why in refusal(file).why


def test_a_missing_receipt_is_no_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        receipt_in(tmp_path)


def test_a_pipe_or_folder_in_its_place_is_refused_unopened(file: Path) -> None:
    for make in (os.mkfifo, Path.mkdir):
        file.unlink()
        make(file)
        assert refusal(file).why == "it is not a regular file"


@pytest.mark.parametrize(
    ("fused", "least"), [((24,), 24), ((24, 23), 23), ((0, 24), 0), ((24, None), None), ((None,), None)]
)
def test_the_fewest_fused_layers_are_those_of_the_worst_profile(
    fused: tuple[int | None, ...], least: int | None
) -> None:
    assert dataclasses.replace(CONTENTS, fused_attention=fused).least_fused == least


@pytest.mark.parametrize(
    ("layers", "fused", "words"),
    [
        (24, (24, 23), "attention fused in 23 of 24 layers"),
        (24, (24, None), "whether attention is fused in its 24 layers is not told"),
        (0, (None,), ""),
    ],
)
def test_people_are_not_told_a_number_that_nobody_told(
    layers: int, fused: tuple[int | None, ...], words: str
) -> None:
    contents = dataclasses.replace(CONTENTS, attention_layers=layers, fused_attention=fused)
    assert contents.attention_told == words
