"""The inspector's JSON, in the forms that NVIDIA documents and users published."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from export.engines.engine_listing import (
    EngineFacts,
    NamesOnlyError,
    layers_from_json,
    profiles_from_engine,
)
from export.engines.inspector import ProfileReport
from export.engines.listing import ListingError
from export.engines.products import NetworkProduct
from tests.export.engines import graphs
from tests.export.engines.conftest import Workshop
from tests.export.engines.recorded import inspector_text, layer

HALF_GEMM = layer("head_myl0_9", "gemm", "Half", "Half", nodes=("head", "head_sum"))


def profile_of(*layers: object, asked: Sequence[NetworkProduct] | None = ()) -> ProfileReport:
    (profile,) = profiles_from_engine(inspector_text(*layers), EngineFacts((4096,), None), asked)
    return profile


def halves(*nodes: str) -> list[NetworkProduct]:
    """What a network asks for."""
    return [NetworkProduct(node, "matmul", "half") for node in nodes]


def test_attention_kernels_are_counted_by_the_name_they_have_in_a_plan() -> None:
    kernels = [layer(f"_gemm_mha_v2_myl0_{index}", "kgen", "Half", "Half", "Half") for index in (5, 17)]
    tactic = layer("block/attention", "kgen", "Half", TacticName="_gemv_mha_v1_0x957a2fe283f77dcf")
    profile = profile_of(*kernels, tactic, layer("__myl_Cast_myl0_1", "kgen", "Half"))
    assert profile.attention == {"_gemm_mha_v2": 2, "_gemv_mha_v1": 1}
    assert profile.fused_attention() == 3  # kernels, where they do not tell their nodes
    assert profile.products == ()  # a tactic called "gemm" all the same


def test_the_nodes_of_a_product_left_in_half_are_named() -> None:
    whole = layer("q_myl0_2", "gemm", "Int8", "Int8", nodes=("q",))
    profile = profile_of(HALF_GEMM, whole, asked=halves("head", "q"))
    assert profile.products_by_types() == {"half x half": 1, "int8 x int8": 1}
    assert profile.layers_left_in("half") == ("head",)  # the sum behind it is no product
    assert profile.layers_left_in("float") == ()


def test_the_same_graph_gives_the_same_rows_from_either_source(workshop: Workshop) -> None:
    built = workshop.built("int8", graphs.int8_and_half, graphs.rows())
    (plan,) = built.plan.profiles
    engine = profile_of(
        layer("__myl_MulMinMaxRounCast_myl0_0", "kgen", "Half"),
        layer("quantised_myl0_1", "gemm", "Int8", "Int8", nodes=("quantised",)),
        layer("left_in_half_myl0_2", "gemm", "Half", "Half", nodes=("left_in_half",)),
        asked=built.report.products,
    )
    assert engine.attention == plan.attention
    assert engine.products_by_types() == plan.products_by_types()
    assert engine.layers_left_in("half") == ("left_in_half",)
    for kind in ("half", "float"):
        assert engine.layers_left_in(kind) == plan.layers_left_in(kind)


def test_a_product_of_one_row_is_one_that_an_engine_multiplies_and_sums(workshop: Workshop) -> None:
    built = workshop.built("one_row_int4", graphs.int4_chain, graphs.rows("one", most=1))
    fused = ("__myl_ReplCastMulCastReshMulSum_myl0_0", "__myl_ReplCastMulCastReluReshMulSum_myl0_1")
    words = ("Half", "Int4", "Half")
    engine = profile_of(
        layer(fused[0], "kgen", *words, nodes=("product0", "node_of_d0")),
        layer(fused[1], "kgen", *words, nodes=("relu0", "product1", "node_of_d1")),
        layer("__myl_Relu_myl0_2", "kgen", "Half", nodes=("relu1",)),
        asked=built.report.products,
    )
    assert engine.products == built.plan.profiles[0].products
    assert engine.layers_left_in("half") == ()


def test_where_an_engine_tells_no_nodes_nothing_is_said_to_be_complete() -> None:
    profile = profile_of(layer("q_myl0_2", "gemm", "Half", "Half"), asked=halves("q"))
    assert profile.products_by_types() == {"half x half": 1}  # and not another one, unlisted
    assert profile.layers_left_in("float") is None


def test_a_kernel_that_is_no_product_may_read_what_has_no_type_of_ours() -> None:
    assert profile_of(layer("__myl_Resh_myl0_0", "kgen", "Opaque", nodes=("a",))).products == ()


def test_weights_in_4_bits_are_unpacked_by_the_fusion_that_multiplies_them() -> None:
    fused = layer("__myl_ReplCastMulCastFc_myl0_3", "kgen", "Half", "Int4", "Half", nodes=("up",))
    profile = profile_of(fused, asked=halves("up"))
    assert profile.products_by_types() == {"half x int4": 1}
    assert profile.products is not None
    assert profile.products[0].is_compiled_on_device
    assert profile.layers_left_in("half") == ()


@pytest.mark.parametrize("kind", ["CaskConvolution", "CaskConvActPool", "CaskGemmConvolution", "corrltn"])
def test_a_convolution_shows_the_type_of_its_weights_apart(kind: str) -> None:
    words, weights = "Thirty-two wide channel vectorized row major Int8 format", {"Type": "Int8", "Count": 64}
    profile = profile_of(layer("patch", kind, words, Weights=weights))
    assert profile.products is not None
    assert [(product.kind, product.types) for product in profile.products] == [("convolution", "int8 x int8")]


@pytest.mark.parametrize(
    ("tactic", "kind"),
    [
        ("sm80_xmma_gemm_f16f16_f16f16_f16_nn_n_tilesize32x32x64_stage6", "matmul"),
        ("sm50_xmma_cublas_gemvx_f16f16_f32_f32_tn_n_int32", "matmul"),
        ("sm80_xmma_fprop_implicit_gemm_f16f16_f16f16_f16_nhwckrsc", "convolution"),
    ],
)
def test_a_product_of_an_unknown_layer_type_is_known_by_its_tactic(tactic: str, kind: str) -> None:
    profile = profile_of(layer("some", "fusion", "Half", "Half", TacticName=tactic))
    assert profile.products is not None
    assert [product.kind for product in profile.products] == [kind]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Half", "half"),
        ("Row major linear FP16 format", "half"),
        ("Row major linear FP32", "float"),
        ("Float", "float"),
        ("BFloat16", "bf16"),
        ("Channel major Int8 format where channel % 4 == 0", "int8"),
    ],
)
def test_both_kinds_of_words_for_types_are_read(words: str, kind: str) -> None:
    assert profile_of(layer("a", "gemm", words, words)).products_by_types() == {f"{kind} x {kind}": 1}


def test_types_that_version_11_tells_under_another_key_are_read() -> None:
    tensors = [{"Name": name, "Dimensions": [8, 8], "DataType": "Half"} for name in "ab"]
    text = inspector_text(layer("a", "gemm", Inputs=tensors), **{"I/O Tensors": []})
    (profile,) = profiles_from_engine(text, EngineFacts((1,), None))
    assert profile.products_by_types() == {"half x half": 1}


def test_the_factors_beside_a_product_are_no_operands() -> None:
    one = {"Name": "alpha", "Dimensions": [1], "Format/Datatype": "Float"}
    operand = {"Name": "x", "Dimensions": [-1, 256], "Format/Datatype": "Half"}
    assert profile_of(layer("a", "gemm", Inputs=[operand, one])).products_by_types() == {"half x unlisted": 1}


def test_a_weight_that_is_not_shown_leaves_open_what_is_left_in_half() -> None:
    shown = layer("q_myl0_2", "gemm", "Half", nodes=("q",))
    profile = profile_of(shown, HALF_GEMM, asked=halves("q", "head"))
    assert profile.products_by_types() == {"half x half": 1, "half x unlisted": 1}
    assert profile.layers_left_in("half") is None
    assert profile.layers_left_in("float") == ()


def test_a_summand_in_half_is_not_taken_for_the_weight_of_an_8_bit_product() -> None:
    profile = profile_of(layer("o_myl0_2", "gemm", "Int8", "Half"))
    assert profile.products_by_types() == {"int8 x unlisted": 1}


def test_types_that_depend_on_shapes_are_not_told() -> None:
    words = "N/A due to dynamic shapes"
    profile = profile_of(layer("a", "gemm", words, words))
    assert profile.products_by_types() == {"unlisted x unlisted": 1}
    assert profile.layers_left_in("half") is None


def test_what_the_inspector_does_not_tell_is_not_a_zero() -> None:
    profile = profile_of(HALF_GEMM)
    assert (profile.constant_bytes, profile.kernels, profile.accelerators) == (None, None, None)
    assert profile.activation_bytes == 4096


def test_every_profile_has_the_layers_that_bear_its_number() -> None:
    text = inspector_text(
        layer("_gemm_mha_v2_myl0_1", "kgen", "Half"), layer("_gemv_mha_v1_myl1_1 [profile 1]", "kgen", "Half")
    )
    profiles = profiles_from_engine(text, EngineFacts((1, 2), ()))
    assert [profile.attention for profile in profiles] == [{"_gemm_mha_v2": 1}, {"_gemv_mha_v1": 1}]
    assert [profile.activation_bytes for profile in profiles] == [1, 2]


def test_layers_that_cannot_be_told_by_profile_are_counted_for_none() -> None:
    profiles = profiles_from_engine(inspector_text(HALF_GEMM), EngineFacts((1, 2), ()))
    assert [(profile.attention, profile.products) for profile in profiles] == [(None, None)] * 2
    assert [profile.activation_bytes for profile in profiles] == [1, 2]


@pytest.mark.parametrize("name", ["{ForeignNode[a...b]}", "a"])
def test_a_layer_that_hides_others_is_not_a_plan_of_nothing(name: str) -> None:
    profile = profile_of(layer(name, "Myelin", "Half"))
    assert (profile.attention, profile.products) == (None, None)


def test_nodes_are_set_apart_by_an_unprintable_byte_or_by_nothing() -> None:
    raw = inspector_text(HALF_GEMM).replace("\\u001e", "\x1e")
    assert "\x1e" in raw
    assert layers_from_json(raw)[0].nodes == ("head", "head_sum")
    assert layers_from_json(raw.replace("\x1e", ""))[0].nodes == ("head", "head_sum")


@pytest.mark.parametrize("layers", [(), ("head", "_gemm_mha_v2_myl0_1"), ({"Name": "head"},)])
def test_names_alone_are_not_layers(layers: tuple[object, ...]) -> None:
    with pytest.raises(NamesOnlyError):
        layers_from_json(inspector_text(*layers))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"Layers": [{"Name"', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", 'no list "Layers"'),
        ('{"Layers": {}}', 'no list "Layers"'),
        ('{"Layers": [{"LayerType": "gemm"}]}', 'no "Name"'),
        ('{"Layers": [{"LayerType": "gemm", "Name": "a", "Inputs": ["x"]}]}', "no list of tensors"),
    ],
)
def test_text_of_another_shape_is_an_error(text: str, words: str) -> None:
    with pytest.raises(ListingError, match=words):
        layers_from_json(text)


@pytest.mark.parametrize("words", ["Float6", "Half Int8", ""])
def test_a_product_of_unknown_types_is_an_error(words: str) -> None:
    with pytest.raises(ListingError, match="not known"):
        profile_of(layer("a", "gemm", words))
