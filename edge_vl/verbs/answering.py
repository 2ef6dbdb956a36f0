"""What `run` and `chat` share: how to answer, from flags."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from edge_runtime.constraint import SCHEMA_LIMIT_BYTES, Choice, Constraint, JsonSchema, Regex
from edge_runtime.constraint_grammar import check_constraint
from edge_runtime.errors import EdgeVLError
from edge_runtime.request import Request
from edge_runtime.sampling import Sampling


def request_from_arguments(arguments: Namespace) -> Request:
    """Whatever is wrong with it is told before a model is loaded."""
    sampling = Sampling(
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        top_p=arguments.top_p,
        repetition_penalty=arguments.repetition_penalty,
        seed=arguments.seed,
    )
    constraint = constraint_from_arguments(arguments)
    if constraint is not None:
        check_constraint(constraint)
    return Request(arguments.max_tokens, sampling, tuple(arguments.stop), constraint)


def constraint_from_arguments(arguments: Namespace) -> Constraint | None:
    if arguments.schema is not None:
        return JsonSchema(schema_from_file(arguments.schema))
    if arguments.regex is not None:
        return Regex(arguments.regex)
    return None if arguments.choice is None else Choice(arguments.choice)


def schema_from_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(SCHEMA_LIMIT_BYTES + 1)
        # One byte too many is enough for the schema to say that it is too large, wherever it was cut.
        return data.decode("utf-8", "strict" if len(data) <= SCHEMA_LIMIT_BYTES else "replace")
    except UnicodeDecodeError as error:
        why = "it is not UTF-8 text"
        cause: Exception = error
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        why = getattr(error, "strerror", None) or "there can be no such path"
        cause = error
    raise EdgeVLError(
        "EVL-CONSTRAINT-FILE",
        f"the schema {path.name} cannot be read",
        why,
        "give --schema a file with a JSON schema",
    ) from cause
