"""Ports for servers of tests whose address has to be stated before they listen."""

import os
import socket
from contextlib import suppress
from itertools import cycle
from typing import Final

__all__ = ["free_port"]

# Below what systems hand out for port 0 and for connections, so that nobody gets one by chance
# between the choice of a port and the use of it. Processes of tests start at different places.
_FIRST, _LAST = 15_000, 32_000
_START: Final = _FIRST + os.getpid() * 101 % (_LAST - _FIRST)
_PORTS: Final = cycle([*range(_START, _LAST), *range(_FIRST, _START)])


def free_port() -> int:
    """Return a port at which nothing listens, another one at each call."""
    while True:
        port: int = next(_PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
