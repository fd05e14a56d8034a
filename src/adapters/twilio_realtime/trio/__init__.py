"""Drives any `ByteMachine` on trio: it dials, listens, reads, writes and keeps time.

    await drive(machine, {peer: connection}, notify=print)
    await listen("127.0.0.1", 8080, lambda: (Driver(machine(), print), peer), on_error=report)

What the peers are and what their bytes mean is the machine's business.
"""

from .driver import CLOSE_NS, OUTBOX_LIMIT, READ_BYTES, Driver, drive
from .listener import MAX_CONNECTIONS, listen
from .memory import MemoryTransport, memory_pair
from .transport import Dial, SocketTransport, Transport, dial

__all__ = [
    "CLOSE_NS",
    "MAX_CONNECTIONS",
    "OUTBOX_LIMIT",
    "READ_BYTES",
    "Dial",
    "Driver",
    "MemoryTransport",
    "SocketTransport",
    "Transport",
    "dial",
    "drive",
    "listen",
    "memory_pair",
]
