"""Byte streams in memory on asyncio, for tests."""

import asyncio

from ..runtime.memory import MemoryTransport, make_memory_pair
from ..runtime.streams import PIPE_CAPACITY_BYTES

__all__ = ["memory_pair"]


def memory_pair(
    capacity_bytes: int = PIPE_CAPACITY_BYTES,
) -> tuple[MemoryTransport, MemoryTransport]:
    """Return the two ends of a stream that holds up to `capacity_bytes` in each direction."""
    return make_memory_pair(
        capacity_bytes, lambda callback: asyncio.get_running_loop().call_soon(callback)
    )
