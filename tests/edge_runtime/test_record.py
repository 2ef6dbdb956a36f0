from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import EdgeVLError
from edge_runtime.record import bytes_from_json, json_from_bytes, json_from_record, record_from_json
from edge_runtime.spec import ModelSpec
from tests.edge_runtime.bundle_samples import sample_spec


@dataclass(frozen=True)
class Inner:
    rate: float
    name: str

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ValueError("the rate is negative")


@dataclass(frozen=True)
class Outer:
    count: int
    is_on: bool
    kind: Literal["a", "b"]
    inner: Inner
    maybe: Inner | None
    shape: tuple[int | str, ...]
    pair: tuple[int, float]
    table: dict[str, float]
    later: dict[str, Inner] | None = None


OUTER = Outer(3, True, "a", Inner(0.5, "ü"), None, (1, "batch"), (4, 2.0), {"z": 1.0, "a": 2.5})


def plain() -> dict[str, object]:
    return {**json_from_record(OUTER), "inner": {"rate": 0.5, "name": "ü"}}


def refusal(value: object) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        record_from_json(Outer, value, "some.json")
    assert caught.value.code == "EVL-BUNDLE-MANIFEST"
    assert caught.value.what == "some.json is not valid"
    return caught.value


def test_a_record_survives_the_way_to_text_and_back() -> None:
    text = bytes_from_json(json_from_record(OUTER))
    assert record_from_json(Outer, json_from_bytes(text)) == OUTER


def test_a_model_spec_survives_the_way_to_text_and_back() -> None:
    spec = sample_spec()
    assert record_from_json(ModelSpec, json_from_bytes(bytes_from_json(json_from_record(spec)))) == spec


def test_keys_keep_the_declared_order_and_tables_are_sorted() -> None:
    value = json_from_record(OUTER)
    assert list(value) == [*Outer.__dataclass_fields__]
    assert list(cast("dict[str, float]", value["table"])) == ["a", "z"]


def test_an_integer_in_a_float_field_is_written_as_a_float() -> None:
    assert json_from_record(Inner(10000, "x"))["rate"].__class__ is float


def test_a_record_that_could_not_be_read_back_is_not_written() -> None:
    with pytest.raises(Exception, match="must be an integer"):
        json_from_record(Outer(**{**OUTER.__dict__, "count": "3"}))


def test_an_unknown_key_is_named_with_its_nearest_neighbour() -> None:
    error = refusal({**plain(), "inner": {"rate": 1.0, "name": "x", "nane": "y"}})
    assert error.why == "inner.nane: is not a known key (did you mean 'name'?)"


def test_a_missing_key_is_named() -> None:
    assert refusal({**plain(), "inner": {"rate": 1.0}}).why == "inner.name: is missing"


def test_a_key_with_a_default_may_be_missing() -> None:
    value = {name: entry for name, entry in plain().items() if name != "later"}
    assert record_from_json(Outer, value) == OUTER


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("count", True, "count: must be an integer, got true"),
        ("count", 3.0, "count: must be an integer, got 3.0"),
        ("count", "3", "count: must be an integer, got '3'"),
        ("count", 1 << 63, f"count: must be an integer, got {1 << 63}"),
        ("is_on", 1, "is_on: must be true or false, got 1"),
        ("kind", "c", "kind: must be one of 'a', 'b', got 'c'"),
        ("kind", ["a"], "kind: must be one of 'a', 'b', got a list"),
        ("inner", None, "inner: must be an object, got null"),
        ("inner", {"rate": float("nan"), "name": ""}, "inner.rate: must be a finite number, got nan"),
        ("inner", {"rate": True, "name": ""}, "inner.rate: must be a finite number, got true"),
        ("inner", {"rate": -1, "name": ""}, "inner: the rate is negative"),
        ("inner", {"rate": 1, "name": "\ud800"}, "inner.name: is not valid Unicode: it holds half a surrogate pair"),
        ("maybe", {"rate": 1}, "maybe.name: is missing"),
        ("maybe", "x", "maybe: must be an object or list or null, got 'x'"),
        ("shape", [1, True], "shape[1]: must be an integer or text, got true"),
        ("shape", "12", "shape: must be a list, got '12'"),
        ("pair", [1], "pair: must hold 2 values, got 1"),
        ("pair", [1, "2"], "pair[1]: must be a finite number, got '2'"),
        ("table", {"a": None}, "table.a: must be a finite number, got null"),
        ("later", {"k": {"rate": 1, "nam": ""}}, "later.k.nam: is not a known key (did you mean 'name'?)"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_by_its_path(key: str, value: object, why: str) -> None:
    assert refusal({**plain(), key: value}).why == why


def test_the_top_level_must_be_an_object() -> None:
    assert refusal([]).why == "top level: must be an object, got a list"


def test_keys_of_a_million_letters_are_refused_at_once_and_shortened() -> None:
    assert len(refusal({**plain(), "x" * 1_000_000: 1}).why) < 200


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' is there twice"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b'{"a": -Infinity}', "-Infinity is not a number"),
        (b'{"a": 1e999}', "the number 1e999 is not finite"),
        (b'{"a": ' + b"9" * 5_000_000 + b"}", "does not fit in 64 bits"),
        (b'{"a": 9223372036854775808}', "does not fit in 64 bits"),
        (b"[" * 900_000, "nested too deeply"),
        (b'{"a":' * 900_000, "nested too deeply"),
        (b"[" + b"[]," * 1_000_001, "more than 1000000 lists and objects"),
        (b'{"a": "\xff"}', "invalid start byte"),
        (b'\xef\xbb\xbf{"a": 1}', "BOM"),
        (b'{"a": 1} x', "Extra data"),
        (b"", "Expecting value"),
    ],
)
def test_text_that_is_not_our_json_is_refused(text: bytes, why: str) -> None:
    with pytest.raises(EdgeVLError, match=r"edge-vl\.json is not valid") as caught:
        json_from_bytes(text)
    assert why in caught.value.why


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*plain()]) | st.text(), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*plain()]), JSON)
def test_any_value_is_taken_or_refused_by_name(key: str, value: object) -> None:
    try:
        outcome: Outer | EdgeVLError = record_from_json(Outer, {**plain(), key: value})
    except EdgeVLError as error:
        outcome = error
    if isinstance(outcome, EdgeVLError):
        assert outcome.why.startswith(key)
    else:
        assert record_from_json(Outer, json_from_record(outcome)) == outcome
