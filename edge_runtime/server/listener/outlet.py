"""The way out to a client: given up on when the client does not read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Protocol


class Timer(Protocol):
    def cancel(self) -> None: ...


class CallLater(Protocol):
    """As an event loop has it."""

    def __call__(self, delay: float, callback: Callable[[int], None], before: int, /) -> Timer: ...


class Outlet(asyncio.Transport):
    """A transport that looks, every `stall_s` while something is left to send, whether enough of it went out; if not, it ends
    the connection at once. That holds after `close` too, which by itself would wait for the client for ever."""

    def __init__(
        self,
        inner: asyncio.Transport,
        call_later: CallLater,
        stall_s: float,
        bytes_per_s: int,
        on_stall: Callable[[], None],
    ) -> None:
        super().__init__()
        self._inner = inner
        self._call_later = call_later
        self._stall_s = stall_s
        self._least_bytes = bytes_per_s * stall_s
        self._on_stall = on_stall
        self._written = 0
        self._look: Timer | None = None

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self._written += len(data)
        self._inner.write(data)
        if self._look is None and self._inner.get_write_buffer_size():
            self._look_later()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        self.write(b"".join(list_of_data))

    def stop(self) -> None:
        """The connection is lost: there is nothing more to look at."""
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _look_later(self) -> None:
        self._look = self._call_later(self._stall_s, self._look_again, self._gone_out)

    @property
    def _gone_out(self) -> int:
        return self._written - self._inner.get_write_buffer_size()

    def _look_again(self, before: int) -> None:
        self._look = None
        if not self._inner.get_write_buffer_size():
            return
        if self._gone_out - before < self._least_bytes:
            self._on_stall()
            self._inner.abort()
        else:
            self._look_later()

    def write_eof(self) -> None:
        self._inner.write_eof()

    def can_write_eof(self) -> bool:
        return self._inner.can_write_eof()

    def get_write_buffer_size(self) -> int:
        return self._inner.get_write_buffer_size()

    def close(self) -> None:
        self._inner.close()

    def abort(self) -> None:
        self._inner.abort()

    def is_closing(self) -> bool:
        return self._inner.is_closing()

    def pause_reading(self) -> None:
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        self._inner.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._inner.get_extra_info(name, default)
