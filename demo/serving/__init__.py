"""Scripts that measure a running server from outside, one bar each."""
