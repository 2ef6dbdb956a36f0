"""Which kernels compute what a network asks for, in listings that hide it."""

from __future__ import annotations

import pytest

from export.engines.account import Account, Kernel, Operand, account_of
from export.engines.products import NetworkProduct, Product


def asked(*nodes: str, kind: str = "half") -> list[NetworkProduct]:
    return [NetworkProduct(node, "matmul", kind) for node in nodes]


def kernel(name: str, nodes: str, *reads: str) -> Kernel:
    """`reads` are types; those of constants end in a bang, those of what may be one in a question mark."""
    constant = {"!": True, "?": None}
    operands = tuple(Operand(each.rstrip("!?"), constant.get(each[-1], False)) for each in reads)
    return Kernel(f"__myl_{name}", tuple(nodes.split()), operands, is_compiled_on_device=False)


def found(account: Account) -> list[tuple[str, str]]:
    return [(product.types, " ".join(product.layers)) for product in account.products]


def summed(*kernels: Kernel, of: list[NetworkProduct] | None) -> list[tuple[str, str]]:
    return found(account_of((), (), kernels, of))


@pytest.mark.parametrize("kind", ["half", "float"])
def test_a_kernel_that_multiplies_and_sums_has_the_type_that_the_network_asks_for(kind: str) -> None:
    kernels = kernel("AddSqrtDivMulCastMulReshMulSum", "norm q k", f"{kind}!", f"{kind}!", "float", "float")
    assert summed(kernels, of=asked("q", "k", kind=kind)) == [(f"{kind} x {kind}", "q k")]


def test_a_type_that_the_kernel_neither_reads_nor_casts_to_is_not_believed() -> None:
    assert summed(kernel("MulSum", "q", "float!", "float"), of=asked("q")) == [("unlisted x unlisted", "q")]


def test_packed_weights_are_what_the_product_is_stored_in() -> None:
    packed = kernel("CastMulCastMulSum", "o_scale o", "half", "half!", "int8!")
    assert summed(packed, of=asked("o")) == [("half x int8", "o")]


def test_8_bit_activations_are_the_left_operand() -> None:
    whole = kernel("CastMulSum", "o", "int8", "int8!", "half!")
    assert summed(whole, of=asked("o")) == [("int8 x int8", "o")]
    alone = kernel("CastMulSum", "o", "int8", "half!")
    assert summed(alone, of=asked("o")) == [("int8 x half", "o")]


def test_where_nobody_tells_which_operand_is_a_weight_two_packed_ones_are_not_guessed() -> None:
    weights, both = kernel("CastMulSum", "o", "half?", "int8?"), kernel("CastMulSum", "o", "int8?", "int8?")
    assert summed(weights, of=asked("o")) == [("half x int8", "o")]
    assert summed(both, of=asked("o")) == [("unlisted x int8", "o")]


def test_a_product_that_does_not_tell_its_nodes_leaves_open_what_is_missing() -> None:
    silent = Product("matmul", "half", "half", (), is_compiled_on_device=False)
    account = account_of([silent], (), (), asked("q"))
    assert (found(account), account.is_complete) == ([("half x half", "")], False)
    assert not account_of((), [()], (), asked("a", "a")).is_complete


def test_integers_that_the_kernel_makes_itself_are_not_listed() -> None:
    whole = kernel("MulMinMaxRounCastMulSum", "o", "half", "int8!")
    assert summed(whole, of=asked("o")) == [("unlisted x int8", "o")]


def test_two_products_in_one_kernel_have_a_type_each() -> None:
    both = kernel("MulReshMulSumCastCastReshMulSumSiluMul", "up gate act", "half!", "float!", "half")
    wanted = [*asked("up"), *asked("gate", kind="float")]
    assert summed(both, of=wanted) == [("float x float", "gate"), ("half x half", "up")]


