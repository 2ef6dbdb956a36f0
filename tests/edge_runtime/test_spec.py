from __future__ import annotations

from dataclasses import replace

import pytest

from tests.edge_runtime.fake_backend import VOCAB, fake_spec


@pytest.mark.parametrize("name", ["image_id", "bos_id", "eos_id"])
def test_a_token_that_steers_lies_in_the_vocabulary(name: str) -> None:
    spec = fake_spec()
    replace(spec, prompt=replace(spec.prompt, **{name: VOCAB - 1}))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lies outside the vocabulary"):
        replace(spec, prompt=replace(spec.prompt, **{name: VOCAB}))  # type: ignore[arg-type]
