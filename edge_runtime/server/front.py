"""What stands between the sockets and the engine: guards, routes, the page, as the settings have them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import cast

from starlette.types import ASGIApp
from uvicorn.config import Config

from edge_runtime.server.admission import Admission
from edge_runtime.server.drain import Drain
from edge_runtime.server.engine import Engine
from edge_runtime.server.http.app import AppParts, make_app
from edge_runtime.server.http.errands import Errands
from edge_runtime.server.http.metrics import Compat
from edge_runtime.server.images.source import ImageRules, ImageSource
from edge_runtime.server.keeper import Keeper, KeeperRules, keeper_with
from edge_runtime.server.kiosk import Kiosk
from edge_runtime.server.listener.crowd import FULL, Crowd, Server
from edge_runtime.server.listener.glance import Glance
from edge_runtime.server.listener.guarded import guarded
from edge_runtime.server.listener.hosts import Hosts, authority_of
from edge_runtime.server.listener.keys import Keys
from edge_runtime.server.listener.listening import config_of
from edge_runtime.server.listener.rules import MIB, GuardRules
from edge_runtime.server.logs import Logged, log
from edge_runtime.server.meter import Meter
from edge_runtime.server.open_files import room_for
from edge_runtime.server.orders import Orders, Speculation
from edge_runtime.server.settings import Settings

LOGGER = logging.getLogger(__name__)
USUAL_CONTEXT = 4096  # the engine knows better, once it is open; the queue in front of it is its own
QUESTIONS = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/responses"})
HELD_BODIES = 16  # of full size, at once


class WholeFront:
    """Everything that counts or limits over time is this one's, whatever the app is at the moment."""

    def __init__(self, settings: Settings, engine: Engine, meter: Meter) -> None:
        self._engine, self._meter = engine, meter
        context = settings.max_context or USUAL_CONTEXT
        self._admission = Admission(settings.slots, settings.waiting, settings.waiting_tokens, context)
        self._errands = Errands()
        self._crowd = Crowd(QUESTIONS, lambda: self._admission.wait_s, self._asker, self._turned_away)
        self._keys: Keys | None = None
        self._hosts = Hosts(())
        self._room = room_for(settings.connections)
        if self._room < settings.connections:
            words = "the system's limit of open files leaves room for %d connections, not %d"
            LOGGER.warning(words, self._room, settings.connections)

    def app(self, settings: Settings, drain: Drain) -> ASGIApp:
        parts = AppParts(
            engine=self._engine,
            meter=self._meter,
            images=ImageSource(image_rules_of(settings)),
            admission=self._admission,
            drain=drain,
            errands=self._errands,
            metrics_compat=cast("Compat", settings.metrics_compat),
            kiosk=kiosk_of(settings),
            stuck_after_s=settings.hang_timeout_s / 2,
        )
        keys = None if settings.api_key_file is None else Keys(settings.api_key_file)
        rules = self._rules(settings)
        inner = guarded(make_app(parts), rules, keys, self._rejected, crowd=self._crowd)
        self._keys, self._hosts = keys, Hosts(rules.hosts)
        return Logged(inner, LOGGER)

    def config(self, app: ASGIApp, settings: Settings, is_asked: bool) -> Config:
        return config_of(app, self._rules(settings), self._refused, self._crowd if is_asked else None)

    def _asker(self, glance: Glance, server: Server) -> str | None:
        named = authority_of([glance.host])
        if named is None or not self._hosts.has(named[0], server):
            return None
        if self._keys is None:
            return ""
        holder = self._keys.holder_of((glance.authorization or b"").decode("latin-1"))
        return holder.name if holder is not None and "infer" in holder.scopes else None

    def _turned_away(self, glance: Glance, asker: str) -> None:
        self._rejected(FULL)
        said = {"request_id": (glance.request_id or b"").decode(), "client": asker}
        log(LOGGER, logging.WARNING, "request", method="POST", route=glance.path, status=429, **said)

    def _rejected(self, code: str) -> None:
        self._meter.rejected("queue_full" if code == FULL else code)

    def _refused(self, code: str) -> None:
        """At the connection, where no request is there to be logged."""
        self._meter.rejected(code)
        log(LOGGER, logging.WARNING, "refused", code=code)

    def _rules(self, settings: Settings) -> GuardRules:
        return GuardRules(
            max_connections=min(self._room, settings.connections),
            max_per_address=settings.connections_per_client,
            idle_s=settings.idle_deadline_s,
            header_s=settings.header_deadline_s,
            stall_s=settings.stall_deadline_s,
            max_body_bytes=settings.body_limit_mib * MIB,
            max_held_bytes=settings.body_limit_mib * MIB * HELD_BODIES,
            body_s=settings.body_deadline_s,
            hosts=(*([settings.host] if settings.host else ()), *settings.host_name),
            cors_origins=settings.cors_origin,
        )


def image_rules_of(settings: Settings) -> ImageRules:
    return ImageRules(
        most_images=settings.max_images,
        most_bytes=settings.body_limit_mib * MIB,
        most_pixels=settings.max_pixels,
        most_bytes_in_all=max(ImageRules.most_bytes_in_all, settings.body_limit_mib * MIB),
        most_pixels_in_all=max(ImageRules.most_pixels_in_all, settings.max_pixels),
        media_dir=settings.media_dir,
        remote_hosts=frozenset(settings.allow_remote_images),
    )


def kiosk_of(settings: Settings) -> Kiosk | None:
    if settings.kiosk_file is not None:
        return Kiosk.read(settings.kiosk_file)
    return Kiosk() if settings.kiosk else None


def keeper_of(settings: Settings, note: Callable[[str], None]) -> Keeper:
    orders = Orders(
        bundle=str(settings.bundle.absolute()),
        engine=settings.engine,
        engines=None if settings.engines is None else str(settings.engines.absolute()),
        max_context=settings.max_context,
        is_trusted=settings.trust_bundle,
        slots=settings.slots,
        waiting=settings.waiting,
        waiting_tokens=settings.waiting_tokens,
        speculation=cast("Speculation", settings.speculation),
        most_pixels=settings.max_pixels,
    )
    rules = KeeperRules(silence_s=settings.silence_timeout_s, hang_s=settings.hang_timeout_s)
    return keeper_with(settings.worker_python, orders, rules, note)
