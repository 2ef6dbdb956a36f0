"""The one reader of https addresses: what it takes apart is what is asked for, no other parser sees the address."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge_runtime.server.images.form import unusable

FORM = "https://pictures.example/name.jpg"
MOST_CHARACTERS = 2_048
LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# The last label begins with a letter: 127.1, 0x7f.1 and other spellings of an address are no names.
HOST = re.compile(rf"(?=.{{1,253}}\Z)(?:{LABEL}\.)+(?=[a-z]){LABEL}")
PLAIN = re.compile(r"[\x21-\x5b\x5d-\x7e]*")  # visible ASCII without the backslash
URL = re.compile(r"https://(?P<host>[^/?#:]*)(?P<port>:443)?(?P<target>[/?][^#]*)?(?:#.*)?", re.IGNORECASE)


@dataclass(frozen=True)
class RemoteUrl:
    host: str
    target: str  # path and query


def is_host_name(text: str) -> bool:
    """A full name in small letters, as it is written in a list of allowed hosts; no address, no port, no star."""
    return HOST.fullmatch(text) is not None


def remote_url_from_text(text: str) -> RemoteUrl:
    """Refuses whatever two readers could read in two ways: names and passwords, backslashes, other ports, addresses."""
    if len(text) > MOST_CHARACTERS:
        raise unusable(f"it has more than {MOST_CHARACTERS} characters", FORM)
    if PLAIN.fullmatch(text) is None:
        raise unusable(
            "it holds a space, a backslash or a character outside ASCII; they must be escaped", FORM
        )
    found = URL.fullmatch(text)
    if found is None or not is_host_name(host := found["host"].lower()):
        raise unusable(
            "after https:// there is a host's full name, without a user or a port other than 443", FORM
        )
    target = found["target"] or "/"
    return RemoteUrl(host, target if target.startswith("/") else "/" + target)
