"""The engine as the worker opens it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from PIL import Image

from edge_runtime.assistant import checked_context
from edge_runtime.backends.provider import CPU
from edge_runtime.bundle import Bundle
from edge_runtime.choice import Choice, Wish
from edge_runtime.draft import DraftRules, drafts_for
from edge_runtime.errors import EdgeVLError
from edge_runtime.facts import facts_of
from edge_runtime.loading import opened_with
from edge_runtime.loop.loop import Limits, Loop
from edge_runtime.loop.ticket import Question
from edge_runtime.manifest import MANIFEST_NAME
from edge_runtime.memory import memory_of_tree
from edge_runtime.request import Request
from edge_runtime.server.asked import AskedTurn, Prompt
from edge_runtime.server.engine import EngineFacts
from edge_runtime.server.orders import Orders
from edge_runtime.server.worker.prompts import Prompts

WARM_WORDS = 128  # more than the model's own words around a question
ONE_SEQUENCE = "EVL-ENGINE-SHAPES"  # engines that were built for fewer sequences


class Opened:
    """What the worker holds of a bundle."""

    def __init__(self, bundle: Bundle, choice: Choice, orders: Orders, slots: int) -> None:
        max_context = checked_context(bundle, choice.max_context)
        limits = Limits(slots, orders.waiting, orders.waiting_tokens)
        self.prompts = Prompts(bundle)
        self.preprocess = bundle.spec.preprocess
        self.loop = Loop(
            bundle, choice.backend, limits, max_context, choice.why, drafts_of(orders, choice.backend.name)
        )
        facts = facts_of(bundle, choice.backend, choice.why)
        self.facts = EngineFacts(
            model=bundle.folder.resolve().name,
            bundle_hash=hashlib.sha256((bundle.folder / MANIFEST_NAME).read_bytes()).hexdigest(),
            engine=facts.engine,
            engine_reason=facts.engine_reason,
            precision=dict(facts.precision),
            max_context=max_context,
            image_tokens=bundle.spec.image_tokens,
            slots=slots,
            memory_mib=round(memory_of_tree(os.getpid()).held_mib, 1),
        )

    def warm(self) -> None:
        """Answers a question about nothing: what an engine makes at its first run is made before anybody waits for it, and an
        engine that cannot answer does not pretend to be ready. Raises what goes wrong."""
        is_shown = self.facts.image_tokens + WARM_WORDS <= self.facts.max_context
        side = self.preprocess.canvas
        pictures = (Image.new("RGB", (side, side)),) * is_shown
        prompt = self.prompts.tokens_of(Prompt((AskedTurn("user", "?", len(pictures)),)))
        ticket = self.loop.submit(Question(prompt, pictures, Request(max_tokens=2), has_end=False))
        while self.loop.work():
            pass
        assert ticket.answer, "the loop works until it is answered"
        self.loop.forget()


def drafts_of(orders: Orders, engine: str) -> DraftRules | None:
    """EVL-ENGINE-DRAFTS where they were asked for by name and the engine cannot check them."""
    if orders.speculation == "auto":
        return drafts_for(engine)
    if orders.speculation == "off":
        return None
    if not engine.startswith(CPU.engine):  # engines are built to tell the logits of one token, or few
        what, why = "nothing can be guessed ahead", f"{engine} tells the logits of too few tokens at a step"
        fix = "use --speculation auto, or --engine onnxruntime"
        raise EdgeVLError("EVL-ENGINE-DRAFTS", what, why, fix)
    return DraftRules()


def made(bundle: Bundle, choice: Choice, orders: Orders) -> Opened:
    """For one sequence where the engines were built for that."""
    try:
        return Opened(bundle, choice, orders, orders.slots)
    except EdgeVLError as error:
        if error.code != ONE_SEQUENCE or orders.slots == 1:
            raise
    return Opened(bundle, choice, orders, slots=1)


def opened(orders: Orders) -> Opened:
    """EdgeVLError where the bundle or the engine does not open."""
    engines = None if orders.engines is None else Path(orders.engines)
    wish = Wish(orders.engine, orders.max_context, engines, orders.is_trusted)

    def make(bundle: Bundle, choice: Choice) -> Opened:
        whole = made(bundle, choice, orders)
        if choice.backend.name != CPU.engine:  # there it would only take as long as the first answer does
            whole.warm()
        return whole

    return opened_with(make, Path(orders.bundle), wish)
