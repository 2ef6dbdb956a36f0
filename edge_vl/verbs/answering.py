"""What `run` and `chat` share: how to answer, from flags."""

from __future__ import annotations

from argparse import Namespace

from edge_runtime.request import Request
from edge_runtime.sampling import Sampling


def request_from_arguments(arguments: Namespace) -> Request:
    sampling = Sampling(
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        top_p=arguments.top_p,
        repetition_penalty=arguments.repetition_penalty,
        seed=arguments.seed,
    )
    return Request(arguments.max_tokens, sampling, tuple(arguments.stop))
