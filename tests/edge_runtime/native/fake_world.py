"""What all objects of one fake TensorRT share: the driver below, the words it has, and how strict it is."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, overload

from tests.edge_runtime.cuda.fake_driver import FakeDriver
from tests.edge_runtime.cuda.fake_memory import Span
from tests.edge_runtime.native.signatures import Api
from tests.edge_runtime.native.surface import Surface, Word

STATE_START = 0x0A00_0000_0000  # where contexts keep what is their own; no memory of anybody else's
STATE_BYTES = 512


@dataclass
class World:
    """`compute` is that of the GPU; engines are bound to it. With `exclusive_profiles` no two living contexts run the
    same profile of an engine, which TensorRT before 10 refused."""

    driver: FakeDriver
    api: Api
    compute: str
    exclusive_profiles: bool
    kinds: dict[str, type] = field(default_factory=dict)
    _states: count[int] = field(default_factory=lambda: count(STATE_START, 2 * STATE_BYTES))

    def word(self, kind: str, name: str) -> Word:
        return self.kinds[kind][name]  # type: ignore[no-any-return, index]

    def made(self, kind: str, *arguments: object) -> Any:
        """An object that users do not construct."""
        found: Any = object.__new__(self.kinds[kind])
        found._begin(self, *arguments)
        return found

    def state(self) -> Span:
        return Span(next(self._states), STATE_BYTES)


class Spoken:
    """Sends a line to the user's logger, as TensorRT words it."""

    def __init__(self, world: World, logger: Any) -> None:
        self.world = world
        self.logger = logger

    def say(self, severity: str, text: str) -> None:
        self.logger.log(self.world.word("Severity", severity), text)

    def error(self, where: str, code: str, why: str) -> None:
        self.say("ERROR", f"{where}: Error Code {code} ({why})")

    def misuse(self, where: str, why: str) -> None:
        self.error(where, "3: API Usage Error", why)


@functools.total_ordering
class Dims(Surface):
    """As the real ones: read like a tuple, equal to tuples and lists, and to nothing else."""

    def __init__(self, shape: Sequence[int] = ()) -> None:
        self._sizes = tuple(int(size) for size in shape)

    def __len__(self) -> int:
        return len(self._sizes)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Dims: ...
    def __getitem__(self, index: int | slice) -> int | Dims:
        if isinstance(index, slice):
            return type(self)(self._sizes[index])
        if not -len(self) <= index < len(self):
            raise IndexError("Out of bounds")
        return self._sizes[index]

    def __iter__(self) -> Iterator[int]:
        return iter(self._sizes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, tuple | list):
            raise TypeError("__eq__(): incompatible function arguments")
        return self._sizes == tuple(other)

    def __lt__(self, other: object) -> bool:
        raise TypeError("'<' not supported between instances of 'Dims'")

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return str(self._sizes)


class ILogger(Surface):
    """To be subclassed; `log` must be overridden and the constructor called."""

    def __init_subclass__(cls) -> None:
        original = cls.__init__

        @functools.wraps(original)
        def begin(self: ILogger, *arguments: Any, **named: Any) -> None:
            original(self, *arguments, **named)
            if not self.__dict__.get("_is_made", False):
                raise TypeError("ILogger.__init__() must be called when overriding __init__")

        cls.__init__ = begin  # type: ignore[method-assign]

    def __init__(self) -> None:
        self._is_made = True

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # a subclass of the user's has what it likes

    def log(self, severity: Any, msg: str) -> None:
        raise NotImplementedError('Tried to call pure virtual function "ILogger::log"')


class Logger(ILogger):
    """Prints what is at least as severe as asked for; the fake keeps it in `_lines`."""

    def __init__(self, min_severity: Any = None) -> None:
        super().__init__()
        self._least = 2 if min_severity is None else int(min_severity)
        self._lines: list[str] = []

    @property
    def min_severity(self) -> Any:
        return self._kinds["Severity"](self._least)

    @min_severity.setter
    def min_severity(self, severity: Any) -> None:
        self._least = int(severity)

    def log(self, severity: Any, msg: str) -> None:
        if int(severity) <= self._least:
            self._lines.append(f"[{severity.name}] {msg}")


class IHostMemory(bytes):
    """Bytes that the library holds."""

    @property
    def nbytes(self) -> int:
        return len(self)
