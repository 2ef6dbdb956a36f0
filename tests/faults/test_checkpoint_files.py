"""A checkpoint whose files somebody damaged or forged is read rightly or refused in words, soon and in little."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.faults.bounds import bounded
from tests.faults.damage import SPAN, Flip, Mishap, befall, mishaps, replace_file, twin_of
from tests.faults.headers import NAME, WEIGHTS, Header, forged, header_of, tensors_of
from tests.faults.reading import refusal

SECONDS, MIB = 5.0, 128
INDEX = "model.safetensors.index.json"
TEXTS = ("config.json", "tokenizer.json", "preprocessor_config.json")
each_is_fresh = settings(
    deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@contextmanager
def copied(folder: Path, place: Path) -> Iterator[Path]:
    """A copy for one example of many."""
    twin = twin_of(folder, place / "twin")
    try:
        yield twin
    finally:
        shutil.rmtree(twin)


def told(folder: Path) -> str:
    """The code of the refusal, or "taken"; anything else fails, as does taking long or much."""
    with bounded(SECONDS, MIB):
        error = refusal(folder)
    if error is None:
        return "taken"
    assert error.code.startswith("EVL-CHECKPOINT-"), error
    assert error.exit_status == 2
    assert error.why
    assert error.fix
    return error.code


def test_an_undamaged_copy_is_taken(checkpoint: Path, tmp_path: Path) -> None:
    with copied(checkpoint, tmp_path) as folder:
        assert told(folder) == "taken"


@settings(each_is_fresh, max_examples=200)
@given(name=st.sampled_from((*TEXTS, WEIGHTS)), mishap=mishaps)
def test_any_one_mishap_to_any_file_is_survived(
    checkpoint: Path, tmp_path: Path, name: str, mishap: Mishap
) -> None:
    with copied(checkpoint, tmp_path) as folder:
        befall(folder / name, mishap)
        told(folder)


@settings(each_is_fresh, max_examples=200)
@given(place=st.integers(0, SPAN - 1), bit=st.integers(0, 7))
def test_no_bit_of_a_weights_header_can_turn_one_tensor_into_another(
    checkpoint: Path, tmp_path: Path, place: int, bit: int
) -> None:
    content = (checkpoint / WEIGHTS).read_bytes()
    length = int.from_bytes(content[:8], "little")
    changed = Flip(place, bit).applied(content[: 8 + length])
    with copied(checkpoint, tmp_path) as folder:
        replace_file(folder / WEIGHTS, changed + content[8 + length :])
        code = told(folder)
        if code == "taken":  # notes that nobody reads may have changed
            assert tensors_of(folder / WEIGHTS) == tensors_of(checkpoint / WEIGHTS)


WEIRD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["F64", "F32", "F16", "BF16", "F8_E4M3", "F4", "I64", "BOOL", "C64", "f32"]),
    st.lists(st.integers(-1, 2**33), max_size=4),
    st.lists(st.sampled_from([0, 1, 2**31, 2**32, 2**63, 2**64]), max_size=6),
)


@settings(each_is_fresh, max_examples=200)
@given(data=st.data())
def test_any_value_anywhere_in_a_weights_header_is_survived(
    checkpoint: Path, tmp_path: Path, data: st.DataObject
) -> None:
    header, body = header_of(checkpoint / WEIGHTS)
    name = data.draw(st.sampled_from(sorted(tensors_of(checkpoint / WEIGHTS))))
    key = data.draw(st.sampled_from(["dtype", "shape", "data_offsets", "stranger"]))
    before = json.dumps(header, sort_keys=True)
    header[name][key] = data.draw(WEIRD)
    is_same = json.dumps(header, sort_keys=True) == before
    with copied(checkpoint, tmp_path) as folder:
        forged(folder / WEIGHTS, json.dumps(header), body)
        # A key that no reader knows changes nothing; any other value must be noticed.
        assert told(folder) != "taken" or key == "stranger" or is_same


@settings(each_is_fresh, max_examples=60)
@given(length=st.integers(0, 2**64 - 1) | st.integers(-3, 3))
@example(length=2**64 - 1)
@example(length=1)
@example(length=-1)
def test_a_header_that_lies_about_its_length_is_refused(
    checkpoint: Path, tmp_path: Path, length: int
) -> None:
    header, body = header_of(checkpoint / WEIGHTS)
    text = json.dumps(header)
    stated = length if length > 3 else len(text) + length
    if stated == len(text):
        return
    with copied(checkpoint, tmp_path) as folder:
        forged(folder / WEIGHTS, text, body, stated)
        assert told(folder) in ("EVL-CHECKPOINT-DAMAGED", "EVL-CHECKPOINT-TRUNCATED")


@settings(each_is_fresh, max_examples=60)
@given(data=st.data())
def test_tensors_that_share_bytes_or_leave_some_out_are_refused(
    checkpoint: Path, tmp_path: Path, data: st.DataObject
) -> None:
    header, body = header_of(checkpoint / WEIGHTS)
    names = st.sampled_from(sorted(tensors_of(checkpoint / WEIGHTS)))
    one, other = data.draw(names), data.draw(names)
    begin, end = header[other]["data_offsets"]
    shift = data.draw(st.integers(-end, end))
    if (one, shift) == (other, 0):
        return
    header[one]["data_offsets"] = [begin + shift, end + shift]
    with copied(checkpoint, tmp_path) as folder:
        forged(folder / WEIGHTS, json.dumps(header), body)
        assert told(folder) == "EVL-CHECKPOINT-DAMAGED"


def with_first_key(header: Header, entry: str) -> str:
    return "{" + entry + "," + json.dumps(header)[1:]


def million_tensors(_: Header) -> str:
    entry = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    return "{" + ",".join(f'"{number}":{entry}' for number in range(400_000)) + "}"


FORGERIES: dict[str, tuple[Callable[[Header], str], str]] = {
    "a name twice": (lambda found: with_first_key(found, f'"{NAME}":{json.dumps(found[NAME])}'), "DAMAGED"),
    "a name twice, escaped": (
        lambda found: with_first_key(found, f'"\\u006c{NAME[1:]}":{json.dumps(found[NAME])}'),
        "DAMAGED",
    ),
    "a surrogate": (lambda found: json.dumps(found).replace(NAME, "\ud800"), "DAMAGED"),
    "half a pair": (lambda found: json.dumps(found).replace(NAME, "\\ud800"), "DAMAGED"),
    "a NUL": (lambda found: json.dumps(found).replace(NAME, "a\\u0000b"), "TENSORS"),
    "a long name": (lambda found: json.dumps(found).replace(NAME, "a" * 5_000_000), "TENSORS"),
    "combining marks": (lambda found: json.dumps(found).replace(NAME, "\u0301" * 1_000_000), "TENSORS"),
    "a long shape": (lambda found: json.dumps(found | {NAME: found[NAME] | {"shape": [1] * 99_999 + [64]}}), "SHAPE"),
    "deep lists": (lambda found: with_first_key(found, '"__metadata__":' + "[" * 99_999 + "]" * 99_999), "DAMAGED"),
    "a list": (lambda _: "[1]", "DAMAGED"),
    "90 MiB of spaces": (lambda found: json.dumps(found) + " " * (90 << 20), "DAMAGED"),
    "half a million names": (million_tensors, "DAMAGED"),
}  # fmt: skip


@pytest.mark.parametrize("case", FORGERIES)
def test_a_forged_header_is_refused(case: str, checkpoint: Path, tmp_path: Path) -> None:
    forge, code = FORGERIES[case]
    header, body = header_of(checkpoint / WEIGHTS)
    with copied(checkpoint, tmp_path) as folder:
        forged(folder / WEIGHTS, forge(header), body)
        assert told(folder) == f"EVL-CHECKPOINT-{code}"


# --- the index of a checkpoint in parts


def indexed(folder: Path, text: str) -> None:
    """The weights are a shard, and `text` is the index; MAP stands for the true one's content."""
    names = tensors_of(folder / WEIGHTS)
    (folder / WEIGHTS).rename(folder / "part.safetensors")
    true = json.dumps(dict.fromkeys(names, "part.safetensors"))[1:-1]
    replace_file(folder / INDEX, text.replace("MAP", true).encode())


