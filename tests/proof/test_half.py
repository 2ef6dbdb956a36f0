"""fp16 bundles against the checkpoint in fp32, role by role, and against transformers end to end."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.backends.backend import Array, Floats
from export.checkpoint import Checkpoint
from export.comparison import parity_of, synthetic_pictures
from tests.proof.conftest import Note
from tests.proof.subject import CONTEXT, Opened, Subject, pictures

COSINE = 0.9999
RELATIVE = 1e-2


@pytest.fixture(scope="module")
def half(subject: Subject) -> Opened:
    return subject.opened("fp16")


def test_every_role_in_fp16_is_within_its_bar_of_the_checkpoint(
    subject: Subject, half: Opened, note: Note
) -> None:
    with Checkpoint.open(subject.checkpoint()) as checkpoint:
        report = parity_of(
            half.bundle, {subject.dialect: half.backend}, checkpoint, [*synthetic_pictures(), *pictures(3)]
        )
    assert [each.role for each in report.roles] == list(half.bundle.spec.roles)
    for each in report.roles:
        note(f"largest fp16 1 - cosine, {each.role}", 1 - each.cosine)
        note(f"largest fp16 relative difference, {each.role}", each.relative)
        assert each.cosine >= COSINE
        assert each.relative <= RELATIVE
    assert report.is_passed, report.greedy


def test_pictures_in_fp16_become_the_rows_that_transformers_makes_of_them(
    subject: Subject, half: Opened, note: Note
) -> None:
    shown = pictures(2)
    for image, pixels in zip(half.encoded(shown), half.pixels(shown), strict=True):
        assert image.rows.dtype == np.float16
        check_close("image rows", image.rows, subject.oracle.image_rows(pixels), note)


def test_logits_in_fp16_are_those_of_transformers(subject: Subject, half: Opened, note: Note) -> None:
    shown = pictures(2)
    prompt = half.raw_prompt("User: <image>is it the same as<image>?\n\nAssistant:")
    decoder = half.backend.decoder(batch=1, capacity=CONTEXT)
    every = np.arange(len(prompt), dtype=np.int64)[None]
    rows = half.embedded(prompt, shown).rows(0, len(prompt))
    found = decoder.step(rows, np.zeros(1, dtype=np.int64), every).logits[0]
    check_close("logits", found, subject.oracle.logits(prompt.ids, half.pixels(shown)), note)


def check_close(label: str, found: Array, wanted: Floats, note: Note) -> None:
    a, b = found.astype(np.float64).ravel(), wanted.astype(np.float64).ravel()
    cosine = float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
    relative = float(np.abs(a - b).max() / np.abs(b).max())
    note(f"largest fp16 1 - cosine to transformers, {label}", 1 - cosine)
    note(f"largest fp16 relative difference to transformers, {label}", relative)
    assert cosine >= COSINE
    assert relative <= RELATIVE
