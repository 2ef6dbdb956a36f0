"""What the listings of real plans say."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.errors import EdgeVLError
from export.engines.inspector import ProfileReport, report_from_plan
from tests.export.engines import graphs
from tests.export.engines.conftest import Draw, Workshop

WEIGHTS = graphs.WIDTH**2


@pytest.mark.parametrize("draw", [graphs.decomposed_attention, graphs.attention])
def test_half_attention_is_one_fused_kernel_in_either_spelling(workshop: Workshop, draw: Draw) -> None:
    (profile,) = workshop.built(f"half_{draw.__name__}", draw, graphs.tokens_profile()).plan.profiles
    assert profile.attention == {"_gemm_mha_v2": 1}
    assert profile.products == ()


def test_float_attention_is_two_products(workshop: Workshop) -> None:
    (profile,) = workshop.built(
        "float_attention", lambda path: graphs.attention(path, graphs.FLOAT), graphs.tokens_profile()
    ).plan.profiles
    assert profile.attention == {}
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
    assert "product1" in profile.products[1].layers
    assert profile.layers_left_in("half") == ()
    assert profile.constant_bytes is not None
    assert profile.constant_bytes["int4"] == WEIGHTS  # two matrices, two weights a byte


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
    assert report_from_plan(path).profiles == built.plan.profiles


def test_what_a_source_cannot_tell_is_not_a_zero() -> None:
    profile = ProfileReport(0, None, None, None, None, None, None, None)
    assert profile.products_by_types() is None
    assert profile.layers_left_in("half") is None
    assert profile.fused_attention() is None
