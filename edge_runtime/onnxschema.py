"""The messages of the ONNX format, by field number, as of onnx 1.23."""

from __future__ import annotations

from edge_runtime.protobuf import Field, Kind, Schema

DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string",
    9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64",
    15: "complex128", 16: "bfloat16", 17: "float8e4m3fn", 18: "float8e4m3fnuz", 19: "float8e5m2",
    20: "float8e5m2fnuz", 21: "uint4", 22: "int4", 23: "float4e2m1", 24: "float8e8m0", 25: "uint2",
    26: "int2",
}  # fmt: skip


def schema(title: str, /, **fields: str) -> Schema:
    """`name="7 bytes"`: number, kind, and `many` where the field repeats."""
    table = {}
    for field_name, words in fields.items():
        number, kind, *rest = words.split()
        is_repeated = rest == ["many"] or kind in ("numbers", "skipped")
        table[int(number)] = Field(field_name, Kind[kind.upper()], is_repeated)
    return Schema(title, table)


MODEL = schema(
    "ModelProto", ir_version="1 number", producer_name="2 skipped", producer_version="3 skipped",
    domain="4 skipped", model_version="5 skipped", doc_string="6 skipped", graph="7 bytes",
    opset_import="8 bytes many", metadata_props="14 skipped", training_info="20 bytes many",
    functions="25 bytes many", configuration="26 skipped",
)  # fmt: skip
OPSET = schema("OperatorSetIdProto", domain="1 bytes", version="2 number")
TRAINING = schema(
    "TrainingInfoProto", initialization="1 bytes", algorithm="2 bytes",
    initialization_binding="3 skipped", update_binding="4 skipped",
)  # fmt: skip
GRAPH = schema(
    "GraphProto", node="1 bytes many", name="2 skipped", initializer="5 bytes many", doc_string="10 skipped",
    input="11 bytes many", output="12 bytes many", value_info="13 skipped",
    quantization_annotation="14 skipped", sparse_initializer="15 bytes many", metadata_props="16 skipped",
)  # fmt: skip
FUNCTION = schema(
    "FunctionProto", name="1 bytes", input="4 skipped", output="5 skipped", attribute="6 skipped",
    node="7 bytes many", doc_string="8 skipped", opset_import="9 bytes many", domain="10 bytes",
    attribute_proto="11 bytes many", value_info="12 skipped", overload="13 skipped",
    metadata_props="14 skipped",
)  # fmt: skip
NODE = schema(
    "NodeProto", input="1 bytes many", output="2 bytes many", name="3 bytes", op_type="4 bytes",
    attribute="5 bytes many", doc_string="6 skipped", domain="7 bytes", overload="8 skipped",
    metadata_props="9 skipped", device_configurations="10 skipped",
)  # fmt: skip
ATTRIBUTE = schema(
    "AttributeProto", name="1 bytes", f="2 float", i="3 number", s="4 bytes", t="5 bytes", g="6 bytes",
    floats="7 skipped", ints="8 skipped", strings="9 skipped", tensors="10 bytes many",
    graphs="11 bytes many", doc_string="13 skipped", tp="14 skipped", type_protos="15 skipped",
    type="20 number", ref_attr_name="21 skipped", sparse_tensor="22 bytes", sparse_tensors="23 bytes many",
)  # fmt: skip
SPARSE = schema("SparseTensorProto", values="1 bytes", indices="2 bytes", dims="3 skipped")
TENSOR = schema(
    "TensorProto", dims="1 numbers", data_type="2 number", segment="3 skipped", float_data="4 skipped",
    int32_data="5 skipped", string_data="6 skipped", int64_data="7 skipped", name="8 bytes",
    raw_data="9 bytes", double_data="10 skipped", uint64_data="11 skipped", doc_string="12 skipped",
    external_data="13 bytes many", data_location="14 number", metadata_props="16 skipped",
)  # fmt: skip
PAIR = schema("StringStringEntryProto", key="1 bytes", value="2 bytes")
VALUE_INFO = schema(
    "ValueInfoProto", name="1 bytes", type="2 bytes", doc_string="3 skipped", metadata_props="4 skipped"
)
TYPE = schema(
    "TypeProto", tensor_type="1 bytes", sequence_type="4 skipped", map_type="5 skipped",
    denotation="6 skipped", opaque_type="7 skipped", sparse_tensor_type="8 skipped",
    optional_type="9 skipped",
)  # fmt: skip
TENSOR_TYPE = schema("TypeProto.Tensor", elem_type="1 number", shape="2 bytes")
SHAPE = schema("TensorShapeProto", dim="1 bytes many")
DIMENSION = schema("Dimension", dim_value="1 number", dim_param="2 bytes", denotation="3 skipped")