INDEXES = {
    "true": ('{"weight_map": {MAP}}', "taken"),
    "with a mark of byte order": ('\ufeff{"weight_map": {MAP}}', "taken"),
    "twice": ('{"weight_map": {"a": "b"}, "weight_map": {MAP}}', "JSON"),
    "a name twice": ('{"weight_map": {' + f'"{NAME}": "part.safetensors", MAP' + "}}", "JSON"),
    "itself": ('{"weight_map": {MAP, "a": "' + INDEX + '"}}', "DAMAGED"),
    "the config": ('{"weight_map": {MAP, "a": "config.json"}}', "DAMAGED"),
    "a surrogate": ('{"weight_map": {MAP, "a": "\\ud800.safetensors"}}', "CONFIG"),
    "a NUL": ('{"weight_map": {MAP, "a": "part.safetensors\\u0000"}}', "OUTSIDE"),
    "a path to itself": ('{"weight_map": {MAP, "a": "./part.safetensors"}}', "OUTSIDE"),
    "a space more": ('{"weight_map": {MAP, "a": "part.safetensors "}}', "INDEX"),
    "the folder": ('{"weight_map": {MAP, "a": "."}}', "OUTSIDE"),
    "no name": ('{"weight_map": {MAP, "a": ""}}', "CONFIG"),
    "no text": ('{"weight_map": {MAP, "a": {"part.safetensors": 1}}}', "CONFIG"),
    "no number": ('{"weight_map": NaN}', "CONFIG"),
    "a name too long for a file": ('{"weight_map": {MAP, "a": "' + "x" * 5000 + '"}}', "READ"),
    "a name too long for anything": ('{"weight_map": {MAP, "' + "x" * 9_999_999 + '": "part.safetensors"}}', "INDEX"),
    "many names": (
        '{"weight_map": {MAP, ' + ", ".join(f'"{each}": "{each}"' for each in range(100_000)) + "}}",
        "INDEX",
    ),
    "many names, the last one twice": (
        "{" + ", ".join(f'"{each}": 0' for each in range(99_999)) + ', "x": 0, "x": 0, "weight_map": {MAP}}',
        "JSON",
    ),
    "many lists": ('{"a": [' + "[]," * 5_000_000 + '[]], "weight_map": {MAP}}', "JSON"),
    "64 MiB": ('{"weight_map": {MAP}}' + " " * (64 << 20), "JSON"),
}  # fmt: skip


@pytest.mark.parametrize("case", INDEXES)
def test_an_index_is_read_or_refused(case: str, checkpoint: Path, tmp_path: Path) -> None:
    text, code = INDEXES[case]
    with copied(checkpoint, tmp_path) as folder:
        indexed(folder, text)
        assert told(folder) == ("taken" if code == "taken" else f"EVL-CHECKPOINT-{code}")


@settings(each_is_fresh, max_examples=60)
@given(mishap=mishaps)
def test_any_one_mishap_to_an_index_is_survived(checkpoint: Path, tmp_path: Path, mishap: Mishap) -> None:
    with copied(checkpoint, tmp_path) as folder:
        indexed(folder, '{"weight_map": {MAP}}')
        befall(folder / INDEX, mishap)
        told(folder)
