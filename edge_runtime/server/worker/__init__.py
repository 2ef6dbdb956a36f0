"""The process that holds the engine. It knows nothing of HTTP."""
