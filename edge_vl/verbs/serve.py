"""`edge-vl serve`."""

from __future__ import annotations

import os
import signal
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from edge_runtime.errors import EdgeVLError
from edge_vl.flags_of_serving import flags_given
from edge_vl.signals import Stopped
from edge_vl.verbs.folders import refuse_checkpoint

if TYPE_CHECKING:
    from edge_runtime.server.banner import Banner
    from edge_runtime.server.origins import Chosen, Sources
    from edge_runtime.server.settings import Settings
    from edge_vl.terminal import Terminal

MISSING = ("tomli", "fastapi", "starlette", "pydantic", "uvicorn", "h11", "prometheus_client")


def run(arguments: Namespace, terminal: Terminal) -> int:
    with named_if_missing():
        from edge_runtime.server.origins import (
            Sources,
            check_conflicts,
            chosen_from_sources,
            settings_from_chosen,
        )
    sources = Sources(flags_given(arguments), os.environ, arguments.config)
    chosen = chosen_from_sources(sources)
    if arguments.print_config:
        check_conflicts(chosen)
        show(chosen, arguments.json, terminal)
        return 0
    settings = settings_from_chosen(chosen)
    refuse_checkpoint(settings.bundle)
    try:
        with named_if_missing():
            return served(settings, sources, arguments.json, terminal)
    except Stopped as stopped:  # before the server hears signals itself, or after
        if stopped.number != signal.SIGTERM:
            raise
        terminal.note("stopped")
        if arguments.json:
            terminal.json({"stopped": "SIGTERM"})
        return 0


def served(settings: Settings, sources: Sources, is_json: bool, terminal: Terminal) -> int:
    import asyncio
    from logging.config import dictConfig

    from edge_runtime.server.front import WholeFront, keeper_of
    from edge_runtime.server.logs import log_config
    from edge_runtime.server.meter import Meter
    from edge_runtime.server.notify import Notifier
    from edge_runtime.server.origins import chosen_from_sources, settings_from_chosen
    from edge_runtime.server.serving import Outside, serve
    from edge_runtime.server.thrift import be_thrifty

    be_thrifty()
    dictConfig(log_config(settings.log_content))
    voice = Voice(terminal, is_json)
    if settings.log_content:
        voice.note("warning: prompts and answers are written into the log (log_content)")
    outside = Outside(
        note=voice.note,
        announce=voice.announce,
        reread=lambda: settings_from_chosen(chosen_from_sources(sources)),
        notifier=Notifier.from_environment(os.environ, os.getpid()),
        is_left=voice.is_unheard,
    )
    engine = keeper_of(settings, voice.note)
    return asyncio.run(serve(settings, engine, WholeFront(settings, engine, Meter()), outside))


class Voice:
    """What people and programs are told while the server runs, whether they still listen or not."""

    def __init__(self, terminal: Terminal, is_json: bool) -> None:
        self._terminal, self._is_json = terminal, is_json
        self._was_watched = terminal.is_watched

    def note(self, text: str) -> None:
        with suppress(OSError):  # a server outlives whoever reads its words
            self._terminal.note(text)

    def announce(self, banner: Banner) -> None:
        for line in banner.lines():
            self.note(line)
        if self._is_json:
            self._terminal.json(banner.record())

    def is_unheard(self) -> bool:
        """Whether the terminal that it was started from is gone."""
        return self._was_watched and not self._terminal.is_watched


def show(chosen: Mapping[str, Chosen], is_json: bool, terminal: Terminal) -> None:
    """Every setting, and where it comes from."""
    from edge_runtime.server.origins import shown

    if is_json:
        terminal.json({name: each.to_json() for name, each in chosen.items()})
    else:
        rows = [(name, shown(each.value), each.words()) for name, each in chosen.items()]
        terminal.table([("setting", "value", "from"), *rows])


@contextmanager
def named_if_missing() -> Iterator[None]:
    """EVL-SERVE-MISSING where the server's libraries are not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in MISSING:
            raise
        raise EdgeVLError(
            "EVL-SERVE-MISSING",
            "the server's libraries are not installed",
            f"there is no module {error.name}",
            "pip install 'edge-vl[serve,cpu]'",
        ) from error
