"""The GPU through its own driver: memory, streams, recorded work."""
