"""ONNX to engines; runs on the board, so neither torch nor onnx is imported here."""
