"""Engines that TensorRT built, opened and run."""
