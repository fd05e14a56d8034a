"""Unpredictable bytes from the system, fetched in blocks: a call of the system for each WebSocket
mask takes several times as long as the mask itself."""

import os
from typing import Final

from attrs import define, field

__all__ = ["RandomPool"]

_BLOCK_BYTES: Final = 4096
"""A thousand masks: what a call sends in 20 s."""


@define(eq=False, repr=False)
class RandomPool:
    """A source of unpredictable bytes, none of which is returned twice.

    A process that is forked gets a copy of the block, so create the pool after the fork.
    """

    _block: bytes = field(init=False, default=b"")
    _position: int = field(init=False, default=0)

    def __call__(self, size: int) -> bytes:
        """Return `size` bytes."""
        start, end = self._position, self._position + size
        if end > len(self._block):
            start, end = 0, size
            self._block = os.urandom(max(_BLOCK_BYTES, size))
        self._position = end
        return self._block[start:end]
