"""What writes conversations as the shipped model reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.sizes import DEMO_HYBRID
from demo.train.conversation import Writer
from edge_runtime.prompt import PromptFormat
from edge_runtime.tokenizer import Tokenizer

MODEL = Path(__file__).parents[2] / "demo" / "model"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.open(MODEL / "tokenizer.json")


@pytest.fixture(scope="module")
def writer(tokenizer: Tokenizer) -> Writer:
    return Writer(PromptFormat(tokenizer, DEMO_HYBRID.prompt, DEMO_HYBRID.image_tokens))
