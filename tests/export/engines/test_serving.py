from __future__ import annotations

import pytest

from edge_runtime.dialects import Precision
from edge_runtime.errors import EdgeVLError
from edge_runtime.manifest import GraphEntry, Port
from edge_runtime.spec import Role
from export.engines.serving import Serving, check_serving, engines_from_graph

SERVING = Serving(context=2048, batch=4)


def entry(role: Role, *inputs: Port, precision: Precision = "fp16") -> GraphEntry:
    out = Port("out", "float16", ("batch", 8))
    return GraphEntry(role, "trt10", precision, f"graphs/{role}.onnx", 20, inputs, (out,))


def decoder(precision: Precision = "fp16") -> GraphEntry:
    return entry(
        "decoder",
        Port("inputs_embeds", "float16", ("batch", "sequence", 64)),
        Port("write_index", "int64", ("batch",)),
        Port("logit_index", "int64", ("batch", "rows")),
        Port("past_key_values.0.key", "float16", ("batch", 2, "capacity", 16)),
        precision=precision,
    )


def most_logit_rows(graph: GraphEntry, serving: Serving) -> list[int]:
    """Of its engines; one row is always the least and the usual."""
    ranges = [each.profiles[0].inputs["logit_index"] for each in engines_from_graph(graph, serving)]
    assert {(each.minimum[1], each.optimum[1]) for each in ranges} == {(1, 1)}
    return [each.maximum[1] for each in ranges]


def test_a_tower_is_built_for_one_picture_and_up_to_as_many_as_there_are_rows() -> None:
    (engine,) = engines_from_graph(
        entry("vision_low", Port("pixels", "float16", ("batch", 3, 8, 8))), SERVING
    )
    (profile,) = engine.profiles
    pixels = profile.inputs["pixels"]
    assert (engine.name, pixels.minimum, pixels.maximum) == ("vision_low", (1, 3, 8, 8), (4, 3, 8, 8))


def test_a_decoder_in_floats_becomes_two_engines_for_its_two_kinds_of_step() -> None:
    prefill, decode = engines_from_graph(decoder(), SERVING)
    assert (prefill.name, decode.name) == ("decoder.prefill", "decoder.decode")
    assert len(prefill.profiles) == len(decode.profiles) == 1
    longest, one = (each.profiles[0].inputs["inputs_embeds"] for each in (prefill, decode))
    assert (longest.minimum, longest.maximum) == ((1, 1, 64), (4, 1024, 64))
    assert (one.minimum, one.optimum, one.maximum) == ((1, 1, 64), (4, 1, 64), (4, 1, 64))


def test_a_decoder_whose_weights_are_shared_becomes_one_engine_for_both() -> None:
    apart = engines_from_graph(decoder("int4"), SERVING)
    (engine,) = engines_from_graph(decoder("int4"), SERVING, has_shared_weights=True)
    assert engine.name == "decoder"
    assert engine.profiles == tuple(each.profiles[0] for each in apart)
    assert [profile.name for profile in engine.profiles] == ["prefill", "decode"]


def test_a_step_has_room_for_a_second_token_where_layers_of_bytes_want_it() -> None:
    (engine,) = engines_from_graph(decoder("int8"), SERVING, has_shared_weights=True, has_byte_layers=True)
    prefill, decode = (profile.inputs["inputs_embeds"] for profile in engine.profiles)
    assert (decode.minimum, decode.optimum, decode.maximum) == ((1, 1, 64), (4, 1, 64), (4, 2, 64))
    assert prefill.maximum == (4, 1024, 64)


def test_a_tower_has_one_profile_to_share_weights_with() -> None:
    tower = entry("vision_low", Port("pixels", "float16", ("batch", 3, 8, 8)), precision="int8")
    assert engines_from_graph(tower, SERVING, has_shared_weights=True) == engines_from_graph(tower, SERVING)


def test_the_cache_is_as_long_as_the_context() -> None:
    for engine in engines_from_graph(decoder(), SERVING):
        inputs = engine.profiles[0].inputs
        assert {
            shape[2]
            for shape in (inputs["past_key_values.0.key"].minimum, inputs["past_key_values.0.key"].maximum)
        } == {2048}


def test_one_row_of_a_step_in_floats_asks_for_logits() -> None:
    assert most_logit_rows(decoder(), SERVING) == [1, 1]


@pytest.mark.parametrize("precision", ["int4", "int8"])
def test_integer_weights_are_built_for_two_rows_of_logits(precision: Precision) -> None:
    assert most_logit_rows(decoder(precision), SERVING) == [2, 2]


@pytest.mark.parametrize("precision", ["fp16", "int4"])
def test_a_step_can_be_asked_for_more_rows_of_logits(precision: Precision) -> None:
    assert most_logit_rows(decoder(precision), Serving(context=2048, logit_rows=5)) == [5, 5]


def test_a_piece_is_never_longer_than_the_context() -> None:
    prefill, _ = engines_from_graph(decoder(), Serving(context=300))
    assert prefill.profiles[0].inputs["inputs_embeds"].maximum == (1, 300, 64)


def test_a_piece_is_never_longer_than_a_cache_whose_length_is_fixed() -> None:
    fixed = entry(
        "decoder",
        Port("inputs_embeds", "float16", ("batch", "sequence", 64)),
        Port("logit_index", "int64", ("batch", "rows")),
        Port("past_key_values.0.key", "float16", ("batch", 2, 256, 16)),
        Port("past_key_values.0.value", "float16", ("batch", 2, 256, 16)),
    )
    prefill, _ = engines_from_graph(fixed, SERVING)
    assert prefill.profiles[0].inputs["inputs_embeds"].maximum == (4, 256, 64)
    assert prefill.profiles[0].inputs["past_key_values.0.key"].maximum == (4, 2, 256, 16)


def test_a_bundle_is_not_served_with_more_context_than_it_has() -> None:
    check_serving(Serving(context=512), max_context=512)
    with pytest.raises(EdgeVLError, match="513 tokens cannot be served") as caught:
        check_serving(Serving(context=513), max_context=512)
    assert caught.value.code == "EVL-CONTEXT-LIMIT"
    assert "512" in caught.value.why and "--max-context" in caught.value.fix


def test_an_input_whose_shape_is_fixed_needs_no_range() -> None:
    fixed = entry(
        "decoder",
        Port("inputs_embeds", "float16", ("batch", "sequence", 64)),
        Port("past", "float16", (1, 2, 64, 16)),
    )
    assert set(engines_from_graph(fixed, SERVING)[0].profiles[0].inputs) == {"inputs_embeds"}


@pytest.mark.parametrize("sizes", [(0, 1, 1, 1), (10, 0, 1, 1), (10, 1, 0, 1), (10, 1, 1, 0)])
def test_serving_nothing_is_no_serving(sizes: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="nothing can be served"):
        Serving(*sizes)
