"""What can be asked of `edge-vl serve`: a flag for every setting, each None where it is not given."""

from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Mapping
from dataclasses import Field
from typing import Any

from edge_runtime.server.setting import HELP, SWITCH, kind_of
from edge_runtime.server.settings import known_settings
from edge_vl.flags import given_path

GROUPS = {
    "where it listens, and who may speak": (
        "host", "port", "uds", "health_socket", "api_key_file", "insecure_no_auth", "host_name", "cors_origin",
    ),
    "the engine": (
        "slots", "waiting", "waiting_tokens", "max_context", "engine", "engines", "trust_bundle", "speculation",
        "worker_python", "hang_timeout_s", "silence_timeout_s",
    ),
    "what a request may bring": (
        "media_dir", "allow_remote_images", "max_images", "max_pixels", "body_limit_mib",
    ),
    "how long and how many": (
        "header_deadline_s", "body_deadline_s", "idle_deadline_s", "stall_deadline_s", "connections",
        "connections_per_client",
    ),
    "the page, and what is told": ("kiosk", "kiosk_file", "metrics_compat", "log_content"),
    "how it ends": ("drain_notice_s", "drain_timeout_s"),
}  # fmt: skip
EPILOG = (
    "Every setting can also stand in the file, under its flag's name with _ for -, or in a variable: --port is port "
    "there, and EDGE_VL_SERVE_PORT. A flag counts before a variable, a variable before the file."
)


def add_serve(parser: ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("bundle", nargs="?", metavar="BUNDLE", help="bundle folder")
    parser.add_argument("--config", type=given_path, metavar="FILE.toml", help="settings")
    parser.add_argument(
        "--print-config", action="store_true", help="show every setting and where it comes from, and end"
    )
    known = known_settings()
    for title, names in GROUPS.items():
        group = parser.add_argument_group(title)
        for name in names:
            add_setting(group.add_argument, name, known[name])


def add_setting(add: Any, name: str, known: Field[Any]) -> None:
    kind, flag = kind_of(known), f"--{name.replace('_', '-')}"
    if kind is SWITCH:
        add(flag, action=BooleanOptionalAction, default=None, help=known.metadata[HELP])
        return
    help_text = f"{known.metadata[HELP]}{default_words(known.default)}"
    metavar = None if kind.metavar == "" else kind.metavar
    if isinstance(known.default, tuple):
        add(flag, action="append", metavar=metavar, help=help_text)
    else:
        add(flag, metavar=metavar, help=help_text)


def default_words(default: object) -> str:
    if default in (None, ()):
        return ""
    return f" (default: {default:g})" if isinstance(default, float) else f" (default: {default})"


def flags_given(arguments: Namespace) -> Mapping[str, str | bool]:
    """Those of the command line, lists joined."""
    given = {name: getattr(arguments, name) for name in known_settings()}
    return {
        name: ",".join(value) if isinstance(value, list) else value
        for name, value in given.items()
        if value is not None
    }
