"""All that can be said of a server before it starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.setting import (
    COUNT,
    FILE,
    FOLDER,
    HOSTS,
    NAME,
    ORIGINS,
    PATH,
    PORT,
    SWITCH,
    Kind,
    Value,
    count,
    kind_of,
    one_of,
    seconds,
    setting,
    told,
)

SECONDS, SECONDS_OR_NONE = seconds(), seconds(can_be_zero=True)
BUNDLE = Kind("a bundle folder", "BUNDLE", PATH.of_text, PATH.of_toml, PATH.is_right)


class SettingsConflict(EdgeVLError):
    """Settings that are each right and cannot be had together. `names` are which."""

    def __init__(self, names: tuple[str, ...], why: str, fix: str) -> None:
        self.names = names
        super().__init__("EVL-SETTING-CONFLICT", f"{' and '.join(names)} do not go together", why, fix)


@dataclass(frozen=True)
class Settings:
    """Of `edge-vl serve`. A field's name is its name in a file; with dashes it is a flag, in capitals a variable's end."""

    bundle: Path = field(metadata=told(BUNDLE, "bundle folder"))

    # where it listens, and who may speak
    host: str = setting("127.0.0.1", NAME, "address to listen at")
    port: int = setting(8080, PORT, "0: any free one, which is told")
    uds: Path | None = setting(None, PATH, "a Unix socket to listen at, instead of an address")
    health_socket: Path | None = setting(
        None, PATH, "a Unix socket of its own for health, which answers however many others are connected"
    )
    api_key_file: Path | None = setting(
        None, FILE, "keys that clients must show; needed to listen beyond this machine"
    )
    insecure_no_auth: bool = setting(False, SWITCH, "listen beyond this machine without any key")
    host_name: tuple[str, ...] = setting((), HOSTS, "more names that clients may call this server by")
    cors_origin: tuple[str, ...] = setting((), ORIGINS, "pages of other origins that may call this server")

    # the engine
    slots: int = setting(4, count(1, 256), "questions answered at once")
    waiting: int = setting(64, count(1, 1 << 16), "questions that may wait for a slot")
    waiting_tokens: int = setting(1 << 16, COUNT, "tokens those may have between them, pictures counted")
    max_context: int | None = setting(None, COUNT, "less than the bundle's, to save memory")
    engine: str = setting("auto", NAME, "as in `edge-vl run`")
    engines: Path | None = setting(None, FOLDER, "where built engines lie")
    trust_bundle: bool = setting(False, SWITCH, "skip hashing; structure is always checked")
    speculation: str = setting("auto", one_of("auto", "on", "off"), "guess tokens that the prompt suggests")
    worker_python: Path | None = setting(
        None, FILE, "the Python that runs the engine, where that is another one"
    )
    hang_timeout_s: float = setting(120.0, SECONDS, "without a token while it works, the engine is restarted")
    silence_timeout_s: float = setting(15.0, SECONDS, "without any word, the engine is restarted")

    # what a request may bring
    media_dir: Path | None = setting(None, FOLDER, "pictures in it may be named by file:// URLs")
    allow_remote_images: tuple[str, ...] = setting((), HOSTS, "hosts that pictures may be fetched from")
    max_images: int = setting(8, count(1, 1024), "pictures in one request")
    max_pixels: int = setting(25_000_000, count(1, 1 << 30), "of one picture")
    body_limit_mib: int = setting(16, count(1, 1024), "of one request")

    # how long and how many
    header_deadline_s: float = setting(5.0, SECONDS, "for the head of a request")
    body_deadline_s: float = setting(10.0, SECONDS, "for the body of a request")
    idle_deadline_s: float = setting(60.0, SECONDS, "between two requests of one connection")
    stall_deadline_s: float = setting(10.0, SECONDS, "for a client that does not read its answer")
    connections: int = setting(1024, COUNT, "at once")
    connections_per_client: int = setting(256, COUNT, "at once from one address")

    # the page, and what is told
    kiosk: bool = setting(False, SWITCH, "a page for a touch screen, with large preset questions")
    kiosk_file: Path | None = setting(None, FILE, "the preset questions")
    metrics_compat: str = setting("none", one_of("none", "vllm"), "metrics under another server's names too")
    log_content: bool = setting(False, SWITCH, "write prompts and answers into the log")

    # how it ends
    drain_notice_s: float = setting(
        2.0, SECONDS_OR_NONE, "told to stop: still open, for whoever reads /health/ready"
    )
    drain_timeout_s: float = setting(30.0, SECONDS_OR_NONE, "then for answers under way to end")

    def __post_init__(self) -> None:
        for known in fields(self):
            value = getattr(self, known.name)
            if not (is_right(known, value)):
                why = f"{value!r} is not {kind_of(known).wanted}"
                raise EdgeVLError(
                    "EVL-SETTING-VALUE", f"{known.name} cannot be used", why, "give it another value"
                )
        for conflict in conflicts_of(self):
            raise conflict

    @property
    def has_address(self) -> bool:
        """Whether it listens at an address rather than at a Unix socket."""
        return self.uds is None


def is_right(known: Field[Any], value: Value) -> bool:
    return (value is None and known.default is None) or kind_of(known).is_right(value)


def known_settings() -> Mapping[str, Field[Any]]:
    """By name, in the order they are told in."""
    return {known.name: known for known in fields(Settings)}


def conflicts_of(settings: Settings) -> Iterator[SettingsConflict]:
    known = known_settings()
    if settings.uds is not None:
        for name in ("host", "port"):
            if getattr(settings, name) != known[name].default:
                why = "a server listens at a Unix socket or at an address"
                yield SettingsConflict(("uds", name), why, "leave one of them out")
    if settings.insecure_no_auth and settings.api_key_file is not None:
        why = "with keys, whoever has none is refused"
        yield SettingsConflict(("insecure_no_auth", "api_key_file"), why, "leave one of them out")
    if settings.kiosk_file is not None and not settings.kiosk:
        why = "preset questions are the kiosk page's"
        yield SettingsConflict(("kiosk_file", "kiosk"), why, "turn kiosk on, or leave kiosk_file out")
    if settings.uds is not None and settings.uds == settings.health_socket:
        why = "one socket cannot be both"
        yield SettingsConflict(("uds", "health_socket"), why, "give them two paths")
