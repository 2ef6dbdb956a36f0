"""Settings read again while the server runs: what is taken over at once, and what waits for a new start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edge_runtime.server.settings import Settings, known_settings

# These are looked at when the app is put together, which can be done again at any time.
RELOADABLE = frozenset(
    {
        "api_key_file", "host_name", "cors_origin", "media_dir", "allow_remote_images", "max_images",
        "body_limit_mib", "body_deadline_s", "kiosk", "kiosk_file", "drain_notice_s", "drain_timeout_s",
    }
)  # fmt: skip


def reloaded(old: Settings, new: Settings) -> Settings:
    """The old ones, with what of the new ones can be had without a new start."""
    return replace(old, **{name: getattr(new, name) for name in known_settings() if name in RELOADABLE})


def left_over(old: Settings, new: Settings) -> Sequence[str]:
    """Settings that differ and wait for a new start."""
    names = [name for name in known_settings() if name not in RELOADABLE]
    return [name for name in names if getattr(old, name) != getattr(new, name)]
