from __future__ import annotations

import pytest

from export.engines.listing import ListingError, layers_from_text, listing_from_text

TEXT = """header {
  region = { name=devmem_topdown_0 size=512 alignment=128 instance=0 type=user place=accelerator unified=false }
  region = { name=consts size=70 alignment=128 instance=0 type=system place=accelerator unified=false constant=true }
  inputs={ "x [profile 1].1" "cache.1" }
  input_sync_idx={ -1 }
  outputs={ "z.1" "cache.1" }
  accelerators={sm80 sm89 }
}
descriptors {
  tensor={ alignment=128 const_payload_size=64 dims={ 8 8 } name="{a b}" offset=0 region=consts type=int8 }
  sub_tensor={ base="x" const_offset=0 dims={ 8 } name="x^deref" offset=0 rank0=0 type=half }
}
main {
 label bb1:
  fully_connected={ name="up+gate" output={"y.1" } input={"x^deref" "{a b}" } stream=0 layers="[ONNX Layer: up]\x1e[ONNX Layer: a[0]]" }
  runtime_fusion={ name=__myl_FcAdd input_args={ "y.1" } output_args={ "z.1" } binary=3 stream=0 layers="" }
}
shape_main {
  mul={ name="shape" output={"n" } input={"s" } stream=0  layers="" }
}
"""


def test_a_listing_is_read_to_the_last_name() -> None:
    listing = listing_from_text(TEXT)
    header = listing.header
    assert (header.accelerators, header.profile, header.activation_bytes) == (("sm80", "sm89"), 1, 512)
    assert (listing.type_of("{a b}"), listing.tensors["{a b}"].constant_bytes) == ("int8", 64)
    assert listing.type_of("x^deref") == "half"
    assert (header.inputs, header.outputs) == (("x [profile 1].1", "cache.1"), ("z.1", "cache.1"))
    product, fusion = listing.operations
    assert (product.kind, product.name, product.inputs) == (
        "fully_connected",
        "up+gate",
        ("x^deref", "{a b}"),
    )
    assert product.layers == ("up", "a[0]")
    assert (fusion.name, fusion.inputs, fusion.outputs) == ("__myl_FcAdd", ("y.1",), ("z.1",))
    assert (fusion.binary, fusion.layers) == (3, ())


def test_the_arithmetic_of_shapes_is_no_operation() -> None:
    assert [operation.kind for operation in listing_from_text(TEXT).operations] == [
        "fully_connected",
        "runtime_fusion",
    ]


def test_what_became_of_a_node_behind_its_bracket_is_not_part_of_its_name() -> None:
    text = "[ONNX Layer: neck/Transpose]\x1e[ONNX Layer: neck.conv1/Conv[0]]__gemm_from_conv1x1\x1e__mye7"
    assert layers_from_text(text) == ("neck/Transpose", "neck.conv1/Conv[0]")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  accelerators={sm80 sm89 }\n", ""),
        ("main {", "unknown_main {"),
        (" type=int8 }", " kind=int8 }"),
        ('  inputs={ "x [profile 1].1"', '  inputs={ "x [profile 1].1" "x [profile 2].1"'),
        ('  outputs={ "z.1" "cache.1" }\n', ""),
    ],
)
def test_a_listing_unlike_those_we_know_is_refused(old: str, new: str) -> None:
    assert old in TEXT
    with pytest.raises(ListingError):
        listing_from_text(TEXT.replace(old, new))


def test_a_tensor_that_nobody_described_has_no_type() -> None:
    with pytest.raises(ListingError, match=r"y\.1"):
        listing_from_text(TEXT).type_of("y.1")
