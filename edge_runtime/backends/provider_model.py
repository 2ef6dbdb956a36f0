"""A graph of two nodes, written byte by byte: where it runs there may be no library that writes graphs."""

from __future__ import annotations

FLOAT16 = 10  # TensorProto.DataType
IR_VERSION, OPSET = 8, 13  # both older than any ONNX Runtime that we meet


def tiny_model() -> bytes:
    """y = (x @ x) * x with x (2, 2) in fp16. No weights: those would be folded away on the CPU."""
    graph = b"".join(
        (
            sized(1, node("MatMul", ("x", "x"), "square")),
            sized(1, node("Mul", ("square", "x"), "y")),
            sized(2, b"tiny"),
            sized(11, port("x")),
            sized(12, port("y")),
        )
    )
    return number(1, IR_VERSION) + sized(7, graph) + sized(8, number(2, OPSET))


def node(operator: str, inputs: tuple[str, ...], output: str) -> bytes:
    """A NodeProto."""
    names = b"".join(sized(1, name.encode()) for name in inputs)
    return names + sized(2, output.encode()) + sized(4, operator.encode())


def port(name: str) -> bytes:
    """A ValueInfoProto: fp16, (2, 2)."""
    shape = sized(1, number(1, 2)) * 2
    return sized(1, name.encode()) + sized(2, sized(1, number(1, FLOAT16) + sized(2, shape)))


def sized(field: int, body: bytes) -> bytes:
    assert len(body) < 128, "a length of one byte"
    return bytes((field << 3 | 2, len(body))) + body


def number(field: int, value: int) -> bytes:
    assert 0 <= value < 128, "a number of one byte"
    return bytes((field << 3, value))
