"""HTTP as it is read from a stranger: limits that the parser leaves to its user."""

from __future__ import annotations

import h11

# A body in pieces costs time for every piece: after the first thousand they must be of some size.
FREE_PIECES = 1024
MEAN_PIECE_BYTES = 64


class Scrutiny(h11.Connection):
    """The server's side of a connection. `fault_status` is what the last wrong request deserves."""

    def __init__(self, max_headers: int, max_header_bytes: int) -> None:
        super().__init__(h11.SERVER, max_header_bytes)
        self._max_headers = max_headers
        self._max_header_bytes = max_header_bytes
        self._pieces = 0
        self._body_bytes = 0
        self.fault_status = 400

    @property
    def has_part(self) -> bool:
        """Whether something came that is not a whole event yet."""
        return bool(self.trailing_data[0])

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        try:
            event = super().next_event()
            if isinstance(event, h11.Request):
                self._check_head(event)
            elif isinstance(event, h11.Data):
                self._check_piece(event)
        except h11.RemoteProtocolError as fault:
            self.fault_status = fault.error_status_hint
            raise
        return event

    def _check_head(self, request: h11.Request) -> None:
        """The parser bounds a head that is not whole yet; one that came in one go it takes at any size. And it takes one that says
        twice where its body ends, of which a proxy in front may believe the other half."""
        self._pieces = self._body_bytes = 0
        headers = request.headers.raw_items()
        nbytes = len(request.target) + sum(len(name) + len(value) + 4 for name, value in headers)
        if len(headers) > self._max_headers or nbytes > self._max_header_bytes:
            raise h11.RemoteProtocolError("too many headers", error_status_hint=431)
        if request.http_version not in (b"1.0", b"1.1"):
            raise h11.RemoteProtocolError("another version")
        names = {name for name, _ in request.headers}
        if b"transfer-encoding" in names and (b"content-length" in names or request.http_version == b"1.0"):
            raise h11.RemoteProtocolError("two ends of one body")

    def _check_piece(self, piece: h11.Data) -> None:
        self._pieces += 1
        self._body_bytes += len(piece.data)
        if self._pieces > FREE_PIECES and self._body_bytes < self._pieces * MEAN_PIECE_BYTES:
            raise h11.RemoteProtocolError("body in crumbs")
