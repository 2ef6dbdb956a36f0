"""What is said of an address that has not the form of a picture's address. The address itself is never repeated."""

from __future__ import annotations

from edge_runtime.errors import EdgeVLError

DATA_FORM = "data:image/png;base64,iVBORw0..."


def unusable(why: str, form: str = DATA_FORM) -> EdgeVLError:
    """`form` is an example of an address that can be used."""
    return EdgeVLError("EVL-IMAGE-URL", "the picture's address cannot be used", why, f"write it as {form}")
