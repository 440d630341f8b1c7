"""Ending a child process of the server."""

from __future__ import annotations

import asyncio

STOP_TIMEOUT = 10.0  # seconds


async def end(process: asyncio.subprocess.Process | None) -> None:
    """End it and wait for it; what does not end when asked is killed."""
    if process is None or process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_TIMEOUT)
    except TimeoutError:
        process.kill()
        await process.wait()
