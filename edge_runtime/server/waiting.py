"""Waiting for several things at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any


async def first_of(*awaited: Awaitable[Any], limit_s: float | None = None) -> None:
    """Until one of them is done, or the time is up; the others are cancelled. What they return or raise is theirs."""
    tasks = [asyncio.ensure_future(each) for each in awaited]
    try:
        await asyncio.wait(tasks, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@asynccontextmanager
async def beside(awaited: Awaitable[None]) -> AsyncIterator[asyncio.Future[None]]:
    """It goes on while the body runs, and is cancelled then."""
    task = asyncio.ensure_future(awaited)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
