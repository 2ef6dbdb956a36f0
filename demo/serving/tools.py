"""Clients of other makers, each in an environment of its own."""

from __future__ import annotations

from demo.rivals.environments import Environment

# Its plugin for pytest breaks under the newest pytest, and nothing of ours needs it.
SCHEMATHESIS = Environment("schemathesis", "schemathesis", (("schemathesis==4.32.5", "pytest<9"),))
# torch first: the newest one would come along otherwise, with several GB for a GPU.
GUIDELLM = Environment("guidellm", "guidellm", (("torch==2.13.0",), ("guidellm==0.8.1",)))
