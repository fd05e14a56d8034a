"""The driver of machines on asyncio: it dials, listens, reads, writes and keeps time.

    await drive(machine, {peer: connection}, notify=print)
    await listen("127.0.0.1", 8080, lambda: (Driver(machine(), print), peer), on_error=report)

It drives any `ByteMachine`, and knows nothing of peers and their protocols.
"""

from ..runtime.memory import MemoryTransport
from ..runtime.streams import Dial, Transport
from .driver import CLOSE_TIMEOUT_NS, MAX_UNSENT_BYTES, READ_BYTES, Driver, drive
from .listener import MAX_CONNECTIONS, listen
from .memory import memory_pair
from .transport import SocketTransport, dial

__all__ = [
    "CLOSE_TIMEOUT_NS",
    "MAX_CONNECTIONS",
    "MAX_UNSENT_BYTES",
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
