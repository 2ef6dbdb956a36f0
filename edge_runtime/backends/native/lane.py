"""One way through a decoder: its prefill or its step, for one of the bindings of its cache."""

from __future__ import annotations

from collections.abc import Mapping

from edge_runtime.backends.native.context import Context
from edge_runtime.backends.native.desk import Desk
from edge_runtime.backends.native.engine import Shape
from edge_runtime.cuda.stream import Recording, Stream


class Lane:
    """Feeds the desk's arrays, runs, and brings the likeliest tokens back. Of a lane whose shapes never change the whole
    way is recorded at its second run and replayed from then on."""

    def __init__(self, context: Context, desk: Desk, is_fixed: bool) -> None:
        self._context = context
        self._stream: Stream = context.stream
        self._desk = desk
        self._is_fixed = is_fixed
        self._runs = 0
        self._recording: Recording | None = None

    @property
    def is_recorded(self) -> bool:
        return self._recording is not None

    def go(self, shapes: Mapping[str, Shape]) -> None:
        """The desk's inputs have these shapes. Done when the stream is waited for."""
        if self._recording is None:
            self._prepare(shapes)
        if self._recording is not None:
            self._stream.replay(self._recording)
        else:
            self._work(shapes)
        self._runs += 1

    def _prepare(self, shapes: Mapping[str, Shape]) -> None:
        for name, shape in shapes.items():
            self._context.shape(name, shape)
        # The library sets itself up in a context's first run, which therefore cannot be recorded.
        if self._is_fixed and self._runs == 1 and self._context.is_recordable:
            self._recording = self._stream.record(lambda: self._work(shapes))

    def _work(self, shapes: Mapping[str, Shape]) -> None:
        self._desk.upload(self._stream, shapes)
        self._context.run()
        self._desk.download_top(self._stream, shapes)
