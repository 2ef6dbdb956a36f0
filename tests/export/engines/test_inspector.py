"""What the listings of real plans say."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.errors import EdgeVLError
from export.engines.inspector import ProfileReport, account_of_parts, report_from_plan
from export.engines.listing import Header, Listing, Operation, Tensor
from export.engines.products import NetworkProduct
from tests.export.engines import graphs
from tests.export.engines.conftest import Draw, Workshop

WEIGHTS = graphs.WIDTH**2


@pytest.mark.parametrize("draw", [graphs.decomposed_attention, graphs.attention])
def test_half_attention_is_one_fused_kernel_in_either_spelling(workshop: Workshop, draw: Draw) -> None:
    (profile,) = workshop.built(f"half_{draw.__name__}", draw, graphs.tokens_profile()).plan.profiles
    assert profile.attention == {"_gemm_mha_v2": 1}
    assert profile.fused_attention() == 1
    assert profile.products == ()
    assert profile.layers_left_in("half") == ()


def test_float_attention_is_two_products(workshop: Workshop) -> None:
    (profile,) = workshop.built(
        "float_attention", lambda path: graphs.attention(path, graphs.FLOAT), graphs.tokens_profile()
    ).plan.profiles
    assert profile.attention == {}
    assert profile.fused_attention() == 0
    assert profile.products_by_types() == {"float x float": 2}
    assert profile.layers_left_in("float") == ("attention", "attention")


def test_an_int8_product_and_the_one_left_in_half_are_told_apart(workshop: Workshop) -> None:
    (profile,) = workshop.built("int8", graphs.int8_and_half, graphs.rows()).plan.profiles
    assert profile.products_by_types() == {"half x half": 1, "int8 x int8": 1}
    assert profile.layers_left_in("half") == ("left_in_half",)
    assert profile.layers_left_in("float") == ()
    assert profile.constant_bytes is not None
    assert profile.constant_bytes["int8"] == WEIGHTS
    assert WEIGHTS * 2 <= profile.constant_bytes["half"] < WEIGHTS * 2 + 4096


def test_an_int8_convolution_is_a_product_too(workshop: Workshop) -> None:
    (profile,) = workshop.built("patch", graphs.int8_convolution).plan.profiles
    assert profile.products is not None
    assert [(product.kind, product.types) for product in profile.products] == [("convolution", "int8 x int8")]


def test_int4_weights_are_unpacked_inside_the_product(workshop: Workshop) -> None:
    (profile,) = workshop.built("int4", graphs.int4_chain, graphs.rows()).plan.profiles
    assert profile.products_by_types() == {"half x int4": 2}
    assert profile.products is not None
    assert all(product.is_compiled_on_device for product in profile.products)
    assert [product.layers for product in profile.products] == [("product0",), ("product1",)]
    assert profile.layers_left_in("half") == ()
    assert profile.constant_bytes is not None
    assert profile.constant_bytes["int4"] == WEIGHTS  # two matrices, two weights a byte


ONE_ROW = graphs.rows("one", most=1)


def test_a_product_of_one_row_is_left_in_float_though_no_kernel_is_called_a_product(
    workshop: Workshop,
) -> None:
    (profile,) = workshop.built(
        "one_row_float", lambda path: graphs.product(path, graphs.FLOAT), ONE_ROW
    ).plan.profiles
    assert profile.products_by_types() == {"float x float": 1}
    assert profile.layers_left_in("float") == ("product",)
    assert profile.layers_left_in("half") == ()


def test_4_bit_weights_of_one_row_are_unpacked_where_they_are_multiplied_and_summed(
    workshop: Workshop,
) -> None:
    (profile,) = workshop.built("one_row_int4", graphs.int4_chain, ONE_ROW).plan.profiles
    assert profile.products_by_types() == {"half x int4": 2}
    assert profile.products is not None
    assert [product.layers for product in profile.products] == [("product0",), ("product1",)]
    assert not any(product.is_compiled_on_device for product in profile.products)
    assert (profile.layers_left_in("half"), profile.layers_left_in("float")) == ((), ())


def test_the_second_of_two_products_of_one_row_is_told_from_the_first_that_it_takes_its_input_of(
    workshop: Workshop,
) -> None:
    (profile,) = workshop.built("one_row_int8", graphs.int8_and_half, ONE_ROW).plan.profiles
    assert profile.products_by_types() == {"half x half": 1, "int8 x int8": 1}
    assert profile.layers_left_in("half") == ("left_in_half",)


def test_a_plan_read_without_its_network_does_not_say_that_nothing_is_left(workshop: Workshop) -> None:
    built = workshop.built("one_row_int4", graphs.int4_chain, ONE_ROW)
    (profile,) = report_from_plan(built.path).profiles
    assert profile.products_by_types() == {"unlisted x int4": 2}  # known by their kernels' names alone
    assert profile.layers_left_in("float") is None
    (profile,) = report_from_plan(workshop.built("product", graphs.product, graphs.rows()).path).profiles
    assert profile.products_by_types() == {"half x half": 1}
    assert (profile.layers_left_in("half"), profile.layers_left_in("float")) == (None, None)


def test_a_product_that_no_kernel_of_the_plan_names_is_unlisted(workshop: Workshop) -> None:
    built = workshop.built("product", graphs.product, graphs.rows())
    asked = (*built.report.products, NetworkProduct("another", "matmul", "half"))
    (profile,) = report_from_plan(built.path, asked).profiles
    assert profile.products_by_types() == {"half x half": 1, "unlisted x unlisted": 1}
    assert profile.layers_left_in("float") is None


def test_one_kernel_is_not_taken_for_both_products_of_attention() -> None:
    tensors = dict.fromkeys("qks", Tensor("half", 0))
    scores = Operation("fully_connected", "scores", ("q", "k"), ("s",), ("attention",), None)
    listing = Listing(Header(("sm80",), 0, 0, ("q", "k"), ("s",)), tensors, (scores,))
    asked = [NetworkProduct("attention", "matmul", "half")] * 2
    told = account_of_parts([(listing, [])], asked).products
    assert [product.types for product in told] == ["half x half", "unlisted x unlisted"]


def test_every_profile_has_figures_of_its_own(workshop: Workshop) -> None:
    profiles = graphs.cache_profile("prefill", 16), graphs.cache_profile("decode", 1)
    plan = workshop.built("cache", graphs.cached_attention, *profiles).plan
    assert [profile.index for profile in plan.profiles] == [0, 1]
    assert [profile.attention for profile in plan.profiles] == [{"_gemm_mha_v2": 1}, {"_gemv_mha_v1": 1}]


@pytest.mark.parametrize(
    ("scale", "in_place"), [(graphs.HEAD_DIM**-0.5, ["now_k", "now_v"]), (1.0, ["now_v"])]
)
def test_a_cache_that_is_copied_at_every_call_is_not_called_in_place(
    workshop: Workshop, scale: float, in_place: list[str]
) -> None:
    """The compiler loses sight of the keys where attention multiplies them by one."""
    (profile,) = workshop.built(
        f"scaled_by_{scale}",
        lambda path: graphs.cached_attention(path, scale=scale),
        graphs.cache_profile("decode", 1),
    ).plan.profiles
    assert profile.in_place is not None
    assert [name.removesuffix(".1") for name in profile.in_place] == in_place


def test_the_listing_names_the_accelerator(workshop: Workshop) -> None:
    (profile,) = workshop.built("int4", graphs.int4_chain, graphs.rows()).plan.profiles
    assert profile.accelerators == ("sm80",)


@pytest.mark.parametrize(
    ("name", "draw"),
    [("int4", graphs.int4_chain), ("int8", graphs.int8_and_half), ("product", graphs.product)],
)
def test_activation_memory_is_what_the_log_says_too(workshop: Workshop, name: str, draw: Draw) -> None:
    built = workshop.built(name, draw, graphs.rows())
    assert built.report.activation_bytes is not None
    assert built.plan.profiles[0].activation_bytes == pytest.approx(
        built.report.activation_bytes[0], abs=4096
    )


def test_a_file_without_listings_is_an_error_and_not_a_plan_of_nothing(tmp_path: Path) -> None:
    for name, content in (("empty", b""), ("other", b"ftrt" + bytes(10_000))):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(EdgeVLError) as caught:
            report_from_plan(path)
        assert caught.value.code == "EVL-PLAN-LISTING"


def test_a_plan_that_was_cut_off_is_an_error(workshop: Workshop, tmp_path: Path) -> None:
    plan = workshop.built("product", graphs.product, graphs.rows()).path.read_bytes()
    path = tmp_path / "cut.plan"
    path.write_bytes(plan[: plan.find(b"NLYM") + 1000])
    with pytest.raises(EdgeVLError, match="cut off") as caught:
        report_from_plan(path)
    assert caught.value.code == "EVL-PLAN-LISTING"


def test_a_plan_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EdgeVLError) as caught:
        report_from_plan(tmp_path / "gone.plan")
    assert caught.value.code == "EVL-FILE"


def test_the_mark_inside_a_weight_is_no_listing(workshop: Workshop, tmp_path: Path) -> None:
    built = workshop.built("product", graphs.product, graphs.rows())
    path = tmp_path / "marked.plan"
    path.write_bytes(b"NLYM" + bytes(20) + built.path.read_bytes() + b"NLYM")
    assert report_from_plan(path, built.report.products).profiles == built.plan.profiles


def test_what_a_source_cannot_tell_is_not_a_zero() -> None:
    profile = ProfileReport(
        0, None, None, None, None, None, None, None, attention_layers=None, is_every_product_told=True
    )
    assert profile.products_by_types() is None
    assert profile.layers_left_in("half") is None
    assert profile.fused_attention() is None