def test_which_of_two_products_in_one_kernel_has_the_packed_weights_is_not_guessed() -> None:
    one = kernel("ReplCastMulCastMulSumReshMulSumSiluMul", "up gate", "half!", "int4!", "half!", "half")
    assert summed(one, of=asked("up", "gate")) == [("half x unlisted", "up gate")]
    two = kernel("ReplCastMulCastMulSumReplCastMulCastMulSum", "up gate", "int4!", "int4!", "half!", "half")
    assert summed(two, of=asked("up", "gate")) == [("half x int4", "up gate")]


def test_a_name_that_was_cut_off_hides_what_it_multiplies() -> None:
    assert summed(kernel("MoveReshMulSumEtc", "q", "half", "half!"), of=asked("q")) == [
        ("unlisted x unlisted", "q")
    ]


def test_kernels_that_only_prepare_a_product_are_not_taken_for_it() -> None:
    prepared = kernel("CastMulCast", "q", "half!", "int8!")
    computed = kernel("MulSum", "q", "half", "half")
    after = kernel("MulAdd", "q sum", "half")
    assert summed(prepared, computed, after, of=asked("q")) == [("half x half", "q")]


def test_where_several_kernels_may_have_computed_a_product_it_is_unlisted() -> None:
    may = kernel("Mul", "q", "half"), kernel("Add", "q", "half")
    assert summed(*may, of=asked("q")) == [("unlisted x unlisted", "q")]
    cut = kernel("MulSum", "q", "half", "int4!"), kernel("ReshCastEtc", "q", "half")
    assert ("unlisted x unlisted", "q") in summed(*cut, of=asked("q"))


def test_a_product_is_known_by_its_only_kernel_whatever_that_is_called() -> None:
    assert summed(kernel("Mul", "outer", "half", "half!"), of=asked("outer")) == [("half x half", "outer")]


def test_a_product_that_no_kernel_names_is_unlisted() -> None:
    assert summed(of=asked("q")) == [("unlisted x unlisted", "q")]


def test_products_known_by_their_kind_are_not_told_twice() -> None:
    whole = Product("matmul", "half", "half", ("q", "relu"), is_compiled_on_device=False)
    after = kernel("MulSum", "q o", "half", "half!")
    assert found(account_of([whole], (), [after], asked("q", "o"))) == [
        ("half x half", "q"),
        ("half x half", "o"),
    ]


def test_attention_that_was_not_fused_makes_two_products() -> None:
    scores = Product("matmul", "float", "float", ("attention",), is_compiled_on_device=False)
    wanted = asked("attention", "attention", kind="float")
    one = account_of([scores], (), (), wanted)
    assert found(one) == [("float x float", "attention"), ("unlisted x unlisted", "attention")]
    assert found(account_of([scores, scores], (), (), wanted)) == [("float x float", "attention")] * 2


def test_products_of_fused_attention_are_none_left() -> None:
    account = account_of((), [("scores", "softmax", "mix")], [kernel("Tran", "mix")], asked("scores", "mix"))
    assert (account.products, account.attention_layers, account.is_complete) == ((), 1, True)


def test_attention_is_counted_by_layers_and_not_by_kernels() -> None:
    wanted = asked("a", "a", "b", "b")
    assert account_of((), [("a",), ("b",)], (), wanted).attention_layers == 2
    twice = account_of((), [("a",), ("a", "sum")], (), wanted)
    assert twice.attention_layers == 1
    assert found(twice) == [("unlisted x unlisted", "b")] * 2


def test_two_kernels_that_share_a_product_are_one_layer_and_half_a_layer_is_none() -> None:
    wanted = asked("scores", "mix", "other")
    shared = account_of((), [("scores", "mix"), ("mix",)], (), wanted)
    assert shared.attention_layers == 1
    assert account_of((), [("mix", "softmax")], (), wanted).attention_layers == 0


def test_of_an_unknown_network_products_are_known_by_name_and_nothing_is_complete() -> None:
    kernels = (
        kernel("MulSum", "q", "float", "float!"),
        kernel("CastMulSum", "k", "half", "half!"),
        kernel("MulMean", "norm", "float"),
    )
    account = account_of((), [("a",), ("a",)], kernels, None)
    assert found(account) == [("float x float", "q"), ("unlisted x unlisted", "k")]
    assert (account.attention_layers, account.is_complete) == (2, False)
